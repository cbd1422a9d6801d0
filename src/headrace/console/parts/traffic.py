"""How traffic is split, and the steps of a release. Called by the endpoint and release pages.

Decides how a share is drawn: widths are shares, colours are roles, and the words beside them say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.console.parts.icon import icon
from headrace.console.parts.numbers import share
from headrace.console.parts.tag import tag, text
from headrace.types.traffic import BUCKETS, TrafficPolicy

MANY = 6  # steps that have room for an icon and a title each, side by side


class Split:
    """The bar of a policy, with its legend; the share moves in place."""

    def __init__(self) -> None:
        with tag("div", "stack stack-8"):
            with tag("div", "split", role="img") as self._bar:
                self._baseline = tag("i", "role-baseline")
                self._candidate = tag("i", "role-candidate")
            with tag("div", "legend"):
                with tag("span"):
                    tag("i", "dot role-baseline")
                    self._baseline_words = text("span", "", "")
                with tag("span") as self._candidate_legend:
                    tag("i", "dot square role-candidate")
                    self._candidate_words = text("span", "", "")

    def show(self, policy: TrafficPolicy) -> None:
        widening = policy.share if policy.candidate else 0
        self._baseline.style(f"flex-grow: {BUCKETS - widening}").classes(replace=_bar("baseline", BUCKETS - widening))
        self._candidate.style(f"flex-grow: {widening}").classes(replace=_bar("candidate", widening))
        self._baseline_words.set_text(f"{policy.baseline} {share(BUCKETS - widening)}")
        self._candidate_words.set_text(f"{policy.candidate} {share(widening)}")
        self._candidate_legend.set_visibility(bool(policy.candidate))
        words = f"{policy.baseline} {share(BUCKETS - widening)}, {policy.candidate or '–'} {share(widening)}"
        if self._bar.props.get("aria-label") != words:
            self._bar.props["aria-label"] = words


def _bar(role: str, width: int) -> str:
    return f"role-{role} {'' if width else 'zero'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """`state` is done, now, failed or next; `part` is how far the current step has come. `brief`: the title where there
    is little room; empty: the icon alone."""

    title: str
    icon: str
    state: str
    brief: str = ""
    role: str = "candidate"
    words: str = ""
    part: float = 0.0


class Stepper:
    """`full`: on a narrow screen the steps stand one below the other, each with its words."""

    def __init__(self, steps: Sequence[StepView], *, full: bool = False) -> None:
        with tag("ol", f"steps {'full' if full else ''} {'many' if len(steps) > MANY else ''}"):
            self._steps = [_Step(step) for step in steps]
        self._now = text("div", "steps-now", "")
        self._now.set_visibility(not full)

    def show(self, steps: Sequence[StepView]) -> None:
        for shown, step in zip(self._steps, steps, strict=True):
            shown.show(step)
        told = next((step for step in steps if step.state in ("now", "failed")), None)
        self._now.set_text(f"{told.title}: {told.words}" if told else "")


class _Step:
    """The kind of a step does not change, what is said of it does."""

    def __init__(self, step: StepView) -> None:
        with tag("li", "step") as self._box:
            with tag("div", "bar"):
                self._fill = tag("i")
            with tag("div", "share num"):
                icon(step.icon, "kind")
                text("span", f"title {'brief-known' if step.brief else ''}", step.title, title=step.title)
                self._done = icon("check", "mark")
                self._failed = icon("close", "mark")
            self._words = text("div", "state", "")
        self.show(step)

    def show(self, step: StepView) -> None:
        self._box.classes(replace=f"step {step.state} of-{step.role}")
        self._fill.style(f"width: {100 * step.part:.0f}%" if step.state == "now" else "width: ")
        self._done.set_visibility(step.state == "done")
        self._failed.set_visibility(step.state == "failed")
        self._words.set_text(step.words)
