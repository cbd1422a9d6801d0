"""The environment of the chat application: made once, from pins that were tried together.

Called by `headrace chat install` and by a start that finds none. Decides when an environment is good: it was made from
the same pins, to the end. open-webui.txt is the whole of it: what Open WebUI asks for, without the parts that bring
torch (its own speech recognition, embeddings and text recognition), which the gateway or another service can give.
uv installs it in seconds where there is one; pip takes minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from headrace.chat.place import Place
from headrace.types.errors import Unavailable

PINS = Path(__file__).with_name("open-webui.txt")
VERSION = "0.12.4"
MEGABYTES = 1_100
OLDEST, NEWEST = (3, 11), (3, 12)  # Pythons that it runs on
_STAMP = ".headrace"  # in the environment: of which pins it was made


def is_installed(place: Place) -> bool:
    with suppress(OSError):
        return (place.environment / _STAMP).read_text() == _mark() and place.python.exists()
    return False


def install(place: Place, tell: Callable[[str], None]) -> None:
    """Into an empty folder; what was left half-made is made anew. Raises Unavailable, with the installer's words."""
    if place.environment.exists():
        shutil.rmtree(place.environment)
    place.environment.parent.mkdir(parents=True, exist_ok=True)
    tell(f"making an environment at {place.environment}")
    uv = find_uv()
    for line in _run(_venv(place, uv)):
        tell(line)
    tell(f"installing Open WebUI {VERSION} and {len(pins()) - 1} packages that it needs, about {MEGABYTES} MB")
    for line in _run(_packages(place, uv)):
        tell(line)
    (place.environment / _STAMP).write_text(_mark())


def pins() -> tuple[str, ...]:
    return tuple(line for line in PINS.read_text().splitlines() if line and not line.startswith("#"))


def find_uv() -> str:
    """Beside our own Python, else on the path; empty: there is none."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv") or ""


def _venv(place: Place, uv: str) -> list[str]:
    ours = OLDEST <= sys.version_info[:2] <= NEWEST
    if uv:
        python = sys.executable if ours else "{}.{}".format(*NEWEST)
        return [uv, "venv", "--python", python, str(place.environment)]
    if not ours:
        raise Unavailable(
            f"Open WebUI runs on Python 3.11 and 3.12, and this is {sys.version_info[0]}.{sys.version_info[1]}",
            hint="install uv, which brings a Python of its own",
        )
    return [sys.executable, "-m", "venv", str(place.environment)]


def _packages(place: Place, uv: str) -> list[str]:
    """`--no-deps`: the pins are all there is to install, and what they leave out shall stay out."""
    if uv:
        return [uv, "pip", "install", "--no-deps", "--python", str(place.python), "-r", str(PINS)]
    return [str(place.python), "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "-r", str(PINS)]


def _run(command: list[str]) -> Iterator[str]:
    """Its lines, as it writes them."""
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # a pipe was asked for
        for line in process.stdout:
            said.append(line.strip())
            yield line.strip()
    if process.returncode:
        words = " ".join(said[-6:]) or "it said nothing"
        raise Unavailable(f"Open WebUI could not be installed: {words[:600]}", hint="is there a way to the packages?")


def _mark() -> str:
    return sha256(PINS.read_bytes()).hexdigest()
