"""Where the chat application lives in the data folder, and what only it and we know.

Called by the command line, which makes it all before the first start, and by the control plane, which reads it.
Decides the secrets: made once, random, in one file for this user alone. Without that file there is no chat application.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from headrace.base.files import write_atomic
from headrace.base.secret import Secret
from headrace.base.settings import Settings

ADMIN = "headrace@localhost"  # the account with which ratings are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Folders: the environment, and what the application itself keeps (its database, uploads)."""

    environment: Path
    data: Path
    file: Path

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """`url`: where the application answers, once it was started. `key`: the virtual key that it calls with."""

    url: str = ""
    email: str = ADMIN
    password: Secret
    session: Secret  # it signs its own sessions with this
    users: Secret  # it signs whom it calls for with this
    bell: Secret  # it proves with this that a ring is its own
    key: Secret = Secret("")


def place_of(settings: Settings) -> Place:
    root = settings.home / "chat"
    return Place(
        environment=Path(settings.chat_environment).expanduser().absolute()
        if settings.chat_environment
        else root / "environment",
        data=root / "data",
        file=settings.keys / "chat.json",
    )


def load(place: Place) -> Connection | None:
    """None: no chat application was ever started on this folder."""
    try:
        given: dict[str, Any] = msgspec.json.decode(place.file.read_bytes())
    except FileNotFoundError:
        return None
    hidden = {name: Secret(given[name]) for name in ("password", "session", "users", "bell", "key")}
    return Connection(url=given["url"], email=given["email"], **hidden)


def load_or_make(place: Place) -> Connection:
    return load(place) or Connection(password=_random(), session=_random(), users=_random(), bell=_random())


def save(place: Place, connection: Connection, **changes: Any) -> Connection:
    changed = replace(connection, **changes)
    place.file.parent.mkdir(parents=True, exist_ok=True)
    values = {f.name: getattr(changed, f.name) for f in fields(changed)}
    told = {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}
    write_atomic(place.file, msgspec.json.encode(told), mode=0o600)
    return changed


def _random() -> Secret:
    return Secret(secrets.token_urlsafe(32))
