"""A program of ours that runs for as long as it takes, and ends when we do.

Called by batch.jobs, from a thread that lives as long as its process: the kernel watches the thread that started it.
Its output goes to a log. Restarts nothing: who started it looks at `poll()`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.compute import leash
from headrace.compute.job import FIXED, NICE


def start_program(argv: Sequence[str], *, log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Nice, in a session of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(NICE), *argv]
    with log.open("ab") as output:
        return subprocess.Popen(
            leashed,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**env, **FIXED},
            start_new_session=True,
        )
