"""What a program did for an answer, inside the drawer of its trace: its parts within each other, each question to a
language model, and below it what this platform's gateway has written of that question.

Called by trace.py. Decides nothing: a question's line is the one that was asked under its span.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.base.ids import caller_of
from headrace.console.parts import numbers
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import link, tag, text
from headrace.console.visit import Visit
from headrace.types.call import Call
from headrace.types.step import Step, StepKind

ICONS = {StepKind.MODULE: "programs", StepKind.LM: "assistant", StepKind.TOOL: "compute"}

INDENT = 16  # pixels


def show_steps(visit: Visit, call: Call, questions: Sequence[Call]) -> None:
    """`questions`: lines of the gateway that name this call."""
    steps = call.spent.steps if call.spent else ()
    lines = {caller_of(each.parent)[1]: each for each in questions}
    with tag("section"):
        text("h3", "", visit.say("trace.steps"))
        with tag("ol", "steps"):
            for step, depth in zip(steps, depths(steps), strict=True):
                _draw_step(visit, step, depth, call.latency_ms)
                if (line := lines.get(step.span)) is not None:
                    _draw_line(visit, line, depth + 1)


def depths(steps: Sequence[Step]) -> list[int]:
    """What a step is within comes before it."""
    found: list[int] = []
    for step in steps:
        found.append(found[step.within] + 1 if 0 <= step.within < len(found) else 0)
    return found


def _draw_step(visit: Visit, step: Step, depth: int, whole: float) -> None:
    with tag("li", "step").style(f"padding-left: {INDENT * depth}px"):
        with tag("div", "row-flex"):
            icon(ICONS[step.kind], "faint")
            text("span", "ellipsis-1", step.name, title=visit.name("trace.step", step.kind))
            text("span", "num small faint push", numbers.milliseconds(step.ms))
        if whole > 0:
            left = min(100.0, 100 * step.at_ms / whole)
            with tag("div", "span-track", aria_hidden="true"):
                tag("i", f"of-{step.kind}").style(
                    f"left: {left:.2f}%; width: {min(100 - left, 100 * step.ms / whole):.2f}%"
                )
        if step.kind is StepKind.LM and (tokens := step.input_tokens + step.output_tokens):
            text("span", "faint small", " · ".join(filter(None, (step.model, _tokens(visit, tokens)))))
        if step.error:
            text("span", "text-bad small", step.error)


def _draw_line(visit: Visit, line: Call, depth: int) -> None:
    """Cost and provider are the gateway's own words: a program's step knows neither."""
    spent = line.spent
    told = [line.endpoint]
    if spent is not None:
        told += [spent.provider, numbers.money_figure(spent.cost) if spent.cost else ""]
    with (
        tag("li", "step").style(f"padding-left: {INDENT * depth}px"),
        link(f"/traces?trace={line.trace_id}", "row-flex"),
    ):
        icon("gateway", "faint")
        text("span", "ellipsis-1", " · ".join(filter(None, told)), title=visit.say("trace.through_gateway"))
        text("span", "num small faint push", numbers.milliseconds(line.latency_ms))


def _tokens(visit: Visit, tokens: int) -> str:
    return visit.say("trace.tokens", n=numbers.count(tokens))
