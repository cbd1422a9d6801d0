"""Everything that changes an endpoint's traffic, in one object: what the admin API, the console and the clock call.

Thread-safe. Long work (deploy, start, stage moves) is one at a time for an endpoint; the clock does not wait for it,
since every change reads what it changes in its own transaction.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from headrace.base.ids import new_id
from headrace.release import act, moves
from headrace.release.adapters import Written
from headrace.release.configure import configure
from headrace.release.deploy import deploy
from headrace.release.dryrun import DryRun, dry_run
from headrace.release.failover import Failovers
from headrace.release.park import load, unload
from headrace.release.parts import Parts, Progress
from headrace.release.plans import default_plan
from headrace.release.services import Service
from headrace.release.stage import move_stage
from headrace.release.start import prepare, register, wishes_of
from headrace.release.sync import sync
from headrace.release.turn import Turn
from headrace.types.endpoint import Endpoint
from headrace.types.errors import BadInput, Conflict
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
        moves.release_all(parts)

    def deploy(
        self,
        endpoint: str,
        source: str | Service,
        *,
        actor: str,
        adapter: Written | None = None,
        progress: Progress = log.debug,
    ) -> Endpoint:
        """A version live at once, with all traffic."""
        with self._alone(endpoint):
            return deploy(
                self._parts, endpoint=endpoint, source=source, adapter=adapter, actor=actor, progress=progress
            )

    def load(
        self, name: str, *, config: dict[str, Any] | None = None, actor: str, progress: Progress = log.debug
    ) -> Endpoint:
        """Into the data planes' memory; a registered model without an endpoint gets one of its name."""
        with self._alone(name):
            return load(self._parts, name=name, config=config, actor=actor, progress=progress)

    def unload(self, name: str, *, actor: str, progress: Progress = log.debug) -> Endpoint:
        """Out of it; the endpoint stays known."""
        with self._alone(name):
            return unload(self._parts, name=name, actor=actor, progress=progress)

    def configure(
        self, endpoint: str, changes: dict[str, Any], *, actor: str, progress: Progress = log.debug
    ) -> Endpoint:
        """Batching, cache, limits, capture: in force without a reload."""
        with self._alone(endpoint):
            return configure(self._parts, name=endpoint, changes=changes, actor=actor, progress=progress)

    def start(
        self,
        endpoint: str,
        candidate_uri: str,
        *,
        actor: str,
        plan: ReleasePlan | None = None,
        also: Mapping[str, str] | None = None,
        adapters: Mapping[str, Written] | None = None,
        progress: Progress = log.debug,
    ) -> Release:
        """Returns when the candidate has its first share. `also`: further endpoints and their candidates, which move
        and roll back with this one. `adapters`: by endpoint, where a candidate's signature is not what callers know."""
        wishes = wishes_of(_uris(endpoint, candidate_uri, also), adapters or {})
        with ExitStack() as stack:
            for name in sorted(wish.endpoint for wish in wishes):
                stack.enter_context(self._alone(name))
            release_id = new_id("rel")
            self._starting.add(release_id)  # known as ours before it is on record, or the clock would take it for lost
            try:
                release = register(
                    self._parts,
                    release_id,
                    wishes=wishes,
                    plan=plan or default_plan(),
                    actor=actor,
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
        return self._decide(act.resume, release_id, actor, reason)

    def promote(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """All traffic to the candidate now, whatever the evidence says."""
        return self._decide(act.promote, release_id, actor, reason)

    def abort(self, release_id: str, *, actor: str, reason: str = "") -> Release:
        """All traffic back to the baseline now."""
        return self._decide(act.abort, release_id, actor, reason)

    def move_stage(
        self, model: str, version: int, stage: Stage, *, actor: str, progress: Progress = log.debug
    ) -> ModelVersion:
        with self._alone(f"model:{model}"):
            moved = move_stage(self._parts, model=model, version=version, stage=stage, actor=actor, progress=progress)
        self.sync()
        return moved

    def sync(self) -> None:
        """Follow the registry now."""
        with self._syncing:
            sync(self._parts)

    def tick(self) -> None:
        """One turn of the release clock."""
        with self._ticking:
            self._turn(starting=self._starting)

    def watch_failovers(self) -> None:
        """Hear of live versions that data planes have ejected, and make lasting what is."""
        self._failovers.turn()

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
