"""Who may do what where. What they did is in types/history.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"  # sees
    OPERATOR = "operator"  # deploys, releases, rolls back
    ADMIN = "admin"  # also keys, users, settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    name: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person or a part of the platform ("system:release")."""

    name: str
    role: Role = Role.OPERATOR
    workspace: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key: the public prefix and the sha256 of the whole; the key itself is shown once and never stored."""

    prefix: str
    sha256: str
    name: str
    created: float
    workspace: str = "default"
