"""Secrets by name: sealed wherever they are written down, open in memory alone.

Called by the control plane (seal, renew) and by data planes (open). A reference to a secret is its name, or env:NAME
for a variable of the process that needs it. Decides nothing about who may have one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.base.masters import Master, Masters, WeakKey
from headrace.base.secret import Secret
from headrace.types.errors import BadInput, NotFound, Unavailable

if TYPE_CHECKING:
    from headrace.store.envelope import Envelope

ENV = "env:"
_VARIABLES = re.compile(r"UPSTREAM_[A-Z0-9_]+|[A-Z0-9_]+_API_KEY")


class Vault:
    """Nothing is read or loaded before the first secret is met."""

    def __init__(self, folder: Path, master: Secret) -> None:
        self._folder, self._master = folder, master
        self._masters: Masters | None = None
        self._envelope: Envelope | None = None
        self._opened: dict[tuple[str, str], Secret] = {}

    def reveal(self, reference: str, sealed: Mapping[str, str]) -> Secret:
        """What a provider's or a key's `secret` refers to. Raises NotFound, Unavailable."""
        if reference.startswith(ENV):
            return _variable(reference.removeprefix(ENV))
        if reference not in sealed:
            there = ", ".join(sorted(sealed)) or "none yet"
            raise NotFound(
                f"there is no secret {reference!r}; there are: {there}", hint=f"headrace secret set {reference}"
            )
        return self.open(reference, sealed[reference])

    def open(self, name: str, sealed: str) -> Secret:
        found = self._opened.get((name, sealed))
        if found is None:
            if len(self._opened) >= 1024:
                self._opened.clear()
            found = self._opened[name, sealed] = self._ready().open(name, sealed)
        return found

    def seal(self, name: str, text: Secret) -> str:
        """Raises BadInput for an empty one."""
        if not text.reveal().strip():
            raise BadInput(f"the value of secret {name!r} is empty", field="value")
        return self._ready().seal(name, text)

    def turn(self, sealed: Mapping[str, str]) -> tuple[Master, dict[str, str]]:
        """A new master key where it is in a file (one from the environment is turned there), and all under it."""
        envelope = self._ready()
        assert self._masters is not None  # made with the envelope
        if self._masters.from_file:
            self._masters.turn()
        return self._masters.current, {name: envelope.renew(name, text) for name, text in sealed.items()}

    def _ready(self) -> Envelope:
        if self._envelope is None:
            if find_spec("cryptography") is None:
                raise Unavailable("sealed secrets need the extra gateway", hint="pip install 'headrace[gateway]'")
            from headrace.store.envelope import Envelope  # noqa: PLC0415 -- an extra, and 12 MB

            try:
                self._masters = Masters(self._folder, self._master)
            except WeakKey as error:
                raise Unavailable(str(error), field="master_key") from error
            self._envelope = Envelope(self._masters)
        return self._envelope


def _variable(name: str) -> Secret:
    """Others than these, such as our own token, may not be named: a configuration says where a secret is sent."""
    if not _VARIABLES.fullmatch(name):
        raise BadInput(
            f"secret is {ENV + name!r}; allowed: env: and a name that begins with UPSTREAM_ or ends with _API_KEY",
            field="secret",
        )
    value = os.environ.get(name, "")
    if not value or not value.isprintable():
        raise Unavailable(f"the variable {name!r} is {'not one line' if value else 'not set'} in this process")
    return Secret(value)
