"""What a person may call a model version, and which one that is. Pure.

Called by registry. `models:/digits/3` is a number, `models:/digits/Production` a stage (upper or lower case alike),
`models:/digits@champion` an alias, `models:/digits/latest` the highest number. Ignores where the versions come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.types.errors import BadInput, NotFound
from headrace.types.model import Stage

SCHEME = "models:/"
LATEST = "latest"
FORMS = "models:/NAME/3, models:/NAME/Production, models:/NAME@ALIAS or models:/NAME/latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Exactly one of `version`, `stage`, `alias` and `latest` is set."""

    name: str
    version: int = 0
    stage: Stage | None = None
    alias: str = ""
    latest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A version as the registry lists it."""

    version: int
    stage: Stage


def read_reference(uri: str) -> Reference:
    """Raises BadInput for anything that is not one of FORMS."""
    if not uri.startswith(SCHEME):
        raise BadInput(f"model {uri!r} is not a registry URI; allowed: {FORMS}", field="model")
    body = uri.removeprefix(SCHEME).strip("/")
    name, separator, wanted = body.rpartition("@") if "@" in body else body.rpartition("/")
    if not name or not wanted or "/" in name:
        hint = "register the logged model first" if body.startswith("m-") and not separator else None
        raise BadInput(f"model {uri!r} names no version; allowed: {FORMS}", field="model", hint=hint)
    if separator == "@":
        return Reference(name=name, alias=wanted)
    if wanted.isascii() and wanted.isdigit():
        return Reference(name=name, version=int(wanted))
    if wanted.lower() == LATEST:
        return Reference(name=name, latest=True)
    stage = stage_named(wanted)
    if stage is None:
        stages = ", ".join(s.value for s in Stage)
        raise NotFound(
            f"{wanted!r} is no version number and no stage; stages: {stages}",
            field="stage",
            hint=f"an alias is written {SCHEME}{name}@{wanted}",
        )
    return Reference(name=name, stage=stage)


def stage_named(text: str) -> Stage | None:
    """MLflow's stage of that name, whatever its case."""
    return next((stage for stage in Stage if stage.value.lower() == text.lower()), None)


def choose(reference: Reference, listed: Sequence[Listed], aliases: Mapping[str, int]) -> int:
    """The version number. Raises NotFound, listing what there is. Of several in a stage, the latest wins."""
    if reference.alias:
        if reference.alias not in aliases:
            raise _missing(reference.name, f"alias {reference.alias!r}", "alias", sorted(aliases))
        return aliases[reference.alias]
    if reference.stage is not None:
        found = [v.version for v in listed if v.stage is reference.stage]
        if not found:
            there = [f"v{v.version} is in {v.stage.value}" for v in sorted(listed, key=lambda v: v.version)]
            raise _missing(reference.name, f"version in stage {reference.stage.value!r}", "stage", there)
        return max(found)
    numbers = sorted(v.version for v in listed)
    if reference.latest and numbers:
        return numbers[-1]
    if reference.version not in numbers:
        raise _missing(
            reference.name,
            f"version {LATEST if reference.latest else reference.version!r}",
            "version",
            [str(n) for n in numbers],
        )
    return reference.version


def _missing(name: str, what: str, field: str, there: Sequence[str]) -> NotFound:
    return NotFound(f"model {name!r} has no {what}; there is: {', '.join(there) or 'none'}", field=field)
