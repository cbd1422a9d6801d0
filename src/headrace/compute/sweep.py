"""What a killed supervisor left behind.

Called by `headrace up` once it holds the lock of the data folder: every process that carries the mark of this folder's
supervisor is then an orphan by definition. Decides nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from headrace.compute.supervise import MARK


def orphans(state_file: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state_file) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # gone, or another user's
            continue
    return found


def sweep(state_file: Path, *, patience: float) -> int:
    """End them: asked first, killed after `patience` seconds. How many there were."""
    left = orphans(state_file)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=patience)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return len(left)
