"""Everything that changes an endpoint's traffic, in one object: what the admin API, the console and the clock call.

Thread-safe. Long work (deploy, start, stage moves) is one at a time for an endpoint; the clock does not wait for it,
since every change reads what it changes in its own transaction.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from headrace.base.ids import new_id
from headrace.base.log import fields
from headrace.release import act, deeds, moves, permit, protect
from headrace.release import undo as undoing
from headrace.release.adapters import Written
from headrace.release.claims import Claims
from headrace.release.configure import configure
from headrace.release.deploy import deploy
from headrace.release.dryrun import DryRun, dry_run
from headrace.release.failover import Failovers
from headrace.release.moves import said_by
from headrace.release.park import load, unload
from headrace.release.parts import Cause, Parts, Progress
from headrace.release.plans import default_plan
from headrace.release.ready import describe, resolve
from headrace.release.record import RegistryCall
from headrace.release.services import Service, is_url, registered_uri
from headrace.release.stage import move_stage
from headrace.release.start import prepare, register, wishes_of
from headrace.release.story import Stories, Told
from headrace.release.sync import sync
from headrace.release.together import Together, Wish, make
from headrace.release.turn import Turn
from headrace.release.undo import Undo
from headrace.store import endpoints, pairs, releases
from headrace.types.approval import Action, Approval, ApprovalState, Deed
from headrace.types.endpoint import Endpoint
from headrace.types.errors import BadInput, Conflict, HeadraceError
from headrace.types.model import ModelVersion, Stage
from headrace.types.release import Release
from headrace.types.strategy import ReleasePlan

log = logging.getLogger("headrace.release")


class Releases:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = Turn(parts)
        self._failovers = Failovers(parts)
        self._ticking = threading.Lock()
        self._syncing = threading.Lock()
        self._busy: set[str] = set()
        self._starting: set[str] = set()
        self._guard = threading.Lock()
        self._claims = Claims(parts.clock)
        self._stories = Stories(parts.database)
        moves.release_all(parts)

    def deploy(
        self,
        endpoint: str,
        source: str | Service,
        *,
        actor: str,
        reason: str = "",
        adapter: Written | None = None,
        progress: Progress = log.debug,
    ) -> Endpoint:
        """A version live at once, with all traffic."""
        cause = Cause(actor=actor, reason=reason)
        if self._guarded():
            version = resolve(self._parts, source, endpoint=endpoint)
            source = version.uri if isinstance(source, str) and not is_url(source) else source
            cause = self._permit(deeds.deploying(endpoint, version.name, source, adapter), cause)
        with self._alone(endpoint):
            return deploy(
                self._parts, endpoint=endpoint, source=source, adapter=adapter, cause=cause, progress=progress
            )

    def describe(
        self, endpoint: str, service: Service, *, coming: Collection[str] = (), progress: Progress = log.debug
    ) -> ModelVersion:
        """A service elsewhere, or a chat model, as a version without traffic: what a release can start from. `coming`:
        providers that the gateway will know."""
        version = resolve(self._parts, service, endpoint=endpoint)
        described = describe(self._parts, service, version, progress, coming=coming)
        return replace(described.model, uri=registered_uri(version))

    def load(
        self, name: str, *, config: dict[str, Any] | None = None, actor: str, progress: Progress = log.debug
    ) -> Endpoint:
        """Into the data planes' memory; a registered model without an endpoint gets one of its name."""
        with self._alone(name):
            return load(self._parts, name=name, config=config, actor=actor, progress=progress)

    def unload(self, name: str, *, actor: str, reason: str = "", progress: Progress = log.debug) -> Endpoint:
        """Out of it; the endpoint stays known."""
        cause = self._permit(Deed(kind=Action.UNLOAD, endpoint=name), Cause(actor=actor, reason=reason))
        with self._alone(name):
            return unload(self._parts, name=name, cause=cause, progress=progress)

    def configure(
        self, endpoint: str, changes: dict[str, Any], *, actor: str, reason: str = "", progress: Progress = log.debug
    ) -> Endpoint:
        """Batching, cache, limits, capture, approvals: in force without a reload."""
        deed = Deed(kind=Action.CONFIGURE, endpoint=endpoint, arguments={"changes": changes})
        cause = self._permit(deed, Cause(actor=actor, reason=reason, action="endpoint.set"))
        with self._alone(endpoint):
            return configure(self._parts, name=endpoint, changes=changes, cause=cause, progress=progress)

    @contextmanager
    def together(self, wishes: Sequence[Wish], *, actor: str, reason: str = "") -> Iterator[Together]:
        """Several chat endpoints, ready to be changed in one plan; nobody else changes them meanwhile. Raises Conflict,
        ApprovalNeeded, ModelRefused before anything has changed."""
        with ExitStack() as stack:
            for name in sorted(wish.endpoint for wish in wishes):
                stack.enter_context(self._alone(name))
            made = [make(self._parts, wish, permitted=partial(self._permitted, wish, actor, reason)) for wish in wishes]
            yield Together(self._parts, made, actor)

    def _permitted(self, wish: Wish, actor: str, reason: str, model: str) -> tuple[Cause, Cause]:
        deploying, setting = Cause(actor=actor, reason=reason), Cause(actor=actor, reason=reason, action="endpoint.set")
        if self._guarded():
            if model:
                deploying = self._permit(deeds.deploying(wish.endpoint, model, wish.version, None), deploying)
            arguments = {"changes": dict(wish.settings)}
            setting = self._permit(Deed(kind=Action.CONFIGURE, endpoint=wish.endpoint, arguments=arguments), setting)
        return deploying, setting

    def find_undo(self, endpoint: str) -> Undo:
        """What an undo would do now. Raises Conflict saying why it would be unsafe."""
        with self._parts.database.read() as conn:
            return undoing.look(conn, endpoint)

    def undo(
        self, endpoint: str, *, actor: str, reason: str = "", entry: int = 0, progress: Progress = log.debug
    ) -> Endpoint:
        """The last move of its traffic taken back. `entry`: the one that is meant; another one since is a Conflict."""
        with self._alone(endpoint):
            found = self.find_undo(endpoint)
            if entry and found.entry.id != entry:
                raise Conflict(f"the last move of {endpoint!r} is entry {found.entry.id}, not {entry}", field="entry")
            cause = Cause(actor=actor, reason=reason, action="endpoint.undo", undoes=found.entry.id)
            deed = Deed(kind=Action.UNDO, endpoint=endpoint, arguments={"entry": found.entry.id})
            return undoing.undo(self._parts, found, cause=self._permit(deed, cause), progress=progress)

    def start(  # noqa: PLR0913 - each is a word of the request
        self,
        endpoint: str,
        candidate_uri: str,
        *,
        actor: str,
        plan: ReleasePlan | None = None,
        also: Mapping[str, str] | None = None,
        adapters: Mapping[str, Written] | None = None,
        release_id: str = "",
        progress: Progress = log.debug,
    ) -> Release:
        """Returns when the candidate has its first share. `also`: further endpoints and their candidates, which move
        and roll back with this one. `adapters`: by endpoint, where a candidate's signature is not what callers know.
        `release_id`: whoever asks a second time with the same one gets the release that there is."""
        if release_id and (there := self._known(release_id)) is not None:
            return there
        plan = plan or default_plan()
        wanted = _uris(endpoint, candidate_uri, also)
        cause = Cause(actor=actor)
        if self._guarded():
            wanted = {name: resolve(self._parts, uri, endpoint=name).uri for name, uri in wanted.items()}
            cause = self._permit(deeds.releasing(endpoint, wanted, plan, adapters or {}), cause)
        wishes = wishes_of(wanted, adapters or {})
        with ExitStack() as stack:
            for name in sorted(wish.endpoint for wish in wishes):
                stack.enter_context(self._alone(name))
            release_id = release_id or new_id("rel")
            if (there := self._known(release_id)) is not None:  # begun while this waited
                return there
            self._starting.add(release_id)  # known as ours before it is on record, or the clock would take it for lost
            try:
                release = register(
                    self._parts,
                    release_id,
                    wishes=wishes,
                    plan=plan,
                    cause=cause,
                )
                return prepare(self._parts, release, wishes=wishes, progress=progress)
            finally:
                self._starting.discard(release_id)

    def dry_run(
        self, endpoint: str, candidate_uri: str, *, plan: ReleasePlan, also: Mapping[str, str] | None = None
    ) -> DryRun:
        """What a release would do and see at today's traffic. Raises what `start` would raise at once."""
        return dry_run(self._parts, wishes=wishes_of(_uris(endpoint, candidate_uri, also), {}), plan=plan)

    def pause(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """Shares stay as they are; evidence of harm still rolls back."""
        return self._decide(act.pause, release_id, actor, reason)

    def resume(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """Go on; in a step that waits for approval, this is it."""
        reason = self._approved(release_id, deeds.resuming, actor, reason)
        return self._decide(act.resume, release_id, actor, reason)

    def promote(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """All traffic to the candidate now, whatever the evidence says."""
        reason = self._approved(release_id, deeds.promoting, actor, reason)
        return self._decide(act.promote, release_id, actor, reason)

    def abort(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """All traffic back to the baseline now."""
        return self._decide(act.abort, release_id, actor, reason)

    def move_stage(
        self,
        model: str,
        version: int,
        stage: Stage,
        *,
        actor: str,
        reason: str = "",
        progress: Progress = log.debug,
    ) -> ModelVersion:
        cause = Cause(actor=actor, reason=reason)
        if self._guarded():
            now = self._parts.registry.resolve(f"models:/{model}/{version}").stage
            cause = self._permit(deeds.staging(model, version, stage.value, now.value), cause)
        with self._alone(f"model:{model}"):
            moved = move_stage(self._parts, model=model, version=version, stage=stage, cause=cause, progress=progress)
        self.sync()
        return moved

    def move_alias(self, model: str, alias: str, version: int, *, actor: str, reason: str = "") -> None:
        """To a version; 0: nowhere."""
        deed = deeds.aliasing(model, alias, version)
        cause = self._permit(deed, Cause(actor=actor, reason=reason))
        with self._parts.registering:
            if version:
                self._parts.registry.set_alias(model, alias, version)
            else:
                self._parts.registry.drop_alias(model, alias)
            self._claims.say(RegistryCall(model=model, version=version, name=alias), said_by(cause))
        self.sync()

    def admit(self, call: RegistryCall, *, actor: str) -> Cause:
        """Before a request to MLflow's registry is passed on. Raises Forbidden when it may not be."""
        return protect.admit(self._parts, call, Cause(actor=actor))

    def claim(self, call: RegistryCall, cause: Cause) -> None:
        """What was admitted was passed on, and MLflow answered that it is done."""
        self._claims.say(call, said_by(cause))

    def approve(self, approval_id: str, *, actor: str, reason: str = "", progress: Progress = log.debug) -> Approval:
        """One person's yes. With the last one that it needs it is done at once, as the one who asked."""
        voted = permit.approve(self._parts, approval_id, actor=actor, reason=reason)
        if voted.state is not ApprovalState.APPROVED:
            return voted
        progress(f"approved: {voted.sentence}")
        try:
            deeds.perform(self, voted, progress)
        except HeadraceError as error:
            permit.failed(self._parts, approval_id, error.sentence())
            raise
        with self._parts.database.read() as conn:
            return permit.find(conn, approval_id)

    def refuse(self, approval_id: str, *, actor: str, reason: str = "") -> Approval:
        """One person's no ends it; the one who asked may take it back so."""
        return permit.refuse(self._parts, approval_id, actor=actor, reason=reason)

    def sync(self) -> None:
        """Follow the registry now."""
        with self._syncing:
            sync(self._parts, self._claims)

    def tick(self) -> None:
        """One turn of the release clock."""
        with self._ticking:
            self._turn(starting=self._starting)

    def watch_failovers(self) -> None:
        """Hear of live versions that data planes have ejected, and make lasting what is."""
        self._failovers.turn()

    def tell(self, release: Release) -> Told:
        """What was stored of it, short enough for a page that looks every second."""
        return self._stories.tell(release)

    def tidy(self) -> None:
        """Pairs hold what users sent: they go when the calls go, counted from the end of their release."""
        before = self._parts.clock.now() - self._parts.settings.retention_days * 86_400
        with self._parts.database.write() as conn:
            if gone := pairs.forget_old(conn, before=before):
                log.info("pairs of old releases are gone", extra=fields(pairs=gone))

    def _known(self, release_id: str) -> Release | None:
        with self._parts.database.read() as conn:
            return releases.get(conn, release_id)

    def _guarded(self) -> bool:
        """Whether anything here may need a second person: else nothing is looked up for it."""
        with self._parts.database.read() as conn:
            return any(endpoint.approvals.any for endpoint in endpoints.all(conn))

    def _permit(self, deed: Deed, cause: Cause) -> Cause:
        return permit.permit(self._parts, deed, deeds.sentence_of(deed), cause)

    def _approved(self, release_id: str, deed_of: Callable[[Release], Deed], actor: str, reason: str) -> str:
        """The reason, with who approved it."""
        with self._parts.database.read() as conn:
            found = releases.get(conn, release_id)
        if found is None:  # the deed itself says so
            return reason
        cause = self._permit(deed_of(found), Cause(actor=actor, reason=reason))
        yes = f"approved by {', '.join(cause.approvers)} ({cause.approval})" if cause.approval else ""
        return "; ".join(filter(None, (reason, yes)))

    def _decide(self, deed: Callable[..., Release], release_id: str, actor: str, reason: str) -> Release:
        with self._parts.database.write() as conn:
            return deed(conn, self._parts, release_id, actor=actor, reason=reason)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._guard:
            if name in self._busy:
                raise Conflict(
                    f"{name} is being changed at this moment", field="endpoint", hint="try again when that is done"
                )
            self._busy.add(name)
        try:
            yield
        finally:
            with self._guard:
                self._busy.discard(name)


def _uris(endpoint: str, candidate_uri: str, also: Mapping[str, str] | None) -> dict[str, str]:
    if also and endpoint in also:
        raise BadInput(f"endpoint {endpoint!r} is named twice in one release", field="also")
    return {endpoint: candidate_uri, **(also or {})}
