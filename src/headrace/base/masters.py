"""The master keys that seal secrets: the one of today, and those before it that still open what they sealed.

Called by store/secrets.py. Decides where a master key is from (HEADRACE_MASTER_KEY, else a file in the keys folder
that is made on first use), and that one which can be guessed or read by others is refused.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from headrace.base.files import write_atomic
from headrace.base.secret import Secret

FILE = "master.key"
SIZE = 32
_VARIETY = 16  # different bytes among 32; random ones have 30


class WeakKey(ValueError):
    """A master key that is not one; the message never holds it."""


@dataclass(frozen=True, slots=True)
class Master:
    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Master({self.id!r})"


class Masters:
    """Read anew when one is asked for that is not known: another process may have turned it."""

    def __init__(self, folder: Path, given: Secret) -> None:
        """`given`: keys as base64 or hex, the one of today first; empty: files in `folder`. Raises WeakKey."""
        self._folder, self._given = folder, given
        self._known = self._load()

    @property
    def current(self) -> Master:
        return self._known[0]

    @property
    def from_file(self) -> bool:
        return not self._given

    def find(self, wanted: str) -> Master | None:
        found = self._among(wanted)
        if found is None and self.from_file:
            self._known = self._load()
            found = self._among(wanted)
        return found

    def turn(self) -> Master:
        """A new key of today in the folder; the one before stays beside it, for what it sealed."""
        former, path = self.current, self._folder / FILE
        write_atomic(self._folder / f"master-{former.id}.key", _text(former.key), mode=0o600)
        write_atomic(path, _text(secrets.token_bytes(SIZE)), mode=0o600)
        self._known = self._load()
        return self.current

    def refresh(self) -> None:
        if self.from_file:
            self._known = self._load()

    def _among(self, wanted: str) -> Master | None:
        return next((master for master in self._known if master.id == wanted), None)

    def _load(self) -> tuple[Master, ...]:
        if self._given:
            return tuple(
                master_of(part, "HEADRACE_MASTER_KEY") for part in self._given.reveal().split(",") if part.strip()
            )
        path = self._folder / FILE
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, _text(secrets.token_bytes(SIZE)), mode=0o600, replace=False)
        return tuple(_read(each) for each in (path, *sorted(self._folder.glob("master-*.key"))))


def master_of(text: str, where: str) -> Master:
    """Raises WeakKey."""
    key = _decoded(text.strip())
    if len(key) != SIZE:
        raise WeakKey(f"{where} holds {len(key)} bytes; it has to be {SIZE} random ones, as base64 or hex: {MAKE}")
    if len(set(key)) < _VARIETY or all(32 <= byte < 127 for byte in key):
        raise WeakKey(f"{where} is not random, so it can be guessed: {MAKE}")
    return Master(blake2b(key, digest_size=6, person=b"headrace master").hexdigest(), key)


MAKE = "openssl rand -base64 32"


def _decoded(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)) if "-" in text or "_" in text else b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def _read(path: Path) -> Master:
    if path.stat().st_mode & 0o077:
        raise WeakKey(f"{path} can be read by others: chmod 600 {path}")
    return master_of(path.read_text(), str(path))


def _text(key: bytes) -> bytes:
    return b64encode(key) + b"\n"
