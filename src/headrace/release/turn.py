"""One turn of the release clock: for each active release look, judge, and do what follows, in one transaction.

Called by the service, every `tick_ms`. A control plane that is killed anywhere in here has either done a turn whole or
not at all: the release, the interval it was judged on, the units counted, the journal's cursor, the audit and the new
plan are one commit.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from headrace.base.log import fields
from headrace.release import act, evalue
from headrace.release.advance import ACTOR, Decision, advance, blind
from headrace.release.evidence import Closed, is_empty
from headrace.release.parts import Parts, cursor_name
from headrace.release.watch import Watch
from headrace.store import cursors, pairs, releases
from headrace.store.db import Connection
from headrace.types.errors import HeadraceError, Unavailable
from headrace.types.release import Phase, Release, Verdict

log = logging.getLogger("headrace.release")

LOST = "the control plane was restarted while the candidate was prepared; start the release again"


class Turn:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._watches: dict[str, Watch] = {}

    def __call__(self, *, starting: Collection[str]) -> None:
        """`starting`: releases that are being prepared by this very process."""
        with self._parts.database.read() as conn:
            active = releases.active(conn)
        self._watches = {r.id: self._watches[r.id] for r in active if r.id in self._watches}
        for release in active:
            try:
                self._turn(release, starting)
            except HeadraceError as error:
                log.warning("a release could not be judged", extra=fields(release=release.id, reason=error.sentence()))
                if not isinstance(error, Unavailable):
                    self._say_blind(release.id, error.sentence())

    def _turn(self, release: Release, starting: Collection[str]) -> None:
        if release.phase is Phase.PREPARING:
            if release.id not in starting:
                with self._parts.database.write() as conn:
                    act.fail(conn, self._parts, release, reason=LOST, actor=ACTOR)
            return
        watch = self._watches.pop(release.id, None) or Watch(self._parts, release)
        if self._judge(release, watch):
            self._watches[release.id] = watch
        # else, and after any error: it has read further than what is stored, so the next turn begins a new one there

    def _judge(self, seen: Release, watch: Watch) -> bool:
        """All intervals of one look, in one transaction. False: something changed, not all of them counted."""
        intervals = watch.look(seen.step)
        with self._parts.database.write() as conn:
            release = releases.get(conn, seen.id)
            for number, closed in enumerate(intervals):
                if release is None or release.phase.ended or release.step != closed.interval.step:
                    return False
                decision = advance(release, closed.interval, closed.interval.end)
                self._store(conn, watch, closed, decision)
                release = decision.release
                if decision.share is not None:
                    watch.next_step(closed.interval.end)
                    log.info(decision.judgement.reason, extra=fields(release=release.id, phase=release.phase.value))
                    return number == len(intervals) - 1
        return True

    def _store(self, conn: Connection, watch: Watch, closed: Closed, decision: Decision) -> None:
        release, judgement = decision.release, decision.judgement
        if judgement.verdict is not Verdict.HOLD or not is_empty(closed.interval):
            evalues = {name: evalue.harm(found) for name, found in (release.evidence or {}).items()}
            releases.add_interval(conn, release.id, interval=closed.interval, evalues=evalues, judgement=judgement)
        for name, units in closed.fresh.items():
            scope, _, metric = name.partition("/")
            releases.count(conn, release.id, scope=scope, metric=metric, units=units)
        if closed.pairs:
            pairs.keep(conn, release.id, closed.pairs)
        if not release.phase.ended:
            cursors.put(conn, cursor_name(release.id), watch.position)
        act.apply(conn, self._parts, release, share=decision.share, detail=judgement.reason, actor=ACTOR)

    def _say_blind(self, release_id: str, reason: str) -> None:
        with self._parts.database.write() as conn:
            release = releases.get(conn, release_id)
            if release is not None and not release.phase.ended:
                releases.put(conn, blind(release, reason, self._parts.clock.now()).release)
