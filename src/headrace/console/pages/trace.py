"""One trace, inside the drawer: what came in, what went out, what a program did for it, what people said about it.

Called by the traces page. Decides nothing: reads one call and its feedback, and composes parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nicegui import run, ui

from headrace.base.ids import TRACE_PREFIX, caller_of
from headrace.console.pages.steps import show_steps
from headrace.console.parts import numbers
from headrace.console.parts.button import copy_button
from headrace.console.parts.frame import facts, problem
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.values import answer_of, show_answer, show_input
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.store import feedbacks
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.gateway import Attempt, Spent

if TYPE_CHECKING:
    from headrace.control.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    call: Call | None
    feedback: tuple[Feedback, ...]
    questions: tuple[Call, ...] = ()  # that its program sent through our gateway
    asker: Call | None = None  # the program's call that asked this


def load(services: Services, trace_id: str) -> Found:
    call = services.query.call(trace_id)
    with services.database.read() as conn:
        given = feedbacks.for_traces(conn, [trace_id]).get(trace_id, ())
    if call is None:
        return Found(call=None, feedback=tuple(given))
    questions = services.query.asked_for(call) if call.spent and call.spent.steps else []
    asker = services.query.call(caller_of(call.parent)[0]) if call.parent else None
    return Found(call=call, feedback=tuple(given), questions=tuple(questions), asker=asker)


async def show_trace(visit: Visit, body: ui.element, trace_id: str) -> None:
    with body:
        data = await first_look(lambda: load(visit.services, trace_id))
        if data is None:
            return
        if data.call is None:
            problem(visit.say("trace.missing", id=trace_id))
            return
        with tag("div", "row-flex wrap") as acts:
            when(data.call.time, "soft")
            copy_button(visit, visit.say("trace.id"), data.call.trace_id)
            if data.call.spent is not None:
                with link(f"/playground?trace={data.call.trace_id}", "btn ghost small"):
                    icon("playground")
                    text("span", "", visit.say("playground.replay"))
            if data.asker is not None:
                with link(f"/traces?trace={data.asker.trace_id}", "btn ghost small"):
                    icon("programs")
                    text("span", "", visit.say("trace.asker", endpoint=data.asker.endpoint))
        _draw(visit, data.call, data)
        await _draw_link(visit, data.call.trace_id, acts)


async def _draw_link(visit: Visit, trace_id: str, acts: ui.element) -> None:
    """MLflow may take its time to say whether it has the trace; the rest is there meanwhile."""
    address = await run.io_bound(visit.services.mlflow_link, trace_id)
    if address is None or acts.is_deleted:
        return
    with acts, link(address, "btn ghost small", target="_blank"):
        icon("external")
        text("span", "", visit.say("trace.in_mlflow"))


def _draw(visit: Visit, call: Call, data: Found) -> None:
    say = visit.say
    if call.error:
        problem(call.error)
    with tag("section"):
        text("h3", "", say("trace.input"))
        show_input(visit, call.input)
    with tag("section"):
        text("h3", "", say("trace.output"))
        if call.status is CallStatus.OK:
            show_answer(visit, call.output)
        else:
            text("p", "faint", visit.name("status", call.status))
    if call.spent is not None and call.spent.steps:
        show_steps(visit, call, data.questions)
    with tag("section"):
        text("h3", "", say("trace.feedback"))
        _draw_feedback(visit, data.feedback)
    if call.spent is not None and (tried := tried_of(call, call.spent)):
        with tag("section"):
            text("h3", "", say("trace.attempts"))
            _draw_attempts(visit, tried)
    with tag("section"):
        text("h3", "", say("trace.facts"))
        facts(_facts(visit, call))


def tried_of(call: Call, spent: Spent) -> tuple[Attempt, ...]:
    """Upstreams, in the order in which they were asked. Where one answered at once the call's own line says it all."""
    if spent.tried or not spent.provider or spent.cached:
        return spent.tried
    only = Attempt(
        provider=spent.provider,
        model=spent.model,
        at_ms=0.0,
        ms=call.latency_ms if spent.first_ms else spent.wait_ms,
        outcome="ok",
        first_ms=spent.wait_ms if spent.first_ms else 0.0,
    )
    return (only,)


