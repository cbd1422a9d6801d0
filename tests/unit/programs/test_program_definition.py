"""What a program may be, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_program import TICKET

from headrace.programs.definition import check_row, read_program, signature_of
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, Layout
from headrace.types.program import Program


def test_a_program_looks_like_a_table_to_callers(ticket: Program) -> None:
    signature = signature_of(ticket)
    assert signature.layout is Layout.COLUMNS
    assert [(s.name, s.datatype, s.shape) for s in signature.inputs] == [("text", Datatype.BYTES, (-1,))]
    assert [s.name for s in signature.outputs] == ["team"]


def test_a_chain_of_thought_answers_its_reasoning_last() -> None:
    program = read_program(TICKET | {"kind": "ChainOfThought"})
    assert [s.name for s in signature_of(program).outputs] == ["team", "reasoning"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lm": "http://x/v1"}, "lm is 'http://x/v1'"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": [{"name": "class"}]}, "called 'class'"),
        ({"inputs": [{"name": "team"}]}, "two fields are called 'team'"),
        ({"inputs": [{"name": "reasoning"}]}, "called 'reasoning'"),
        ({"inputs": [{"nam": "text"}]}, r"inputs\[0\].nam is not known"),
        ({"outputs": [{"name": "n", "type": "int", "choices": ["1"]}]}, "only str may"),
        ({"temprature": 1}, "temprature is not known; allowed: name"),
        ({"temperature": 3}, "temperature is 3.0; allowed: 0 to 2"),
        ({"kind": "Guess"}, "Guess"),
        ({"kind": "ReAct"}, "ReAct needs tools"),
        ({"tools": ["look"]}, "Predict takes no tools"),
        ({"code": {"file": "a.py", "module": "b"}}, "either a file or a module"),
        ({"examples": [{"text": "hello"}]}, r"examples\[0\] has no 'team'"),
        ({"instructions": "use sk-abcdefghijklmnop1234"}, "looks like a key"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_program(TICKET | change)


def test_rows_are_typed(ticket: Program) -> None:
    assert check_row(ticket, {"text": 7, "team": "billing", "more": 1}, "row") == {"text": "7", "team": "billing"}
    with pytest.raises(BadInput, match=r"row.team is 'sales'; allowed: billing, technical"):
        check_row(ticket, {"text": "a", "team": "sales"}, "row")
    counted = read_program(TICKET | {"outputs": [{"name": "n", "type": "int"}]})
    assert check_row(counted, {"text": "a", "n": "12"}, "row")["n"] == 12
    with pytest.raises(BadInput, match=r"row.n is 'many'; it is to be int"):
        check_row(counted, {"text": "a", "n": "many"}, "row")
