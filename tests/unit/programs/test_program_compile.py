"""Compiling in a real child, its language model in view: what it finds, what it may spend, what it sees."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_server import FakeLM, fake_lm
from ticket_program import ROWS, TICKET, learns

from headrace.programs.compile import Request, compile_now, estimate
from headrace.programs.definition import read_program
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.package import Packed, with_code
from headrace.serving.lm import Aliases
from headrace.types.errors import BadInput, Conflict, ModelRefused, UpstreamError
from headrace.types.program import Budget, Compilation, Compiled, OptimizerName, Program

pytestmark = pytest.mark.process
CANARY = "canary-4711-do-not-keep"
KEY = "UPSTREAM_TEST_LM_KEY"
CODE = b"""
import os, dspy

class Team(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = dspy.Predict("text -> team")

    def forward(self, text):
        return self.step(text=text)

def build():
    return Team()

def strict(expected, given):
    return expected["team"] == given["team"]

def snoop(expected, given):
    import socket
    try:
        socket.create_connection(("127.0.0.1", 9))
    except PermissionError:
        return 0.0 if any("canary" in value for value in os.environ.values()) else 1.0
    except OSError:
        return 0.0
    return 0.0
"""


@pytest.fixture(scope="module")
def lm() -> Iterator[FakeLM]:
    with fake_lm(learns) as found:
        yield found


@pytest.fixture
def aliases(lm: FakeLM, alias_file: Callable[..., Aliases]) -> Aliases:
    lm.reply = learns
    lm.asked.clear()
    lm.headers.clear()
    return alias_file(lm.url, price={"input": 100, "output": 200})


def order(program: Program, optimizer: OptimizerName = OptimizerName.LABELED, **how: Any) -> Request:
    return Request(packed=Packed(program=program), how=Compilation(optimizer=optimizer, **how), rows=ROWS)


def run(request: Request, aliases: Aliases, tmp_path: Path, **more: Any) -> tuple[Compiled, list[str]]:
    told: list[str] = []
    return compile_now(
        request, aliases=aliases, work=tmp_path / "work", progress=lambda said: told.append(said.words), **more
    ), told


def test_examples_make_it_better_and_the_gain_is_measured_on_rows_it_never_saw(
    ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path
) -> None:
    request = order(ticket)
    found, told = run(request, aliases, tmp_path)
    test = estimate(request).split.test
    assert found.before.mean == sum(r["team"] == "billing" for r in test) / len(test)
    assert found.after.mean == 1.0
    assert found.gain.mean == found.after.mean - found.before.mean > 0
    assert found.usage.calls == len(lm.asked) == 2 * len(test)
    assert found.usage.money == pytest.approx(len(lm.asked) * (10 * 100 + 5 * 200) / 1e6)
    assert list(found.state) == ["self"]
    shown = {demo["text"] for demo in found.state["self"]["demos"]}
    assert not shown & {row["text"] for row in test}
    assert any("test rows" in line and "calls" in line for line in told)


def test_the_same_seed_gives_the_same_program(ticket: Program, aliases: Aliases, tmp_path: Path) -> None:
    first, _ = run(order(ticket, seed=3), aliases, tmp_path)
    again, _ = run(order(ticket, seed=3), aliases, tmp_path)
    other, _ = run(order(ticket, seed=4), aliases, tmp_path)
    assert first.state == again.state
    assert first.state != other.state


def test_a_budget_is_never_exceeded_and_the_best_so_far_is_kept(
    ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path
) -> None:
    request = order(ticket, OptimizerName.RANDOM_SEARCH, budget=Budget(calls=60))
    planned = estimate(request)
    assert planned.calls > 60 > planned.evaluation
    found, _ = run(request, aliases, tmp_path)
    assert len(lm.asked) <= 60
    assert found.usage.calls == len(lm.asked)
    assert "is used up" in found.stopped
    assert found.after.rows == len(planned.split.test)


def test_money_stops_it_too(ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    one = (10 * 100 + 5 * 200) / 1e6
    request = order(ticket, OptimizerName.BOOTSTRAP, budget=Budget(calls=0, money=8 * one), threads=2)
    with pytest.raises(ModelRefused, match=r"the budget of 0.016 is used up|found nothing before"):
        run(request, aliases, tmp_path)
    assert len(lm.asked) <= 8 + 2  # those that were under way


def test_a_budget_that_cannot_work_is_refused_before_anything_is_asked(
    ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="does not cover"):
        run(order(ticket, OptimizerName.BOOTSTRAP, budget=Budget(calls=5)), aliases, tmp_path)
    assert not lm.asked


def test_it_can_be_cancelled(ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    cancelled, held = threading.Event(), threading.Event()

    def hold(body: dict[str, Any]) -> str:
        cancelled.set()
        held.wait(20)
        return learns(body)

    lm.reply = hold
    with pytest.raises(Conflict, match="cancelled"):
        run(order(ticket), aliases, tmp_path, cancelled=cancelled)
    held.set()
    assert not list((tmp_path / "work").iterdir())


def test_code_of_its_own_has_no_network_and_no_key(
    ticket: Program, lm: FakeLM, alias_file: Callable[..., Aliases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, CANARY)
    lm.reply, aliases = learns, alias_file(lm.url, key_env=KEY)
    lm.headers.clear()
    packed = with_code(ticket, CODE, name="mine.py")
    request = Request(packed=packed, how=Compilation(optimizer=OptimizerName.LABELED, metric="snoop"), rows=ROWS)
    found, told = run(request, aliases, tmp_path)
    assert found.after.mean == 1.0  # of every row: the network was closed, no key was seen
    assert {h["authorization"] for h in lm.headers} == {f"Bearer {CANARY}"}
    assert list(found.state) == ["step"]
    assert CANARY not in json.dumps([found.state, told])


def test_what_goes_wrong_is_told(
    ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path, alias_file: Callable[..., Aliases]
) -> None:
    lm.reply = lambda body: 500
    with pytest.raises(ModelRefused, match=r"answers none of the .* test rows.*status 500"):
        run(order(ticket), aliases, tmp_path)
    with pytest.raises(BadInput, match="no setting 'demo'; it has: demos"):
        run(order(ticket, settings={"demo": 3}), aliases, tmp_path)
    with pytest.raises(BadInput, match="a function of the program's code"):
        run(order(ticket, metric="strict"), aliases, tmp_path)
    with pytest.raises(UpstreamError, match="no language model is called 'slow'; there are: fast"):
        run(order(read_program(TICKET | {"lm": "slow"})), aliases, tmp_path)
    with pytest.raises(UpstreamError, match="no language model is called 'wise'") as refused:
        run(order(ticket, OptimizerName.GEPA, reflection_lm="wise"), aliases, tmp_path)
    assert refused.value.field == "reflection_lm"
    broken = with_code(ticket, b"import nonsense_of_nobody", name="mine.py")
    with pytest.raises(ModelRefused, match="nonsense_of_nobody"):
        run(Request(packed=broken, how=Compilation(), rows=ROWS), aliases, tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (OptimizerName.BOOTSTRAP, {}),
        (OptimizerName.MIPRO, {"trials": 3, "candidates": 2, "minibatch": 8}),
        (OptimizerName.SIMBA, {"steps": 1, "candidates": 2, "minibatch": 4}),
        (OptimizerName.GEPA, {"runs": 30}),
    ],
)
def test_every_optimizer_runs(
    name: OptimizerName, settings: dict[str, Any], ticket: Program, aliases: Aliases, lm: FakeLM, tmp_path: Path
) -> None:
    def thinks(body: dict[str, Any]) -> str:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
        if "team" in schema:
            return learns(body)
        return json.dumps(dict.fromkeys(schema, "Mind the crashes.")) if schema else "```\nMind the crashes.\n```"

    lm.reply = thinks
    found, _ = run(order(ticket, name, settings=settings), aliases, tmp_path)
    assert not found.stopped
    assert not found.errors
    assert found.after.mean >= found.before.mean


def test_every_optimizer_says_what_it_needs_and_costs() -> None:
    assert list(optimizers()) == list(OptimizerName)
    for found in optimizers().values():
        assert found.does
        assert found.needs
        assert found.costs
        assert found.calls(100, 50, 1, found.settings) >= 0
