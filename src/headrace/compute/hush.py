"""A secret of ours taken out of what somebody says, however it is cut into pieces.

Called by upstream.py for services that were shown a key: some say it back in an error, and from there it would go to
callers, into the journal and into traces. Decides how little is held back: what might be the secret's beginning, at the
end of a piece. Ignores a secret that is spelled otherwise, and one so short that it would be found by chance.
"""

from __future__ import annotations

SHORT = 8  # "none" and the like are no secrets
INSTEAD = b"[key]"


class Hush:
    """Of one answer."""

    __slots__ = ("_held", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        data = self._held + piece if self._held else piece
        secret = self._secret
        if secret in data:
            data = data.replace(secret, INSTEAD)
        self._held = b""
        at = data.find(secret[:1], max(0, len(data) - len(secret) + 1))
        while at >= 0:
            if secret.startswith(data[at:]):
                self._held = data[at:]
                return data[:at]
            at = data.find(secret[:1], at + 1)
        return data

    def rest(self) -> bytes:
        """At the end: what was held back was not the secret."""
        held, self._held = self._held, b""
        return held
