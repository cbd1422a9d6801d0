"""Flywheel: the loop with its counts, what the last turn gained, what waits for whom, and the button that turns it.

Called by the shell. Decides which turn each panel speaks of: the loop of the newest, the gain of the newest that was
examined. Which endpoint is shown stands in the address.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import ui

from headrace.console.pages.sure import Sure
from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.loop import Ring, Station
from headrace.console.parts.table import Row, Table, badge_cell, cell, column, time_cell
from headrace.console.parts.tag import choice, tag
from headrace.console.visit import Visit
from headrace.flywheel.triggers import Seen, Waiting, waiting
from headrace.flywheel.turns import Known
from headrace.store import releases, turns
from headrace.types.release import Phase
from headrace.types.turn import Cause, Gain, Judged, Outlook, StepName, StepState, Turn, TurnState

if TYPE_CHECKING:
    from headrace.control.services import Services

TONES = {
    TurnState.QUEUED: ("", "hold"),
    TurnState.RUNNING: ("candidate", "play"),
    TurnState.DONE: ("good", "check"),
    TurnState.REFUSED: ("bad", "close"),
    TurnState.FAILED: ("bad", "warn"),
    TurnState.CANCELLED: ("", "close"),
}
STATES = {
    StepState.WAITING: "next",
    StepState.RUNNING: "now",
    StepState.DONE: "done",
    StepState.CACHED: "done",
    StepState.REFUSED: "failed",
    StepState.FAILED: "failed",
    StepState.SKIPPED: "next",
}
SETS = ("golden", "fresh", "must", "drawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    wheels: tuple[Known, ...]
    endpoint: str
    turns: tuple[Turn, ...]
    seen: Seen
    waits: Waiting | None
    phase: Phase | None  # of the newest turn's release
    outlook: Outlook | None


def load(services: Services, endpoint: str) -> Data | None:
    wheels = tuple(services.turns.flywheels())
    if not wheels:
        return None
    found = next((known for known in wheels if known.endpoint == endpoint), wheels[0])
    seen = services.turns.seen(found.endpoint)
    with services.database.read() as conn:
        listed = turns.recent(conn, endpoint=found.endpoint, limit=30)
        begun = releases.get(conn, listed[0].release) if listed and listed[0].release else None
    return Data(
        wheels=wheels,
        endpoint=found.endpoint,
        turns=listed,
        seen=seen,
        waits=waiting(found.flywheel, seen) if found.flywheel else None,
        phase=begun.phase if begun else None,
        outlook=services.turns.plan(found.endpoint) if found.flywheel else None,
    )


async def show(visit: Visit, endpoint: str = "") -> None:
    ui.page_title(f"{visit.say('place.flywheel')} · Headrace")
    data = await first_look(lambda: load(visit.services, endpoint))
    if data is None:
        _draw_nothing(visit)
        return
    page = _Page(visit, data)
    keep_fresh(lambda: load(visit.services, data.endpoint), page.show)


def _draw_nothing(visit: Visit) -> None:
    page_head(visit.say("place.flywheel"), visit.say("flywheel.lead"))
    with tag("div", "panel"):
        empty(
            visit,
            icon_name="flywheel",
            title=visit.say("flywheel.empty"),
            will=[visit.name("flywheel", f"will_{number}") for number in (1, 2, 3)],
            commands=["headrace turn init ENDPOINT"],
        )


class _Page:
    def __init__(self, visit: Visit, data: Data) -> None:
        self._visit, self._data, say = visit, data, visit.say
        self._head = page_head(f"{say('place.flywheel')} · {data.endpoint}", "")
        with self._head.acts:
            if len(data.wheels) > 1:
                names = {known.endpoint: known.endpoint for known in data.wheels}
                choice(
                    names,
                    data.endpoint,
                    lambda name: ui.navigate.to(f"/flywheel?endpoint={quote(name, safe='')}"),
                    label=say("column.endpoint"),
                )
            self._cancel = button(say("flywheel.cancel"), self._ask_cancel, kind="danger", icon_name="close")
            self._now = button(say("flywheel.now"), self._ask_now, kind="primary", icon_name="flywheel")
        with tag("div", "stack"):
            with panel(say("flywheel.loop")):
                self._ring = Ring(say("flywheel.loop"))
            with panel(say("flywheel.gained"), flush=True):
                self._gains = Table(self._gain_columns(), label=say("flywheel.gained"))
            with panel(say("flywheel.gates"), flush=True):
                columns = [
                    column("gate", say("flywheel.column.gate")),
                    column("says", say("flywheel.column.says"), grow=True),
                ]
                self._gates = Table(columns, label=say("flywheel.gates"))
            self._sure = Sure(visit)
            with panel(say("flywheel.waits"), flush=True):
                columns = [
                    column("who", say("flywheel.column.who")),
                    column("what", say("flywheel.column.what"), grow=True),
                ]
                self._waits = Table(columns, label=say("flywheel.waits"))
            with panel(say("flywheel.turns"), flush=True):
                self._turns = Table(self._turn_columns(), label=say("flywheel.turns"))
        self.show(data)

    def show(self, data: Data | None) -> None:
        if data is None:
            return
        self._data = data
        newest = data.turns[0] if data.turns else None
        running = newest is not None and not newest.state.ended
        self._cancel.set_visibility(running)
        self._now.set_visibility(not running)
        self._head.sentence.show(self._sentence(data), "candidate" if running else "")
        self._ring.show(self._stations(data), self._middle(data))
        examined = next((turn for turn in data.turns if turn.gains), None)
        self._gains.show([self._gain(gain) for gain in examined.gains] if examined else [self._nothing("on")])
        self._gates.show(
            [self._gate(judged) for judged in examined.gates]
            if examined and examined.gates
            else [self._nothing("gate")]
        )
        self._sure.show(data.outlook, next((turn.right for turn in data.turns if turn.right), None))
        self._waits.show(self._waiting(data))
        self._turns.show([self._turn(turn) for turn in data.turns])

    def _sentence(self, data: Data) -> str:
        newest = data.turns[0] if data.turns else None
        if newest is not None and not newest.state.ended:
            at = newest.at
            words = self._visit.name("flywheel.station", at.name) if at else self._visit.say("flywheel.state.queued")
            return self._visit.say("flywheel.running", step=f"{words}, {at.says}" if at and at.says else words)
        problem = next((known.problem for known in data.wheels if known.endpoint == data.endpoint), "")
        return problem or self._visit.say("flywheel.idle", waits=self._words(data))

    def _middle(self, data: Data) -> str:
        return self._visit.name("flywheel.state", data.turns[0].state) if data.turns else self._words(data)

    def _words(self, data: Data) -> str:
        needed = data.waits.needed if data.waits else None
        if needed:
            return self._visit.say("flywheel.words_of", usable=data.seen.usable, needed=needed)
        return self._visit.say("flywheel.words", usable=data.seen.usable)

    def _stations(self, data: Data) -> list[Station]:
        """The live version, then each step of the newest turn."""
        say = self._visit.say
        newest = data.turns[0] if data.turns else None
        live = newest.baseline.removeprefix("models:/") if newest and newest.baseline else data.endpoint
        found = [Station(title=say("flywheel.station.live"), count=live, state="done")]
        for name in StepName:
            title = self._visit.name("flywheel.station", name)
            if newest is None:
                found.append(Station(title=title, count="–"))
                continue
            step = newest.step(name)
            count = self._count(newest, name, data.phase) or "–"
            found.append(Station(title=title, count=count, state=STATES[step.state]))
        return found

    def _count(self, turn: Turn, name: StepName, phase: Phase | None) -> str:
        """What a station counts, in a few characters."""
        step, say = turn.step(name), self._visit.say
        if step.state is StepState.RUNNING:
            return f"{step.progress:.0%}"
        counts = step.counts
        golden = next((gain for gain in turn.gains if gain.on == "golden"), None)
        match name:
            case StepName.EXPORT if "rows" in counts:
                return say("flywheel.rows", n=f"{counts['rows']:.0f}")
            case StepName.CURATE if "teach" in counts:
                return f"{counts['teach']:.0f} + {counts['fresh']:.0f}"
            case StepName.VALIDATE if "checks" in counts:
                passed = counts["checks"] - counts["failed"]
                return say("flywheel.passed", n=f"{passed:.0f}", all=f"{counts['checks']:.0f}")
            case StepName.TRAIN if "seconds" in counts:
                return say("flywheel.seconds", n=f"{counts['seconds']:.1f}")
            case StepName.EVALUATE if golden is not None:
                return f"{golden.baseline:.1%} → {golden.candidate:.1%}"
            case StepName.GATE if turn.gates:
                passed = sum(gate.passed for gate in turn.gates)
                return say("flywheel.passed", n=passed, all=len(turn.gates))
            case StepName.REGISTER:
                return turn.version.removeprefix("models:/")
            case StepName.RELEASE if phase is not None:
                return self._visit.name("phase", phase)
            case _:
                return ""

    def _waiting(self, data: Data) -> list[Row]:
        say, waits = self._visit.say, data.waits
        found = []
        if waits is not None and waits.needed:
            found.append(("people", say("flywheel.what_people", words=self._words(data))))
        if waits is not None and waits.scheduled:
            found.append(("clock", say("flywheel.what_clock", time=_clock(waits.scheduled))))
        if waits is not None and waits.rests_until:
            found.append(("clock", say("flywheel.what_rest", time=_clock(waits.rests_until))))
        if data.seen.releasing:
            found.append(("traffic", say("flywheel.what_traffic")))
        if not found:
            found.append(("people", say("flywheel.what_button")))
        return [
            {
                "id": str(number),
                "who": cell(self._visit.name("flywheel", f"who_{who}")),
                "what": cell(what, classes="soft"),
            }
            for number, (who, what) in enumerate(found)
        ]

    def _gate(self, judged: Judged) -> Row:
        tone, icon_name = ("good", "check") if judged.passed else ("bad", "close")
        word = self._visit.name("flywheel.gate", judged.gate)
        return {
            "id": judged.gate,
            "gate": badge_cell(word, tone=tone, icon_name=icon_name),
            "says": cell(self._said(judged), classes="soft"),
        }

    def _said(self, judged: Judged) -> str:
        """Turns of older versions have kept the English words alone."""
        return self._visit.name("flywheel.judged", judged.form, **judged.given) if judged.form else judged.says

    def _why(self, turn: Turn) -> str:
        """It ended as it did: gates that refused it say so in the reader's language, an error in its own words."""
        if turn.state is TurnState.DONE and turn.release:
            return self._visit.say("flywheel.release_began", release=turn.release, version=turn.version)
        failed = [judged for judged in turn.gates if not judged.passed]
        if turn.state is not TurnState.REFUSED or not failed:
            return turn.error
        return "; ".join(f"{self._visit.name('flywheel.gate', each.gate)}: {self._said(each)}" for each in failed)

    def _gain_columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        return [
            column("on", say("flywheel.column.on")),
            column("rows", say("flywheel.column.count"), end=True),
            column("live", say("flywheel.column.live"), end=True),
            column("candidate", say("flywheel.column.candidate"), end=True),
            column("difference", say("flywheel.column.difference"), end=True),
            column("interval", say("flywheel.column.interval"), end=True, wide_only=True),
        ]

    def _turn_columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        return [
            column("time", say("column.time")),
            column("state", ""),
            column("cause", say("flywheel.column.cause"), wide_only=True),
            column("version", say("flywheel.station.register"), wide_only=True),
            column("dataset", say("flywheel.column.dataset"), wide_only=True),
            column("says", say("flywheel.column.says"), grow=True),
        ]

    def _gain(self, gain: Gain) -> Row:
        exact = gain.metric == "exact"
        tone = "good" if gain.high < 0 else "bad" if gain.low > 0 else ""
        return {
            "id": gain.on,
            "on": cell(self._visit.name("flywheel.on", gain.on) if gain.on in SETS else gain.on),
            "rows": cell(f"{gain.rows:,}"),
            "live": cell(_value(gain.baseline, exact=exact)),
            "candidate": cell(_value(gain.candidate, exact=exact)),
            "difference": cell(_value(gain.difference, exact=exact, signed=True), tone=tone),
            "interval": cell(
                f"{_value(gain.low, exact=exact, signed=True)} … {_value(gain.high, exact=exact, signed=True)}"
            ),
        }

    def _turn(self, turn: Turn) -> Row:
        tone, icon_name = TONES[turn.state]
        said = next((step.says for step in reversed(turn.steps) if step.says), "")
        release = {"href": f"/releases/{turn.release}"} if turn.release else {}
        return {
            "id": turn.id,
            "time": time_cell(turn.created),
            "state": badge_cell(self._visit.name("flywheel.state", turn.state), tone=tone, icon_name=icon_name),
            "cause": cell(self._visit.name("flywheel.cause", turn.cause), classes="soft"),
            "version": cell(turn.version.removeprefix("models:/") or "–"),
            "dataset": cell(turn.dataset[:11], href=f"/datasets/{turn.dataset}") if turn.dataset else cell("–"),
            "says": cell(self._why(turn) or said, classes="soft", **release),
        }

    def _nothing(self, name: str) -> Row:
        return {"id": "none", name: cell(self._visit.say("flywheel.no_turn"), classes="faint")}

    def _ask_now(self) -> None:
        visit, endpoint = self._visit, self._data.endpoint
        question = Question(
            title=visit.say("flywheel.ask_now", endpoint=endpoint),
            sentence=visit.say("flywheel.ask_now_sentence"),
            changes=[Change(what=visit.say("flywheel.words_usable"), was="", will=str(self._data.seen.usable))],
            yes=visit.say("flywheel.now"),
        )
        confirm(
            visit,
            question,
            act=lambda why: visit.services.turns.begin(endpoint, cause=Cause.BUTTON, why=why, actor=visit.actor),
            done=lambda: toast(visit, visit.say("flywheel.began")),
        )

    def _ask_cancel(self) -> None:
        visit, newest = self._visit, self._data.turns[0]
        question = Question(
            title=visit.say("flywheel.ask_cancel"),
            sentence=visit.say("flywheel.ask_cancel_sentence"),
            changes=[
                Change(
                    what=newest.id,
                    was=visit.name("flywheel.state", newest.state),
                    will=visit.say("flywheel.state.cancelled"),
                )
            ],
            yes=visit.say("flywheel.cancel"),
            danger=True,
        )
        confirm(
            visit,
            question,
            act=lambda _: visit.services.turns.cancel(newest.id, actor=visit.actor),
            done=lambda: toast(visit, visit.say("flywheel.cancelled")),
        )


def _value(value: float, *, exact: bool, signed: bool = False) -> str:
    if exact:
        return f"{value:+.1%}" if signed else f"{value:.1%}"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")
