"""A program that ends with its supervisor: `python leash.py SUPERVISOR_PID NICE PROGRAM [ARGUMENT …]`.

Run by supervise.py and program.py around every child. Asks the kernel (Linux: PR_SET_PDEATHSIG) to send this process a
SIGTERM when its parent dies, then becomes the program; the request survives exec. So a supervisor that is killed with
-9 leaves no process behind that holds its ports, also when the program is not ours. Elsewhere than on Linux the next
`headrace up` ends what was left (sweep.py).

Standing back for a processor is two things. Where control groups share out processors, the niceness of a process
counts. Where they do not, Linux first shares between sessions, and each of our children has one: there only the
niceness of the session counts (sched(7), "The autogroup feature").
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_TRIES = 20  # the kernel takes one such change in 0.1 s, of all that have no privilege


def stand_back(nice: int) -> None:
    """This process and its session, if it has one of its own; later children with them. A system that does not let the
    session stand back (none of Linux, /proc that is read only) is no reason not to start."""
    os.nice(nice)
    for _ in range(_TRIES if nice and os.getsid(0) == os.getpid() else 0):
        try:
            with open("/proc/self/autogroup", "w") as group:
                group.write(str(nice))
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return
        time.sleep(0.1)


def main() -> None:
    supervisor, nice, program, *arguments = sys.argv[1:]
    stand_back(int(nice))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(supervisor):  # it died before we asked
            sys.exit(1)
    os.execvp(program, [program, *arguments])  # noqa: S606 -- the supervisor's own argv


if __name__ == "__main__":
    main()
