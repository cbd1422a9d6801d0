"""Compile a program on its page: which optimizer and what it needs and costs, the budget, what it will take, and go.

Called by the page of a program. Decides nothing: the estimate and every refusal are the programs room's, shown at the
field that they name. How far a compilation is, and what came of it, is compiled.py's.
"""

from __future__ import annotations

from typing import Any

from nicegui import background_tasks, run

from headrace.console.drafting import Desk
from headrace.console.pages.labelled import Labelled
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.form import Card, Field, cards, line, one_of
from headrace.console.parts.frame import panel
from headrace.console.parts.tag import VALUE_OF_TARGET, tag, text
from headrace.programs.metrics import METRICS
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.orders import CompileOrder
from headrace.programs.service import Planned
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.program import Budget, OptimizerName

CALLS = 500
MINUTES = 60


class Compiling:
    def __init__(self, desk: Desk, labelled: Labelled) -> None:
        self._desk, self._labelled = desk, labelled
        self._how: dict[str, Any] = {"optimizer": OptimizerName.BOOTSTRAP.value, "metric": "exact", "seed": 0}
        self._budget: dict[str, Any] = {"calls": CALLS, "money": 0.0, "seconds": MINUTES * 60.0}
        self._settings: dict[str, Any] = {}
        self._beat = bool(desk.current)
        self._fields: dict[str, Field] = {}
        self._order: CompileOrder | None = None
        self._asked = 0
        say = desk.visit.say
        with panel(say("builder.compile")), tag("div", "stack"):
            cards(say("builder.optimizer"), self._offered(), self._how["optimizer"], self._choose, classes="wide")
            with tag("div", "form-grid"):
                self._number("budget.calls", "builder.calls", CALLS, hint=say("builder.calls_hint"))
                self._number("budget.money", "builder.money", 0, hint=say("builder.money_hint"))
                self._number("budget.seconds", "builder.minutes", MINUTES, hint="")
                self._number("seed", "builder.seed", 0, hint=say("builder.seed_hint"))
                metrics = {name: desk.visit.name("builder.metric", name) for name in METRICS}
                known = desk.visit.services.programs.aliases.names()
                self._fields["reflection_lm"] = line(
                    say("builder.thinks"), "", self._set_thinks, hint=say("builder.thinks_hint"), known=known
                )
                self._fields["metric"] = one_of(say("builder.metric"), metrics, "exact", self._set_metric)
            with tag("details"):
                text("summary", "soft", say("builder.settings"))
                self._knobs = tag("div", "form-grid")
            if desk.current:
                self._draw_beat()
            self._estimate = text("p", "", "", role="status")
            self._wrong = text("p", "wrong", "", role="alert")
            with tag("div"):
                self._go = button(say("builder.start"), self._ask, kind="primary", icon_name="play")
        self._draw_knobs()
        desk.heard.append(lambda: background_tasks.create(self.plan(), name="plan"))

    async def plan(self) -> None:
        """What it will take, or what is wrong; asked anew after every change."""
        self._asked += 1
        mine, planned, error = self._asked, None, None
        try:
            self._order = await self._made()
            planned = await run.io_bound(self._desk.visit.services.programs.plan, self._order)
        except HeadraceError as wrong:
            error, self._order = wrong, None
        if mine == self._asked and not self._estimate.is_deleted:
            self._show(planned, error)

    def _offered(self) -> list[Card]:
        say, visit = self._desk.visit.say, self._desk.visit
        return [
            Card(
                value=name.value,
                title=name.value,
                sentence=visit.name("optimizer", f"{name.value}.does"),
                notes=(
                    (say("builder.needs"), visit.name("optimizer", f"{name.value}.needs")),
                    (say("builder.costs"), visit.name("optimizer", f"{name.value}.costs")),
                ),
            )
            for name in OptimizerName
        ]

    def _number(self, name: str, label: str, value: float, *, hint: str) -> None:
        async def change(words: str) -> None:
            part, _, last = name.rpartition(".")
            into = self._budget if part else self._how
            try:
                number = float(words or 0)
            except ValueError:
                self._fields[name].blame(self._desk.visit.say("builder.no_number", words=words))
                return
            into[last] = number * 60 if last == "seconds" else number if last == "money" else int(number)
            await self.plan()

        self._fields[name] = line(self._desk.visit.say(label), f"{value:g}", change, hint=hint)

    def _draw_knobs(self) -> None:
        self._knobs.clear()
        with self._knobs:
            for name, usual in optimizers()[OptimizerName(self._how["optimizer"])].settings.items():
                self._fields[f"settings.{name}"] = line(name.replace("_", " "), str(usual), self._knob(name, usual))

    def _knob(self, name: str, usual: Any) -> Any:
        async def change(words: str) -> None:
            try:
                self._settings[name] = type(usual)(words) if not isinstance(usual, bool) else words.lower() == "true"
            except ValueError:
                self._settings[name] = words  # whose refusal says what is allowed
            await self.plan()

        return change

    def _draw_beat(self) -> None:
        async def change(event: Any) -> None:
            self._beat = bool(event.args)
            await self.plan()

        with tag("label", "row-flex"):
            box = tag("input", "", type="checkbox", defaultChecked=True)
            box.on("change", change, js_handler=VALUE_OF_TARGET.replace("value", "checked"))
            text("span", "", self._desk.visit.say("builder.beat", uri=self._desk.current))

    async def _choose(self, name: str) -> None:
        self._how["optimizer"], self._settings = name, {}
        self._draw_knobs()
        await self.plan()

    async def _set_metric(self, name: str) -> None:
        self._how["metric"] = name
        await self.plan()

    async def _set_thinks(self, alias: str) -> None:
        self._how["reflection_lm"] = alias.strip()
        await self.plan()

    async def _made(self) -> CompileOrder:
        program = self._desk.program()
        if program is None:
            raise BadInput(self._desk.visit.say("builder.define_first"), field="program")
        taught = await self._labelled.taught(program)
        return CompileOrder(
            program=dict(self._desk.written),
            code=self._desk.draft.code,
            rows=taught.rows,
            test=taught.test,
            how={**self._how, "settings": self._settings, "budget": self._budget},
            against=self._desk.current if self._beat else "",
            dataset=taught.source,
        )

    def _show(self, planned: Planned | None, error: HeadraceError | None) -> None:
        where = (error.field or "") if error else ""
        for name, each in self._fields.items():
            each.blame(error.message if error and name == where else "")
        told = error is not None and where not in self._fields
        self._wrong.set_text(error.sentence() if error and told else "")
        self._wrong.set_visibility(told)
        self._go.set_visibility(planned is not None)
        self._estimate.set_text(self._words(planned) if planned else "")

    def _words(self, planned: Planned) -> str:
        say, count = self._desk.visit.say, numbers.count
        rows = say(
            "builder.estimate_rows",
            train=count(planned.train),
            valid=count(planned.valid),
            test=count(planned.test),
        )
        calls = say(
            "builder.estimate_calls",
            calls=count(planned.calls),
            evaluation=count(planned.evaluation),
            tokens=count(planned.tokens),
        )
        money = (
            say("builder.no_price")
            if planned.money is None
            else say("builder.price", money=numbers.money_figure(planned.money))
        )
        return f"{rows} {calls} {money}"

    def _ask(self) -> None:
        visit, order, budget = self._desk.visit, self._order, Budget(**self._budget)
        if order is None:
            return
        bounds = [visit.say("builder.bound_calls", n=numbers.count(budget.calls))] if budget.calls else []
        bounds += [visit.say("builder.bound_money", n=f"{budget.money:g}")] if budget.money else []
        bounds += [visit.say("builder.bound_minutes", n=f"{budget.seconds / 60:g}")] if budget.seconds else []
        question = Question(
            title=visit.say("builder.ask_start", name=self._desk.draft.name, optimizer=self._how["optimizer"]),
            sentence=self._estimate.text,
            changes=[
                Change(
                    what=visit.say("builder.at_most"), was="", will=" · ".join(bounds) or visit.say("builder.unbounded")
                )
            ],
            yes=visit.say("builder.start"),
            reasoned=False,
        )
        confirm(
            visit,
            question,
            act=lambda _: visit.services.programs.start(order, actor=visit.actor),
            done=lambda: toast(visit, visit.say("builder.began")),
        )
