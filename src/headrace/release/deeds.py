"""What people do, written down exactly: a second person approves that and nothing else, and it can be done later.

Called by the service. A version is named by its number and an undo by the entry it takes back: what an alias or "the
last move" means may have changed by the time that somebody says yes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from headrace.release.adapters import Written
from headrace.release.parts import Progress
from headrace.release.record import RegistryCall
from headrace.release.services import KINDS, Service, kind_of
from headrace.types.approval import Action, Approval, Deed, Registry
from headrace.types.endpoint import Endpoint
from headrace.types.errors import Conflict
from headrace.types.model import ModelVersion, Stage
from headrace.types.release import Release
from headrace.types.strategy import ReleasePlan


class Doer(Protocol):
    """What a deed needs of release.service."""

    def deploy(
        self,
        endpoint: str,
        source: str | Service,
        *,
        actor: str,
        reason: str,
        adapter: Written | None,
        progress: Progress,
    ) -> Endpoint: ...
    def start(
        self,
        endpoint: str,
        candidate_uri: str,
        *,
        actor: str,
        plan: ReleasePlan,
        also: Mapping[str, str],
        adapters: Mapping[str, Written],
        progress: Progress,
    ) -> Release: ...
    def promote(self, release_id: str, *, actor: str, reason: str) -> Release: ...
    def resume(self, release_id: str, *, actor: str, reason: str) -> Release: ...
    def undo(self, endpoint: str, *, actor: str, reason: str, entry: int, progress: Progress) -> Endpoint: ...
    def unload(self, name: str, *, actor: str, reason: str, progress: Progress) -> Endpoint: ...
    def configure(
        self, endpoint: str, changes: dict[str, Any], *, actor: str, reason: str, progress: Progress
    ) -> Endpoint: ...
    def move_stage(
        self, model: str, version: int, stage: Stage, *, actor: str, reason: str, progress: Progress
    ) -> ModelVersion: ...
    def move_alias(self, model: str, alias: str, version: int, *, actor: str, reason: str) -> None: ...


def perform(doer: Doer, request: Approval, progress: Progress) -> None:
    """As the one who asked for it."""
    deed, given = request.deed, request.deed.arguments or {}
    who: dict[str, Any] = {"actor": request.actor, "reason": request.reason}
    long: dict[str, Any] = who | {"progress": progress}
    match deed.kind:
        case Action.DEPLOY:
            adapter = msgspec.convert(given["adapter"], Written) if "adapter" in given else None
            doer.deploy(deed.endpoint, _source(given["source"]), adapter=adapter, **long)
        case Action.RELEASE:
            plan = msgspec.convert(given["plan"], ReleasePlan)
            others = dict(given["candidates"])
            candidate = others.pop(deed.endpoint)
            adapters = msgspec.convert(given["adapters"], dict[str, Written])
            doer.start(
                deed.endpoint,
                candidate,
                plan=plan,
                also=others,
                adapters=adapters,
                actor=request.actor,
                progress=progress,
            )
        case Action.PROMOTE:
            doer.promote(given["release"], **who)
        case Action.RESUME:
            doer.resume(given["release"], **who)
        case Action.UNDO:
            doer.undo(deed.endpoint, entry=given["entry"], **long)
        case Action.UNLOAD:
            doer.unload(deed.endpoint, **long)
        case Action.CONFIGURE:
            doer.configure(deed.endpoint, given["changes"], **long)
        case Registry.STAGE:
            doer.move_stage(deed.model, given["version"], Stage(given["stage"]), **long)
        case Registry.ALIAS:
            doer.move_alias(deed.model, given["alias"], given["version"], **who)
        case _:
            raise Conflict(
                f"request {request.id} is for {deed.kind!r}, which this version does not know", field="approval"
            )


def deploying(endpoint: str, model: str, source: str | Service, adapter: Written | None) -> Deed:
    exact: Any = source
    if isinstance(source, Service):
        exact = {"kind": kind_of(source.what), "name": source.name, "what": msgspec.to_builtins(source.what)}
    return Deed(
        kind=Action.DEPLOY,
        endpoint=endpoint,
        model=model,
        arguments={"source": exact} | ({} if adapter is None else {"adapter": msgspec.to_builtins(adapter)}),
    )


def releasing(endpoint: str, candidates: Mapping[str, str], plan: ReleasePlan, adapters: Mapping[str, Written]) -> Deed:
    """`candidates`: by endpoint, all that it moves."""
    same = msgspec.convert(msgspec.to_builtins(plan), ReleasePlan)  # as it is read back: 1 s becomes 1.0 s
    written = {name: msgspec.to_builtins(adapter) for name, adapter in adapters.items()}
    given = {"candidates": dict(candidates), "plan": msgspec.to_builtins(same), "adapters": written}
    return Deed(kind=Action.RELEASE, endpoint=endpoint, arguments=given)


def resuming(release: Release) -> Deed:
    """From the step that it stands on."""
    given = {
        "release": release.id,
        "step": release.step,
        "candidates": {m.endpoint: m.candidate_uri for m in release.members},
    }
    return Deed(kind=Action.RESUME, endpoint=release.endpoint, arguments=given)


def promoting(release: Release) -> Deed:
    given = {"release": release.id, "candidates": _candidates(release)}
    return Deed(kind=Action.PROMOTE, endpoint=release.endpoint, arguments=given)


def staging(model: str, version: int, stage: str, leaves: str) -> Deed:
    """`leaves`: the stage that the version is in."""
    given = {"version": version, "stage": stage, "leaves": [leaves]}
    return Deed(kind=Registry.STAGE, model=model, arguments=given)


def aliasing(model: str, alias: str, version: int) -> Deed:
    """Version 0: nowhere."""
    return Deed(kind=Registry.ALIAS, model=model, arguments={"alias": alias, "version": version})


def of_call(call: RegistryCall, leaves: str) -> Deed:
    if call.name:
        return aliasing(call.model, call.name, call.version)
    return staging(call.model, call.version, call.stage, leaves)


def sentence_of(deed: Deed) -> str:
    """What is to be done, in words."""
    given = deed.arguments or {}
    match deed.kind:
        case Action.DEPLOY:
            source = given["source"]
            what = source if isinstance(source, str) else source["what"]["url"]
            return f"{what} takes all traffic of {deed.endpoint}"
        case Action.RELEASE:
            moved = (f"{uri} on {name}" for name, uri in given["candidates"].items())
            return f"a release of {', '.join(moved)}"
        case Action.PROMOTE:
            return f"release {given['release']} of {deed.endpoint} gets all traffic now"
        case Action.RESUME:
            return f"release {given['release']} of {deed.endpoint} goes on from step {given['step'] + 1}"
        case Action.UNDO:
            return f"the last move of {deed.endpoint} (entry {given['entry']}) is taken back"
        case Action.UNLOAD:
            return f"{deed.endpoint} is unloaded"
        case Action.CONFIGURE:
            return f"{deed.endpoint} is set to {msgspec.json.encode(given['changes']).decode()}"
        case Registry.STAGE:
            return f"{deed.model} version {given['version']} moves to {given['stage']}"
    where = f"version {given['version']}" if given["version"] else "nothing"
    return f"@{given['alias']} of {deed.model} points to {where}"


def _candidates(release: Release) -> dict[str, str]:
    return {member.endpoint: member.candidate_uri for member in release.members}


def _source(given: Any) -> str | Service:
    if isinstance(given, str):
        return given
    return Service(name=given["name"], what=msgspec.convert(given["what"], KINDS[given["kind"]]))
