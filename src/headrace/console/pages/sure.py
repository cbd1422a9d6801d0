"""How sure one can be: which share of all answers is right, with its interval, and in how many days a turn decides.

Called by the flywheel's page. Decides nothing: the figures are the flywheel room's, said in plain words.
"""

from __future__ import annotations

from headrace.console.parts import numbers
from headrace.console.parts.frame import panel
from headrace.console.parts.table import Row, Table, cell, column
from headrace.console.parts.tag import link, tag, text
from headrace.console.visit import Visit
from headrace.types.program import Score
from headrace.types.turn import Need, Outlook, Right

HOURS = 48  # up to which hours are said, not days


class Sure:
    def __init__(self, visit: Visit) -> None:
        self._visit, say = visit, visit.say
        with panel(say("sure.right")):
            self._told = text("p", "", "")
            with tag("div", "bleed"):
                self._ways = Table(
                    [
                        column("way", say("sure.way"), grow=True),
                        column("share", say("sure.share"), end=True),
                        column("interval", say("flywheel.column.interval"), end=True, wide_only=True),
                        column("worth", say("sure.worth"), end=True, wide_only=True),
                    ],
                    label=say("sure.right"),
                )
            with tag("p"), link("/review"):
                text("span", "", say("sure.review"))
        with panel(say("sure.days"), flush=True):
            self._needs = Table(
                [
                    column("for", say("sure.for"), grow=True),
                    column("days", say("sure.in_days"), end=True),
                    column("needed", say("sure.needed"), end=True, wide_only=True),
                    column("pace", say("sure.pace"), end=True, wide_only=True),
                ],
                label=say("sure.days"),
            )

    def show(self, outlook: Outlook | None, right: Right | None) -> None:
        say = self._visit.say
        self._told.set_text(self._sentence(right))
        self._ways.set_visibility(right is not None)
        if right is not None:
            rows = float(right.plain.rows)
            calls = numbers.count(right.calls)
            self._ways.show(
                [
                    self._way("plain", say("sure.plain"), right.plain, rows),
                    self._way("powered", say("sure.powered", calls=calls), right.powered, right.worth),
                ]
            )
        needs = outlook.needs if outlook else ()
        none = {"id": "none", "for": cell(say("sure.nothing"), classes="faint")}
        self._needs.show([self._need(need) for need in needs] or [none])

    def _sentence(self, right: Right | None) -> str:
        if right is None:
            return self._visit.say("sure.unknown")
        found = right.powered
        return self._visit.say(
            "sure.known",
            share=f"{found.mean:.1%}",
            low=f"{found.low:.1%}",
            high=f"{found.high:.1%}",
            labels=numbers.count(right.plain.rows),
        )

    def _way(self, name: str, told: str, score: Score, worth: float) -> Row:
        return {
            "id": name,
            "way": cell(told),
            "share": cell(f"{score.mean:.1%}"),
            "interval": cell(f"{score.low:.1%} … {score.high:.1%}"),
            "worth": cell(numbers.count(round(worth))),
        }

    def _need(self, need: Need) -> Row:
        say = self._visit.say
        days = say("sure.never") if need.days is None else self._days(need.days)
        return {
            "id": need.name,
            "for": cell(self._visit.name("sure.need", need.name)),
            "days": cell(days, tone="" if need.days is not None else "bad"),
            "needed": cell(numbers.count(round(need.needed)) if need.needed is not None else numbers.NOTHING),
            "pace": cell(f"{need.per_day:,.1f}" if need.per_day < 100 else numbers.count(round(need.per_day))),
        }

    def _days(self, days: float) -> str:
        """No more exact than anybody plans."""
        say, hours = self._visit.say, days * 24
        if hours < 1:
            return say("sure.soon")
        if hours < HOURS:
            return say("sure.n_hours", n=f"{hours:.0f}")
        return say("sure.n_days", n=f"{days:,.1f}" if days < 10 else f"{days:,.0f}")
