"""The results of an A/B test, and of any release for which applications posted numbers: a panel of the release page.

Called by the release page. Decides nothing: release/results.py has the numbers, quotes.py the sentences.
"""

from __future__ import annotations

from nicegui import ui

from headrace.console.parts.button import copy_button
from headrace.console.parts.frame import Badge, panel
from headrace.console.parts.tag import tag, text
from headrace.console.quotes import TONES, Quote, Scale, quotes, split_said, when_to_quote
from headrace.console.visit import Visit
from headrace.release.results import Results
from headrace.types.release import Release
from headrace.types.strategy import MetricSpec

ICONS = {"better": "check", "worse": "warn", "unclear": "help", "unknown": "hold"}


class ResultsPanel:
    """Rows are drawn once for each metric, and change in place."""

    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, self._quotes = visit, list[Quote]()
        self._specs = {m.name.replace("_", " "): m for m in release.plan.metrics}
        self._rows: dict[str, _Row] = {}
        with panel(visit.say("results.title"), classes="results") as box:
            with box.head, tag("div", "push"):
                copy_button(visit, visit.say("results.copy"), self._all)
            self._when = text("p", "soft", "")
            self._split = text("p", "small", "")
            with tag("div", "legend"):
                for mark in ("fixed", "always"):
                    with tag("span"):
                        tag("i", f"mark-{mark}")
                        text("span", "", visit.name("results", mark))
            self._list = tag("div", "result-rows")
            self._none = text("p", "faint", visit.say("results.none"))

    def _all(self) -> str:
        return "\n".join([*(q.sentence for q in self._quotes), self._split.text])

    def show(self, release: Release, found: Results) -> None:
        self._quotes = quotes(self._visit, release, found)
        self._when.set_text(when_to_quote(self._visit, release, found))
        self._split.set_text(split_said(self._visit, release, found))
        self._split.classes(replace=f"small {'text-bad' if found.split.alarm else 'faint'}")
        if [q.name for q in self._quotes] != list(self._rows):
            self._list.clear()
            with self._list:
                self._rows = {q.name: _Row(self._visit, release, self._specs[q.name]) for q in self._quotes}
        for each in self._quotes:
            self._rows[each.name].show(each)
        self._none.set_visibility(not self._quotes)


class _Row:
    def __init__(self, visit: Visit, release: Release, spec: MetricSpec) -> None:
        self._sentence = ""
        with tag("div", "result"):
            with tag("div", "result-name"):
                text("div", "name", spec.name.replace("_", " "))
                with tag("div", "row-flex wrap"):
                    Badge(visit.name("metric_role", spec.role))
                    if spec.dry_run:
                        Badge(visit.name("metric_role", "dry_run"))
                self._findings = {
                    name: Badge(visit.name("finding", name), tone=tone, icon_name=ICONS[name])
                    for name, tone in TONES.items()
                }
            with tag("dl", "facts arms"):
                self._arms = [_arm(release.baseline, "baseline"), _arm(release.candidate, "candidate")]
                text("dt", "", visit.say("results.difference", candidate=release.candidate, baseline=release.baseline))
                with tag("dd"):
                    self._difference = text("span", "num strong", "")
            self._plot = _Plot(spec.name.replace("_", " "))
            with tag("div", "said"):
                self._said = text("p", "", "")
                self._novelty = text("p", "faint small", "")
                copy_button(visit, visit.say("results.copy_one"), lambda: self._sentence)

    def show(self, found: Quote) -> None:
        for name, badge in self._findings.items():
            badge.set_visible(name == found.finding)
        for (level, users), shown, units in zip(self._arms, found.arms, found.units, strict=True):
            level.set_text(shown)
            users.set_text(f"/ {units}")
        self._difference.set_text(found.difference)
        self._plot.show(found.scale, TONES[found.finding])
        self._said.set_text(found.sentence)
        self._novelty.set_text(found.novelty)
        self._sentence = found.sentence


def _arm(variant: str, role: str) -> tuple[ui.label, ui.label]:
    with tag("dt", "variant"):
        tag("i", f"dot {'square ' if role == 'candidate' else ''}role-{role}")
        text("span", "", variant)
    with tag("dd"):
        return text("span", "num", ""), text("span", "num faint small", "")  # type: ignore[return-value]


class _Plot:
    """The intervals on a scale of their own, with a line at no difference."""

    def __init__(self, name: str) -> None:
        with tag("div", "interval", role="img", aria_label=name) as self._box:
            self._zero = tag("i", "zero")
            self._always, self._fixed, self._point = tag("i", "always"), tag("i", "fixed"), tag("i", "point")
            self._ends = text("span", "end low num", ""), text("span", "end high num", "")
            self._middle = text("span", "end middle num", "0")

    def show(self, scale: Scale | None, tone: str) -> None:
        self._box.set_visibility(scale is not None)
        if scale is None:
            return
        self._box.classes(replace=f"interval tone-{tone or 'unknown'}")
        for element, at in ((self._zero, scale.zero), (self._point, scale.difference), (self._middle, scale.zero)):
            element.style(f"left: {at}%")
        for element, bar in ((self._always, scale.always), (self._fixed, scale.fixed)):
            element.set_visibility(bar is not None)
            if bar is not None:
                element.style(f"left: {bar[0]}%; width: {bar[1] - bar[0]:.2f}%")
        for element, words in zip(self._ends, (scale.low, scale.high), strict=True):
            element.set_text(words)
