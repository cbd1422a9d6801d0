"""Sealed texts: AES-256-GCM under a key of their own, which is sealed under a master key. Needs the extra `gateway`.

Called by secrets.py. A sealed text is `hr1.MASTER.KEY.TEXT`: the id of the master key, the text's own key sealed under
it, the text sealed under that. The name that it is kept under is part of both seals, so that one cannot be put in the
place of another. Turning the master key seals the small keys anew, and no text.
"""

from __future__ import annotations

import binascii
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.base.masters import Masters
from headrace.base.secret import Secret
from headrace.types.errors import Unavailable

FORM = "hr1"
_NONCE = 12


class Envelope:
    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    def seal(self, name: str, text: Secret) -> str:
        own = AESGCM.generate_key(256)
        return self._written(name, own, _b64(_seal(own, name, text.reveal().encode())))

    def open(self, name: str, sealed: str) -> Secret:
        """Raises Unavailable; neither the text nor the sealed form is in the message."""
        _, own, text = self._read(name, sealed)
        try:
            return Secret(_open(own, name, _bytes(text)).decode())
        except (InvalidTag, binascii.Error, UnicodeDecodeError):
            raise _damaged(name) from None

    def renew(self, name: str, sealed: str) -> str:
        """Under the master key of today."""
        master, own, text = self._read(name, sealed)
        return sealed if master == self._masters.current.id else self._written(name, own, text)

    def _written(self, name: str, own: bytes, text: str) -> str:
        current = self._masters.current
        return ".".join((FORM, current.id, _b64(_seal(current.key, name, own)), text))

    def _read(self, name: str, sealed: str) -> tuple[str, bytes, str]:
        form, _, rest = sealed.partition(".")
        parts = rest.split(".")
        if form != FORM or len(parts) != 3:
            raise _damaged(name)
        master = self._masters.find(parts[0])
        if master is None:
            raise Unavailable(
                f"secret {name!r} is sealed under master key {parts[0][:16]!r}, which is not here",
                hint="HEADRACE_MASTER_KEY, or keys/master.key in the data folder",
            )
        try:
            return parts[0], _open(master.key, name, _bytes(parts[1])), parts[2]
        except (InvalidTag, binascii.Error):
            raise _damaged(name) from None


def _seal(key: bytes, name: str, data: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, name.encode())


def _open(key: bytes, name: str, data: bytes) -> bytes:
    return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], name.encode())


def _damaged(name: str) -> Unavailable:
    return Unavailable(
        f"secret {name!r} is damaged, or was sealed under another name", hint=f"headrace secret set {name}"
    )


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
