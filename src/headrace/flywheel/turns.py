"""Turns, from whoever asks for one to their end: what the admin API, the console and a loop of the control plane call.

Decides who may not begin (one turn an endpoint at a time), copies the flywheel's folder so that it does not change
under a turn, starts one process each, starts it again when it died, and begins turns that are due. The state is in the
database alone: a control plane that was killed took its processes along, and starts them where they were.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.base.clock import Clock
from headrace.base.files import tree_sha256
from headrace.base.ids import new_id
from headrace.compute.keeper import Keeper
from headrace.flywheel import triggers
from headrace.flywheel.outlook import outlook, pace_of
from headrace.flywheel.spec import FILE, read_flywheel
from headrace.flywheel.usable import Usable
from headrace.store import audit, endpoints, feedbacks, releases, turns
from headrace.store.db import Connection, Database
from headrace.types.call import FeedbackName
from headrace.types.errors import BadInput, Conflict, NotFound
from headrace.types.turn import Cause, Flywheel, Outlook, Turn, TurnState

TRIES = 5
LOOK_SECONDS = 5.0  # between two looks at what is due
LATEST = 5_000  # calls that a pace is learned from
PLAN_SECONDS = 30.0  # that an outlook holds: pages ask every second
COPY_MB = 256  # of a flywheel's folder

Start = Callable[[Turn], "subprocess.Popen[bytes]"]
LastWords = Callable[[Turn], str]  # of a process that died


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A flywheel as its file says it, or why that cannot be read."""

    endpoint: str
    flywheel: Flywheel | None
    problem: str = ""


