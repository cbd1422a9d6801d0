"""Traces: every call, newest first, filtered by what stands in the address; one of them in the side drawer.

Called by the shell. Decides nothing: reads the journal and feedback, and composes parts. New calls wait behind a chip,
so that no row moves under the pointer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import run, ui

from headrace.base.ids import TRACE_PREFIX
from headrace.console.pages.trace import show_trace
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.states import status_cell
from headrace.console.parts.table import Cell, Row, Table, cell, column, pixel_cell, time_cell, variant_cell
from headrace.console.parts.tag import choice, tag, text
from headrace.console.parts.values import answer_of, pixels_of, rows_of
from headrace.console.visit import Visit
from headrace.store import endpoints, feedbacks
from headrace.store.journal.query import page_key
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.endpoint import Endpoint

if TYPE_CHECKING:
    from headrace.control.services import Services

PAGE = 100
BRIEF = 32  # characters of an input or an error in its row
NEW_AT_MOST = 500  # more than these are said as "500+"
PERIODS = {"5m": 300.0, "1h": 3600.0, "1d": 86_400.0, "7d": 604_800.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What stands in the address. `find` is a trace id, or the hash of a user."""

    endpoint: str = ""
    variant: str = ""
    status: str = ""
    since: str = ""
    find: str = ""

    def address(self, trace: str = "") -> str:
        values = {name: getattr(self, name) for name in ("endpoint", "variant", "status", "since", "find")}
        query = urlencode({name: value for name, value in (values | {"trace": trace}).items() if value})
        return f"/traces?{query}" if query else "/traces"

    @property
    def any(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    calls: tuple[Call, ...]
    feedback: dict[str, tuple[Feedback, ...]]
    endpoints: tuple[Endpoint, ...]


def load(services: Services, filters: Filters, *, after: Call | None = None) -> Found:
    """One page; `after` is the last call of the page before."""
    calls = find(services, filters, after=after, limit=PAGE)
    with services.database.read() as conn:
        given = feedbacks.for_traces(conn, [call.trace_id for call in calls])
        found = tuple(endpoints.all(conn))
    return Found(calls=tuple(calls), feedback=given, endpoints=found)


def find(
    services: Services, filters: Filters, *, since: float | None = None, after: Call | None = None, limit: int
) -> list[Call]:
    if filters.find.startswith(TRACE_PREFIX):
        call = services.query.call(filters.find)
        return [call] if call else []
    if since is None and filters.since in PERIODS:
        since = services.clock.now() - PERIODS[filters.since]
    return services.query.calls(
        since=since,
        after=page_key(after) if after else None,
        endpoint=filters.endpoint or None,
        variant=filters.variant or None,
        status=CallStatus(filters.status) if filters.status else None,
        unit=filters.find or None,
        limit=limit,
    )


async def show(
    visit: Visit,
    endpoint: str = "",
    variant: str = "",
    status: str = "",
    since: str = "",
    find: str = "",
    trace: str = "",
) -> None:
    ui.page_title(f"{visit.say('place.traces')} · Headrace")
    status = status if status in tuple(CallStatus) else ""
    filters = Filters(endpoint=endpoint, variant=variant, status=status, since=since, find=find.strip())
    data = await first_look(lambda: load(visit.services, filters))
    if data is None:
        return
    page = _Page(visit, filters, data)
    if trace:
        await page.open(trace)
    elif filters.find.startswith(TRACE_PREFIX) and data.calls:
        await page.open(filters.find)
    keep_fresh(page.count_new, page.show_new, seconds=3.0)


class _Page:
    def __init__(self, visit: Visit, filters: Filters, data: Found) -> None:
        self._visit, self._filters = visit, filters
        self._calls = list(data.calls)
        self._feedback = dict(data.feedback)
        self._policies = {e.name: e.policy for e in data.endpoints}
        self._head = page_head(visit.say("place.traces"), "")
        with tag("div", "stack"):
            self._draw_filters(data)
            with tag("section", "panel"):
                self._draw_list()
        self._drawer = Drawer(visit, self._closed)
        self._show_rows()

    def _draw_filters(self, data: Found) -> None:
        say, filters = self._visit.say, self._filters
        names = sorted({v.name for e in data.endpoints if filters.endpoint in ("", e.name) for v in e.variants})
        with tag("div", "row-flex wrap"):
            with tag("label", "field").style("flex: 1 1 240px; max-width: 420px").props("data-search"):
                icon("search")
                text("span", "sr", say("traces.search"))
                box = tag("input", "", type="search", placeholder=say("traces.search"), defaultValue=filters.find)
                box.on("change", lambda e: self._go(find=str(e.args)), js_handler="(e) => emit(e.target.value)")
            choice(
                {"": say("traces.all_endpoints"), **{e.name: e.name for e in data.endpoints}},
                filters.endpoint,
                lambda v: self._go(endpoint=v, variant=""),
                label=say("column.endpoint"),
            )
            choice(
                {"": say("traces.all_variants"), **{name: name for name in names}},
                filters.variant,
                lambda v: self._go(variant=v),
                label=say("column.variant"),
            )
            choice(
                {"": say("traces.all_statuses"), **{s.value: self._visit.name("status", s) for s in CallStatus}},
                filters.status,
                lambda v: self._go(status=v),
                label=say("column.status"),
            )
            choice(
                {"": say("traces.any_time"), **{p: self._visit.name("period", p) for p in PERIODS}},
                filters.since,
                lambda v: self._go(since=v),
                label=say("column.time"),
            )
            if filters.any:
                button(say("traces.clear"), lambda: ui.navigate.to("/traces"), kind="ghost", icon_name="close")
            self._chip = tag("button", "chip push", type="button", aria_live="polite")
            self._chip.on("click", self._take_new, args=[])
            self._chip.set_visibility(False)
            with self._chip:
                self._chip_words = text("span", "", "")  # fmt: skip

    def _go(self, **changed: str) -> None:
        ui.navigate.to(replace(self._filters, **changed).address())

    def _draw_list(self) -> None:
        say = self._visit.say
        columns = [
            column("time", say("column.time")),
            column("status", say("column.status")),
            column("endpoint", say("column.endpoint"), wide_only=True),
            column("variant", say("column.variant")),
            column("input", say("column.input"), wide_only=True),
            column("answer", say("column.answer")),
            column("latency", say("figure.latency"), end=True),
            column("user", say("column.user"), wide_only=True),
            column("why", say("column.routed"), wide_only=True),
            column("feedback", say("column.feedback"), wide_only=True),
        ]
        self._table = Table(columns, label=say("place.traces"), on_pick=self.open)
        with tag("div") as self._none:
            empty(
                self._visit,
                icon_name="traces",
                title=say("traces.empty_filtered" if self._filters.any else "traces.empty"),
                will=[] if self._filters.any else [say("traces.will_1"), say("traces.will_2"), say("traces.will_3")],
                hint=say("traces.empty_hint"),
            )
        with tag("div", "row-flex").style("padding: 8px 16px; border-top: 1px solid var(--line)") as self._more:
            button(say("traces.more"), self._load_more, kind="small")

    def _show_rows(self) -> None:
        self._table.show([self._row(call) for call in self._calls])
        self._none.set_visibility(not self._calls)
        self._more.set_visibility(len(self._calls) >= PAGE and len(self._calls) % PAGE == 0)
        failed = sum(call.status not in (CallStatus.OK, CallStatus.REJECTED) for call in self._calls)
        words = self._visit.count("traces.sentence", len(self._calls))
        if failed:
            words = self._visit.say("sentence.joint").join([words, self._visit.count("traces.failed", failed)])
        self._head.sentence.show(words, "bad" if failed else "")

    def _row(self, call: Call) -> Row:
        policy = self._policies.get(call.endpoint)
        role = "none"
        if call.shadow_of:
            role = "shadow"
        elif policy is not None:
            role = {policy.baseline: "baseline", policy.candidate: "candidate"}.get(call.variant, "none")
        return {
            "id": call.trace_id,
            "time": time_cell(call.time),
            "status": status_cell(self._visit, call.status),
            "endpoint": cell(call.endpoint),
            "variant": variant_cell(call.variant or numbers.NOTHING, role),
            "input": _input_cell(call.input),
            "answer": _answer_cell(call),
            "latency": cell(numbers.milliseconds(call.latency_ms)),
            "user": _user_cell(call),
            "why": cell(_why(self._visit, call), classes="soft"),
            "feedback": feedback_cell(self._visit, self._feedback.get(call.trace_id, ())),
        }

    def count_new(self) -> list[Call]:
        """Calls since the newest one shown; runs in a thread."""
        if self._filters.find.startswith(TRACE_PREFIX):
            return []
        newest = self._calls[0].time if self._calls else self._visit.now() - 1
        shown = {call.trace_id for call in self._calls[:PAGE]}
        calls = find(self._visit.services, self._filters, since=newest, limit=NEW_AT_MOST)
        return [call for call in calls if call.trace_id not in shown]

    def show_new(self, new: list[Call]) -> None:
        self._chip.set_visibility(bool(new))
        if new:
            number = f"{len(new)}+" if len(new) >= NEW_AT_MOST else str(len(new))
            self._chip_words.set_text(self._visit.say("traces.new", n=number))

    async def _take_new(self) -> None:
        data = await run.io_bound(load, self._visit.services, self._filters)
        if data is not None:
            self._calls, self._feedback = list(data.calls), dict(data.feedback)
            self._chip.set_visibility(False)
            self._show_rows()

    async def _load_more(self) -> None:
        data = await run.io_bound(lambda: load(self._visit.services, self._filters, after=self._calls[-1]))
        if data is not None:
            self._calls += data.calls
            self._feedback |= data.feedback
            self._show_rows()

    async def open(self, trace_id: str) -> None:
        self._table.choose(trace_id)
        ui.navigate.history.replace(self._filters.address(trace_id))
        body = self._drawer.open(trace_id)
        await show_trace(self._visit, body, trace_id)

    def _closed(self) -> None:
        self._table.choose("")
        ui.navigate.history.replace(self._filters.address())


def _why(visit: Visit, call: Call) -> str:
    return visit.say("trace.shadow") if call.shadow_of else visit.name("reason", call.reason)


def _user_cell(call: Call) -> Cell:
    if call.unit.startswith(TRACE_PREFIX):  # nobody was named, so that the call stands for itself
        return cell(numbers.NOTHING, classes="soft")
    return cell(call.unit[:8], classes="mono soft", title=call.unit)


def _input_cell(value: Any) -> Cell:
    rows = rows_of(value) if value is not None else []
    if not rows:
        return cell(numbers.NOTHING)
    if picture := pixels_of(rows[0]):
        alphas, side = picture
        if side <= 16:
            return pixel_cell(alphas, side)
    if isinstance(rows[0], dict):
        words = ", ".join(f"{name} {numbers.scalar(v)}" for name, v in list(rows[0].items())[:3])
    else:
        values = rows[0] if isinstance(rows[0], list) else [rows[0]]
        words = ", ".join(numbers.scalar(v) for v in values[:4])
    return cell(brief(words), classes="soft")


def brief(words: str) -> str:
    return words if len(words) <= BRIEF else f"{words[: BRIEF - 1]}…"


def _answer_cell(call: Call) -> Cell:
    if call.error:
        return cell(brief(call.error), classes="text-bad", title=call.error)
    answer = answer_of(call.output)
    if answer is None:
        return cell(numbers.NOTHING)
    best = max((score for _, score in answer.scores), default=None)
    return cell(answer.label, sub=numbers.percent(best, 1.0) if best is not None and best <= 1 else "")


def feedback_cell(visit: Visit, given: tuple[Feedback, ...]) -> Cell:
    words = [feedback_word(visit, feedback) for feedback in given]
    bad = any(f.name == FeedbackName.CORRECTION or (f.name == FeedbackName.RATING and not f.value) for f in given)
    return cell(" · ".join(words), tone="bad" if bad else "good") if words else cell("")


def feedback_word(visit: Visit, feedback: Feedback) -> str:
    if feedback.name == FeedbackName.RATING:
        return visit.say("feedback.up" if feedback.value else "feedback.down")
    if feedback.name == FeedbackName.CORRECTION:
        answer = answer_of(feedback.value)
        return visit.say("feedback.correction", value=answer.label if answer else numbers.scalar(feedback.value))
    return visit.say("feedback.comment")
