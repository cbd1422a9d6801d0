"""One dataset version: its splits, what each rule did, its rows, and where each row is from.

Called by the shell. Decides nothing: reads the version and its files and composes parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from nicegui import run, ui

from headrace.console.pages.traces import brief, feedback_word
from headrace.console.parts import numbers
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.frame import facts, page_head, panel, problem
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look
from headrace.console.parts.table import Row, Table, cell, column, pixel_cell
from headrace.console.parts.tag import choice, link, tag, text
from headrace.console.parts.values import answer_of, pixels_of, show_answer, show_input
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.flywheel.datasets import Provenance
from headrace.types.call import Feedback
from headrace.types.dataset import DatasetVersion, RuleReport, Split
from headrace.types.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.control.services import Services

SHOWN = 200  # rows of a split


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    version: DatasetVersion
    split: Split
    rows: list[dict[str, Any]]


def load(services: Services, name: str, split: str) -> Found:
    version = services.datasets.get(name)
    there = [Split(file.split) for file in version.files]
    wanted = Split(split) if split in tuple(Split) else there[0]
    return Found(version=version, split=wanted, rows=list(islice(services.datasets.rows(version, wanted), SHOWN)))


async def show(visit: Visit, name: str, split: str = "", row: str = "") -> None:
    name = unquote(name)
    ui.page_title(f"{name} · Headrace")
    data = await first_look(lambda: load(visit.services, name, split))
    if data is None:
        return
    page = _Page(visit, data)
    if row:
        await page.open(row)


class _Page:
    def __init__(self, visit: Visit, data: Found) -> None:
        self._visit, self._data = visit, data
        version, say = data.version, visit.say
        self._name = f"{version.name}@{version.number}"
        held = version.count(Split.GOLDEN) + version.count(Split.FRESH)
        sentence = say(
            "dataset.sentence",
            rows=numbers.count(version.rows),
            train=numbers.count(version.count(Split.TRAIN)),
            held=numbers.count(held),
            corrected=numbers.count(version.corrected),
        )
        page_head(self._name, sentence, crumb=(say("place.datasets"), "/datasets"))
        with tag("div", "stack"):
            self._draw_rows()
            if version.report is not None:
                with panel(say("dataset.rules"), flush=True):
                    self._draw_rules(version.report.rules)
        self._drawer = Drawer(visit, self._closed)

    def _draw_rules(self, rules: tuple[RuleReport, ...]) -> None:
        say = self._visit.say
        table = Table(
            [
                column("rule", say("dataset.rule")),
                column("seen", say("dataset.seen"), end=True, wide_only=True),
                column("kept", say("dataset.kept"), end=True),
                column("changed", say("dataset.changed"), end=True, wide_only=True),
                column("why", say("dataset.why"), grow=True),
            ],
            label=say("dataset.rules"),
        )
        table.show([self._rule(rule) for rule in rules])

    def _rule(self, rule: RuleReport) -> Row:
        why = " · ".join(f"{reason} {numbers.count(count)}" for reason, count in rule.why.items())
        return {
            "id": rule.name,
            "rule": cell(self._visit.name("rule", rule.name), sub="" if rule.on else self._visit.say("dataset.off")),
            "seen": cell(numbers.count(rule.seen)),
            "kept": cell(numbers.count(rule.kept)),
            "changed": cell(numbers.count(rule.changed)),
            "why": cell(why, classes="soft"),
        }

    def _draw_rows(self) -> None:
        say, data = self._visit.say, self._data
        count = data.version.count(data.split)
        told = say("dataset.first_rows", shown=numbers.count(len(data.rows)), n=numbers.count(count))
        with panel(told, flush=True) as box:
            with box.head, tag("div", "push"):
                choice(
                    {f.split: f"{self._visit.name('split', f.split)} · {f.rows}" for f in data.version.files},
                    data.split.value,
                    lambda value: ui.navigate.to(f"/datasets/{quote(self._name, safe='@')}?split={value}"),
                    label=say("dataset.split_choice"),
                )
            self._table = Table(
                [
                    column("input", say("column.input")),
                    column("answer", say("column.answer")),
                    column("label", say("dataset.label"), grow=data.split is Split.CRITIQUE),
                    column("rule", say("dataset.by_rule"), wide_only=True),
                    column("raters", say("dataset.raters"), end=True, wide_only=True),
                    column("trace", say("trace.id"), wide_only=True),
                ],
                label=told,
                on_pick=self.open,
            )
            self._table.show([self._row(row) for row in data.rows])
            if not data.rows:
                text("p", "faint", say("dataset.no_rows"))

    def _row(self, row: dict[str, Any]) -> Row:
        picture = pixels_of(row["inputs"])
        critique = self._data.split is Split.CRITIQUE
        return {
            "id": row["row"],
            "input": pixel_cell(*picture) if picture and picture[1] <= 16 else cell(_words(row["inputs"])),
            "answer": cell(_words(row["output"])),
            "label": cell(row["critique"] or "" if critique else _words(row["label"]), tone=_tone(row, critique)),
            "rule": cell(self._visit.name("rule", row["rule"]), classes="soft"),
            "raters": cell(numbers.count(len(row["raters"]))),
            "trace": cell(row["trace_id"][:18], classes="mono soft", title=row["trace_id"]),
        }

    async def open(self, row: str) -> None:
        visit = self._visit
        self._table.choose(row)
        ui.navigate.history.replace(f"/datasets/{quote(self._name, safe='@')}?split={self._data.split}&row={row}")
        body = self._drawer.open(row)
        try:
            found = await run.io_bound(visit.services.datasets.where_from, self._name, row)
        except HeadraceError as error:
            with body:
                problem(error.sentence())
            return
        if found is not None and not body.is_deleted:
            with body:
                _draw_origin(visit, found)

    def _closed(self) -> None:
        self._table.choose("")
        ui.navigate.history.replace(f"/datasets/{quote(self._name, safe='@')}?split={self._data.split}")


def _draw_origin(visit: Visit, found: Provenance) -> None:
    """This row came from that call, that person's correction."""
    say, origin, values = visit.say, found.origin, found.values
    rule = visit.name("rule", origin.rule)
    told = say("dataset.told", endpoint=origin.endpoint, version=origin.version, rule=rule)
    text("p", "", told if origin.trace_id else say("dataset.brought", rule=rule))
    if origin.trace_id and found.call is None:
        text("p", "faint", say("dataset.call_gone"))
    elif origin.trace_id:
        with link(f"/traces?trace={origin.trace_id}", "btn ghost small"):
            icon("traces")
            text("span", "", say("dataset.open_call"))
    with tag("section"):
        text("h3", "", say("trace.input"))
        show_input(visit, [values["inputs"]])
    with tag("section"):
        text("h3", "", say("trace.output"))
        show_answer(visit, values["output"])
    with tag("section"):
        text("h3", "", say("dataset.label"))
        text("div", "answer", values["critique"] or _words(values["label"]))
    with tag("section"):
        text("h3", "", say("dataset.words"))
        with tag("div", "stack stack-12"):
            for word in found.words:
                _draw_word(visit, word, found)
    with tag("section"):
        text("h3", "", say("trace.facts"))
        facts(
            [
                (say("dataset.row"), origin.row),
                (say("trace.id"), origin.trace_id),
                (say("dataset.split_choice"), visit.name("split", origin.split)),
                (say("column.user"), origin.unit),
            ]
        )


def _draw_word(visit: Visit, word: Feedback, found: Provenance) -> None:
    with tag("div", "row-flex"), tag("div", "stack stack-4"):
        text("span", "", visit.say("dataset.taken_back") if word.withdrawn else feedback_word(visit, word))
        if word.comment or word.reasons:
            text("span", "soft", word.comment or ", ".join(word.reasons))
        with tag("span", "row-flex faint small"):
            text("span", "", visit.say("trace.rated_by", rater=word.rater[:20]))
            if standing := _standing(word, found):
                text("span", "badge", visit.say(standing))
            when(word.time, "faint small")


def _standing(word: Feedback, found: Provenance) -> str:
    if any(other.id == word.id and other.time > word.time for other in found.words):
        return "dataset.replaced"
    return "dataset.in_row" if word.id in found.origin.feedback and not word.withdrawn else ""


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return brief(", ".join(f"{name} {numbers.scalar(v)}" for name, v in list(value.items())[:3]))
    answer = answer_of(value)
    return brief(answer.label) if answer else numbers.NOTHING


def _tone(row: dict[str, Any], critique: bool) -> str:
    return "bad" if critique or row["rule"] in ("corrections", "review") else ""