def _draw_attempts(visit: Visit, tried: tuple[Attempt, ...]) -> None:
    with tag("ol", "attempts"):
        for attempt in tried:
            good = attempt.outcome == "ok"
            with tag("li", "stack stack-4"):
                with tag("div", "row-flex wrap"):
                    icon(*(("check", "text-good") if good else ("close", "text-bad")))
                    text("span", "mono", f"{attempt.provider}/{attempt.model}")
                    text("span", "push soft", numbers.milliseconds(attempt.ms))
                text("span", "faint small", " · ".join(_words_of_attempt(visit, attempt)))
                if attempt.error:
                    text("span", "small text-bad", attempt.error)


def _words_of_attempt(visit: Visit, attempt: Attempt) -> Iterator[str]:
    yield visit.say("trace.answered") if attempt.outcome == "ok" else visit.name("failure", attempt.outcome)
    if attempt.status:
        yield visit.say("trace.with_status", status=attempt.status)
    if attempt.at_ms:
        yield visit.say("trace.asked_after", time=numbers.milliseconds(attempt.at_ms))
    if attempt.first_ms:
        yield visit.say("trace.first_event", time=numbers.milliseconds(attempt.first_ms))


def _facts(visit: Visit, call: Call) -> list[tuple[str, str]]:
    say = visit.say
    version = say("trace.version", version=call.version)
    return [
        (say("column.status"), visit.name("status", call.status)),
        (say("column.endpoint"), call.endpoint),
        (say("column.variant"), f"{call.variant} · {version}" if call.variant else ""),
        (say("column.routed"), visit.name("reason", call.reason)),
        (say("trace.counted"), say("trace.yes" if call.counted else "trace.no")),
        (say("figure.latency"), numbers.milliseconds(call.latency_ms)),
        (say("trace.run"), numbers.milliseconds(call.run_ms) if call.run_ms else ""),
        (say("trace.rows"), numbers.count(call.rows)),
        (say("column.user"), "" if call.unit.startswith(TRACE_PREFIX) else call.unit),
        (say("column.revision"), str(call.revision) if call.revision else ""),
        (say("trace.protocol"), call.protocol),
        (say("trace.parent"), call.parent),
        (say("trace.shadow_of"), call.shadow_of),
    ]


def _draw_feedback(visit: Visit, given: tuple[Feedback, ...]) -> None:
    if not given:
        text("p", "faint", visit.say("trace.no_feedback"))
        return
    with tag("div", "stack stack-12"):
        for feedback in given:
            with tag("div", "row-flex"):
                icon(*_icon_of(feedback))
                with tag("div", "stack stack-4"):
                    text("span", "", _words_of(visit, feedback))
                    if feedback.comment and feedback.name != FeedbackName.COMMENT:
                        text("span", "soft", feedback.comment)
                    text("span", "faint small", visit.say("trace.rated_by", rater=feedback.rater[:12]))
                when(feedback.time, "faint small push")


def _words_of(visit: Visit, feedback: Feedback) -> str:
    if feedback.name == FeedbackName.RATING:
        return visit.say("feedback.rated_up" if feedback.value else "feedback.rated_down")
    if feedback.name == FeedbackName.CORRECTION:
        answer = answer_of(feedback.value)
        return visit.say("feedback.corrected", value=answer.label if answer else numbers.scalar(feedback.value))
    return str(feedback.value)


def _icon_of(feedback: Feedback) -> tuple[str, str]:
    """Its name and its colour."""
    if feedback.name == FeedbackName.RATING:
        return ("up", "text-good") if feedback.value else ("down", "text-bad")
    return ("pen", "text-bad") if feedback.name == FeedbackName.CORRECTION else ("assistant", "faint")
