"""The launcher of children that run somebody's code: takes limits on itself, then becomes the program.

    python -m headrace.compute.confine LIMITS -- argv…

Started by job.py and host.py. (Popen's preexec_fn would set limits between fork and exec, which can deadlock in a
process with threads.) Decides how each limit is made real; which ones, the caller says. All of them are set before the
first line of the program runs, and it cannot take them off again.

No network means: no socket other than a local one can be made. The kernel refuses the call (a seccomp filter, which
needs no privilege and holds for every thread and descendant); nothing is asked of the program.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from headrace.compute.leash import stand_back

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

# Classic BPF: https://docs.kernel.org/userspace-api/seccomp_filter.html
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW = 0x7FFF0000
_DENY = 0x00050000  # with an error number
_NUMBER, _MACHINE, _FIRST = 0, 4, 16  # offsets in struct seccomp_data: system call, architecture, first argument
_X32 = 0x40000000  # x86-64 has a second set of numbers from here on
_AF_UNIX = 1
_IO_URING_SETUP = 425  # which can make sockets too, unseen by a filter
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # architecture, number of socket()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    memory_mb: int  # of address space, which libraries reserve more of than they use
    network: bool = False
    nice: int = 0
    cpu_seconds: int = 0  # 0: no bound
    open_files: int = 0  # 0: as ours
    file_mb: int = 0  # the largest file it may write; 0: no bound


def confined(argv: Sequence[str], limits: Limits) -> list[str]:
    """The command that runs `argv` under these limits."""
    return [sys.executable, "-m", __name__, json.dumps(asdict(limits)), "--", *argv]


def main(limits: Limits, argv: Sequence[str]) -> None:
    stand_back(limits.nice)
    _limit(resource.RLIMIT_CORE, 0)
    if limits.cpu_seconds:
        _limit(resource.RLIMIT_CPU, limits.cpu_seconds, grace=5)
    if limits.open_files:
        _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.file_mb:
        _limit(resource.RLIMIT_FSIZE, limits.file_mb << 20)
    if sys.platform == "linux":  # macOS knows neither an address space limit that holds, nor the rest
        _limit(resource.RLIMIT_AS, limits.memory_mb << 20)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if not limits.network:
            _leave_network()
    os.execvp(argv[0], list(argv))  # noqa: S606 - that is what a launcher is for


def _limit(kind: int, value: int, *, grace: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    top = value + grace if hard == resource.RLIM_INFINITY else min(value + grace, hard)
    resource.setrlimit(kind, (min(value, top), top))


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def _leave_network() -> None:
    """Where the kernel cannot do it, the log of the child says so; its environment still asks libraries not to call."""
    libc = ctypes.CDLL(None, use_errno=True)
    known = _MACHINES.get(platform.machine())
    if known is not None:
        program = _filter(*known)
        steps = (_Step * len(program))(*(_Step(*step) for step in program))
        filled = ctypes.byref(_Program(len(program), steps))
        if (
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            and libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filled, 0, 0) == 0
        ):
            return
    why = os.strerror(ctypes.get_errno()) if known else f"no filter for {platform.machine()!r}"
    sys.stderr.write(f"headrace: this process could not be kept off the network: {why}\n")


def _filter(machine: int, socket_call: int) -> list[tuple[int, int, int, int]]:
    """(instruction, steps to skip when true, when false, value)."""
    absent, denied = _DENY | errno.ENOSYS, _DENY | errno.EACCES
    return [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, absent),  # the calls of another architecture, such as 32 bit
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 5, 0, _X32),
        (_EQUAL, 4, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 4, socket_call),
        (_LOAD, 0, 0, _FIRST),
        (_EQUAL, 2, 0, _AF_UNIX),
        (_RETURN, 0, 0, denied),
        (_RETURN, 0, 0, absent),
        (_RETURN, 0, 0, _ALLOW),
    ]


if __name__ == "__main__":
    main(Limits(**json.loads(sys.argv[1])), sys.argv[3:])
