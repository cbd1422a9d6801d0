"""What was asked before a kill is not asked again, counts as what it cost, and leaves that much less of the budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.serving.desk import OK, STOPPED, Desk
from headrace.serving.lm import Aliases
from headrace.serving.paid import Paid
from headrace.types.program import Budget
from tests.lm_server import FakeLM, fake_lm

ONE = 10 * 100 / 1e6  # what a question costs


@pytest.fixture(scope="module")
def service() -> Iterator[FakeLM]:
    with fake_lm(lambda body: f"answer {body['messages'][-1]['content']}") as found:
        yield found


@pytest.fixture
def lm(service: FakeLM) -> FakeLM:
    service.asked.clear()
    return service


@pytest.fixture
def aliases(lm: FakeLM, tmp_path: Path) -> Aliases:
    (tmp_path / "lms.yaml").write_text(json.dumps({"fast": {"url": lm.url, "model": "m", "price": {"input": 100}}}))
    return Aliases(tmp_path / "lms.yaml")


class Life:
    """Of a process, from its begin to its kill."""

    def __init__(self, aliases: Aliases, folder: Path, **budget: Any) -> None:
        self.paid = Paid(folder / "answers.jsonl")
        self.desk = Desk(aliases, ["fast"], Budget(**({"calls": 0, "money": 0.0} | budget)), paid=self.paid)
        self._account = self.desk.open()

    async def ask(self, number: int) -> int:
        body = json.dumps({"messages": [{"role": "user", "content": str(number)}]}).encode()
        told, answer = await self.desk.ask({"for": self._account.number}, body, None)
        if told["status"] == OK:
            assert json.loads(answer)["choices"][0]["message"]["content"] == f"answer {number}"
        return int(told["status"])


async def test_what_was_heard_is_not_asked_again(aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    first = Life(aliases, tmp_path, calls=5)
    assert [await first.ask(number) for number in range(3)] == [OK] * 3
    first.paid.send("a question whose answer nobody heard")
    second = Life(aliases, tmp_path, calls=5)
    assert second.desk.usage.calls == 4
    assert [await second.ask(number) for number in range(5)] == [OK] * 4 + [STOPPED]
    assert len(lm.asked) == 4
    assert second.desk.usage.calls == 5
    third = Life(aliases, tmp_path, calls=5)
    assert [await third.ask(number) for number in range(5)] == [OK] * 4 + [STOPPED], "also with nothing left of it"
    assert len(lm.asked) == 4
    for life in (first, second, third):
        await life.desk.close()


async def test_money_is_one_purse_for_all_lives(aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    for _ in range(3):
        life = Life(aliases, tmp_path, money=3.5 * ONE)
        answers = [await life.ask(number) for number in range(6)]
        assert answers == [OK] * 4 + [STOPPED] * 2
        assert life.desk.usage.money == pytest.approx(4 * ONE)
        await life.desk.close()
    assert len(lm.asked) == 4


async def test_the_same_question_twice_has_two_answers(aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    for _ in range(2):
        life = Life(aliases, tmp_path)
        assert [await life.ask(7), await life.ask(7)] == [OK, OK]
        await life.desk.close()
    assert len(lm.asked) == 2


async def test_a_torn_line_is_not_read(aliases: Aliases, lm: FakeLM, tmp_path: Path) -> None:
    life = Life(aliases, tmp_path)
    await life.ask(1)
    await life.desk.close()
    file = tmp_path / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    again = Life(aliases, tmp_path)
    assert again.desk.usage.calls == 1, "it was sent"
    assert await again.ask(1) == OK
    await again.desk.close()
    assert len(lm.asked) == 2
