"""A program that ends with its supervisor: `python leash.py SUPERVISOR_PID PROGRAM [ARGUMENT …]`.

Run by supervise.py around every child. Asks the kernel (Linux: PR_SET_PDEATHSIG) to send this process a SIGTERM when
its parent dies, then becomes the program; the request survives exec. So a supervisor that is killed with -9 leaves no
process behind that holds its ports, also when the program is not ours. Elsewhere than on Linux the next `headrace up`
ends what was left (sweep.py).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, program, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(supervisor):  # it died before we asked
            sys.exit(1)
    os.execvp(program, [program, *arguments])  # noqa: S606 -- the supervisor's own argv


if __name__ == "__main__":
    main()
