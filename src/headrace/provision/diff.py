"""What a change of the gateway changes: one line a provider, key, person, limit, price or secret. Pure.

Called by service.py, for a look before and for the history after. Decides what is the same thing in two versions. No
line holds a hash or anything sealed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.provision.document import described, legible, written
from headrace.types.gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`deed`: add, change, remove. `detail`: field by field, what it was and what it is."""

    section: str
    name: str
    deed: str
    detail: str = ""

    def words(self) -> str:
        return f"{self.deed} {self.section} {self.name}" + (f": {self.detail}" if self.detail else "")


_LIMIT = ("level", "who", "counted", "window", "dry_run")
_PRICE = ("provider", "model", "since", "above")


def diff(before: Gateway, after: Gateway) -> tuple[Line, ...]:
    lines: list[Line] = []
    old, new = _named(before), _named(after)
    for section in new:
        for name in dict.fromkeys((*old[section], *new[section])):
            had, has = old[section].get(name), new[section].get(name)
            if had is None:
                lines.append(Line(section=section, name=name, deed="add"))
            elif has is None:
                lines.append(Line(section=section, name=name, deed="remove"))
            elif had != has:
                lines.append(Line(section=section, name=name, deed="change", detail=_detail(section, had, has)))
    return tuple(lines)


def _named(gateway: Gateway) -> dict[str, dict[str, dict[str, Any]]]:
    content = written(gateway)
    return {
        "provider": {each["name"]: each for each in content["providers"]},
        "key": {
            key.name or key.id: legible(described(key)) | {"secret": key.hash}
            for key in gateway.keys
            if not key.revoked
        },
        "person": {each["user"]: each for each in content["people"]},
        "limit": {" ".join(str(each[n]) for n in _LIMIT if n in each): each for each in content["limits"]},
        "price": {" ".join(str(each[n]) for n in _PRICE if n in each): each for each in content["prices"]},
        "endpoint": {e.name: {"version": e.version, **e.settings} for e in gateway.endpoints},
        "secret": {name: {"value": sealed} for name, sealed in gateway.secrets.items()},
    }


def _detail(section: str, had: dict[str, Any], has: dict[str, Any]) -> str:
    told = []
    for name in dict.fromkeys((*had, *has)):
        if had.get(name) != has.get(name):
            hidden = (name == "secret" and section == "key") or section == "secret"
            told.append(f"new {name}" if hidden else f"{name} {had.get(name)!r} → {has.get(name)!r}")
    return ", ".join(told)