class Turns:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        folder: Path,
        specs: Path,
        usable: Usable,
        start: Start,
        last_words: LastWords,
    ) -> None:
        self._database, self._clock, self._folder, self._specs = database, clock, folder, specs
        self._query = usable.query
        self._usable, self._start, self._last_words = usable, start, last_words
        self._keeper = Keeper(self._run)
        self._beginning = threading.Lock()
        self._looked = clock.now()
        self._counts: dict[str, int] = {}
        self._plans: dict[str, tuple[float, Flywheel, Outlook]] = {}

    def flywheels(self) -> list[Known]:
        found = sorted(path.parent for path in self._specs.glob(f"*/{FILE}"))
        return [self._known(folder.name) for folder in found]

    def flywheel(self, endpoint: str) -> Flywheel:
        """Raises NotFound, or BadInput saying what is wrong with its file."""
        if not (self._place(endpoint) / FILE).is_file():
            there = ", ".join(known.endpoint for known in self.flywheels()) or "none yet"
            raise NotFound(
                f"endpoint {endpoint!r} has no flywheel; there are: {there}",
                field="endpoint",
                hint=f"headrace turn init {endpoint}",
            )
        return read_flywheel(self._place(endpoint))

    def begin(self, endpoint: str, *, cause: Cause, why: str, actor: str) -> Turn:
        """Raises Conflict when one is under way."""
        flywheel = self.flywheel(endpoint)
        turn = Turn(
            id=new_id("turn"),
            endpoint=endpoint,
            flywheel=flywheel,
            created=self._clock.now(),
            cause=cause,
            why=why,
            actor=actor,
            outlook=self.plan(endpoint),
        )
        with self._beginning:
            with self._database.read() as conn:
                self._may_begin(conn, endpoint)
            place = code_folder(self._folder, turn.id)
            place.parent.mkdir(parents=True, exist_ok=True)
            _copy(self._place(endpoint), place)
            turn = replace(turn, code=tree_sha256(place))
            with self._database.write() as conn:
                self._may_begin(conn, endpoint)
                turns.add(conn, turn)
                self._note(conn, turn, "turn.begin", actor)
        return turn

    def drift(self, endpoint: str, *, why: str, actor: str) -> Turn:
        """What a monitor calls. Raises Conflict when drift begins no turn here, or too soon after the last."""
        flywheel = self.flywheel(endpoint)
        if not flywheel.triggers.drift:
            raise Conflict(f"drift begins no turn of {endpoint!r}: triggers.drift is false", field="drift")
        seen = self.seen(endpoint)
        rests = triggers.rests_until(flywheel, seen)
        if rests is not None and rests > seen.now:
            raise Conflict(f"the flywheel of {endpoint!r} rests for another {rests - seen.now:.0f} s", field="drift")
        return self.begin(endpoint, cause=Cause.DRIFT, why=why, actor=actor)

    def cancel(self, turn_id: str, *, actor: str) -> Turn:
        """What its steps have made is kept: the next turn uses it. A release that has begun goes on."""
        with self._database.write() as conn:
            found = turns.get(conn, turn_id)
            if found.state.ended:
                raise Conflict(f"turn {turn_id} has ended: {found.state}", field="turn")
            ended = replace(found, state=TurnState.CANCELLED, ended=self._clock.now())
            self._note(conn, ended, "turn.cancel", actor)
            return turns.change(conn, turn_id, lambda _: ended)

    def plan(self, endpoint: str) -> Outlook:
        """Days to decision, at the pace of the latest calls. Nothing begins."""
        flywheel, now = self.flywheel(endpoint), self._clock.now()
        known = self._plans.get(endpoint)
        if known is not None and known[1] == flywheel and 0 <= now - known[0] < PLAN_SECONDS:
            return known[2]
        self._plans[endpoint] = (now, flywheel, self._planned(endpoint, flywheel, now))
        return self._plans[endpoint][2]

    def seen(self, endpoint: str) -> triggers.Seen:
        """For the triggers, and for people who want to know what the next turn waits for."""
        with self._database.read() as conn:
            last = next(iter(turns.recent(conn, endpoint=endpoint, limit=1)), None)
            busy = releases.active_for(conn, endpoint) is not None
        return triggers.Seen(
            now=self._clock.now(),
            since=self._looked,
            usable=self._counts.get(endpoint, 0),
            last=last,
            releasing=busy,
        )

    def tick(self) -> None:
        with self._database.read() as conn:
            wanted = {turn.id: turn for turn in turns.unended(conn)}
        self._keeper.tick(wanted)
        now = self._clock.now()
        if now - self._looked >= LOOK_SECONDS:
            self._look(now)
            self._looked = now

    def close(self) -> None:
        """Their turns go on when the control plane is back."""
        self._keeper.close()

    def _run(self, turn: Turn) -> subprocess.Popen[bytes] | None:
        now = self._clock.now()
        spent = turn.tries >= TRIES

        def begun(found: Turn) -> Turn:
            if found.state.ended:
                return found
            if spent:
                words = f"its process died {found.tries} times: {self._last_words(found)}"
                return replace(found, state=TurnState.FAILED, ended=now, error=words)
            return replace(found, state=TurnState.RUNNING, started=found.started or now, tries=found.tries + 1)

        with self._database.write() as conn:
            changed = turns.change(conn, turn.id, begun)
        return None if changed.state.ended else self._start(changed)

    def _planned(self, endpoint: str, flywheel: Flywheel, now: float) -> Outlook:
        calls = [c for c in self._query.calls(endpoint=endpoint, limit=LATEST) if c.from_user]
        with self._database.read() as conn:
            given = feedbacks.for_traces(conn, [call.trace_id for call in calls])
            last = next((turn for turn in turns.recent(conn, endpoint=endpoint, limit=10) if turn.gains), None)
        words = [word for words in given.values() for word in words]
        ratings = [word for word in words if word.name == FeedbackName.RATING]
        pace = pace_of(
            [call.time for call in calls],
            corrections=len({word.trace_id for word in words if word.name == FeedbackName.CORRECTION}),
            ratings=len(ratings),
            downs=sum(word.value is False for word in ratings),
            now=now,
        )
        return outlook(flywheel, pace, last)

    def _look(self, now: float) -> None:
        """Begin what is due. A flywheel that cannot be read begins nothing, and says so where it is listed."""
        wheels = {known.endpoint: known.flywheel for known in self.flywheels() if known.flywheel is not None}
        since = {}
        with self._database.read() as conn:
            there = {endpoint.name for endpoint in endpoints.all(conn)}
            for name, flywheel in wheels.items():
                last = next(iter(turns.recent(conn, endpoint=name, limit=1)), None)
                since[name] = last.created if last else now - flywheel.data.window_days * 86_400
        self._counts = self._usable.count(since, now)
        for name, flywheel in wheels.items():
            found = triggers.due(flywheel, self.seen(name)) if name in there else None
            if found is not None:
                self.begin(name, cause=found.cause, why=found.why, actor="flywheel")

    def _known(self, endpoint: str) -> Known:
        try:
            return Known(endpoint=endpoint, flywheel=read_flywheel(self._specs / endpoint))
        except BadInput as error:
            return Known(endpoint=endpoint, flywheel=None, problem=error.sentence())

    def _may_begin(self, conn: Connection, endpoint: str) -> None:
        if endpoints.get(conn, endpoint) is None:
            raise NotFound(f"there is no endpoint {endpoint!r}", field="endpoint", hint="headrace deploy makes one")
        busy = next((turn for turn in turns.unended(conn) if turn.endpoint == endpoint), None)
        if busy is not None:
            raise Conflict(
                f"turn {busy.id} of {endpoint!r} is under way", field="endpoint", hint="wait for it, or cancel it"
            )

    def _place(self, endpoint: str) -> Path:
        """Names come from callers: none leads out."""
        if not endpoint or Path(endpoint).name != endpoint or endpoint.startswith("."):
            raise BadInput(f"{endpoint!r} is no name of an endpoint", field="endpoint")
        return self._specs / endpoint

    def _note(self, conn: Connection, turn: Turn, action: str, actor: str) -> None:
        detail = f"{turn.id}: {turn.cause}" + (f", {turn.why}" if turn.why else "")
        audit.append(conn, actor=actor, action=action, subject=turn.endpoint, detail=detail, now=self._clock.now())


def turn_folder(folder: Path, turn_id: str) -> Path:
    return folder / "turns" / turn_id


def code_folder(folder: Path, turn_id: str) -> Path:
    """The copy of the flywheel's folder."""
    return turn_folder(folder, turn_id) / "code"


def _copy(source: Path, target: Path) -> None:
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    if size > COPY_MB << 20:
        raise BadInput(
            f"the folder {str(source)!r} holds {size >> 20} MiB; allowed: {COPY_MB}",
            field="flywheel",
            hint="keep large data elsewhere, and let the training read it from there",
        )
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".git", "*.pyc"))
