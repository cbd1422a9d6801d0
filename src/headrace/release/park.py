"""Load and unload: an endpoint that is parked stays known, but no data plane holds its models.

Called by the service for V2's model repository. A load brings a parked endpoint back as it was; of a registered model
that has no endpoint, it deploys the version in Production, or else the latest, under the model's name. Decides also
which words of a Triton configuration may change how an endpoint batches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from headrace.release.configure import bounded
from headrace.release.deploy import check_free, check_name, confirm, deploy, note_move, publish_change
from headrace.release.parts import Cause, Parts, Progress
from headrace.store import endpoints, versions
from headrace.types.endpoint import Batching, Endpoint
from headrace.types.errors import BadInput, NotFound
from headrace.types.model import Stage

# Keys of a Triton configuration that say what a model is; here the version says it, so they change nothing.
TOLD = frozenset(
    {"name", "platform", "backend", "runtime", "version_policy", "input", "output", "default_model_filename"}
)
_QUEUE = frozenset({"max_queue_size", "default_timeout_microseconds", "timeout_action", "allow_timeout_override"})
_DYNAMIC = frozenset(
    {
        "preferred_batch_size",
        "max_queue_delay_microseconds",
        "priority_levels",
        "default_priority_level",
        "default_queue_policy",
    }
)


def unload(parts: Parts, *, name: str, cause: Cause, progress: Progress) -> Endpoint:
    """Raises NotFound, and Conflict while a release moves the endpoint. What is parked already stays so."""
    cause = replace(cause, action="endpoint.unload")
    return _change(parts, name, cause=cause, progress=progress, parked=True)


def load(parts: Parts, *, name: str, config: dict[str, Any] | None, actor: str, progress: Progress) -> Endpoint:
    """Raises NotFound, Conflict, BadInput for a configuration, ModelRefused when the data planes cannot load it."""
    check_name(name)
    with parts.database.read() as conn:
        found = endpoints.get(conn, name)
    if found is None:
        cause = Cause(actor=actor)
        deploy(parts, endpoint=name, source=_registered(parts, name), cause=cause, progress=progress)
        if config is None:
            with parts.database.read() as conn:
                found = endpoints.get(conn, name)
            assert found is not None
            return found
    cause = Cause(actor=actor, action="endpoint.load")
    return _change(parts, name, cause=cause, progress=progress, parked=False, config=config)


def batching_of(config: dict[str, Any], now: Batching) -> Batching:
    """`now` with what the configuration says. Raises BadInput for a key or a value that is not taken here."""
    given: dict[str, Any] = {}
    for key, value in config.items():
        if key == "max_batch_size":
            given[key] = value
        elif key == "dynamic_batching":
            given |= _dynamic(value)
        elif key == "instance_group":
            given["instances"] = _count(value)
        elif key not in TOLD:
            allowed = ", ".join(sorted({"max_batch_size", "dynamic_batching", "instance_group", *TOLD}))
            raise BadInput(f"the configuration has {key!r}; allowed: {allowed}", field="config")
    try:
        made = msgspec.convert({**msgspec.to_builtins(now), **given}, Batching)
    except msgspec.ValidationError as error:
        raise BadInput(f"the configuration cannot be: {error}", field="config") from None
    bounded("batching", made)
    return made


def _change(
    parts: Parts,
    name: str,
    *,
    cause: Cause,
    progress: Progress,
    parked: bool,
    config: dict[str, Any] | None = None,
) -> Endpoint:
    with parts.database.write() as conn:
        before = endpoints.get(conn, name)
        if before is None:
            there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
            raise NotFound(f"there is no model {name[:100]!r}; there are: {there}", field="model")
        check_free(conn, name)
        batching = before.batching if config is None else batching_of(config, before.batching)
        if before.parked is parked and batching == before.batching:
            return before
        detail = f"{name}: {'unloaded' if parked else 'loaded'}"

        def change(old: Endpoint | None) -> Endpoint:
            assert old is not None
            return replace(old, parked=parked, batching=batching)

        plan = publish_change(conn, parts, name, change, reason=detail)
        note_move(conn, parts, plan, endpoint=name, before=before, cause=cause, detail=detail)
    confirm(parts, plan, endpoint=name, before=before, actor=cause.actor, progress=progress)
    return replace(before, parked=parked, batching=batching)


def _registered(parts: Parts, name: str) -> str:
    with parts.database.read() as conn:
        known = versions.all(conn, name)
        there = ", ".join(sorted({e.name for e in endpoints.all(conn)} | set(versions.names(conn)))) or "none yet"
    if not known:
        raise NotFound(f"there is no model {name!r}; there are: {there}", field="model")
    chosen = next((v for v in known if v.stage is Stage.PRODUCTION), max(known, key=lambda v: v.version))
    return chosen.uri


def _dynamic(value: Any) -> dict[str, Any]:
    found = _known(value, _DYNAMIC, "dynamic_batching")
    policy = found.pop("default_queue_policy", None)
    return found | (_known(policy, _QUEUE, "default_queue_policy") if policy is not None else {})


def _known(value: Any, allowed: frozenset[str], name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= allowed:
        raise BadInput(f"{name} is {value!r}; allowed keys: {', '.join(sorted(allowed))}", field="config")
    return dict(value)


def _count(groups: Any) -> int:
    """Of all groups together. Kind and place are not a caller's to choose here."""
    try:
        return sum(msgspec.convert([group.get("count", 1) for group in groups], list[int]))
    except (AttributeError, TypeError, msgspec.ValidationError):
        raise BadInput(
            f"instance_group is {groups!r}; allowed: a list of groups with a count", field="config"
        ) from None
