"""A draft is the file that the command line takes; rows are read from what people paste; estimates come in time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ticket_program import ROWS, TICKET

from headrace.base.clock import ManualClock
from headrace.console.pages.labelled import rows_from
from headrace.flywheel.teaching import rows_of
from headrace.programs.definition import read_program
from headrace.programs.drafts import Draft, Drafts, as_python
from headrace.programs.orders import CompileOrder
from headrace.programs.service import Programs
from headrace.programs.source import read_source
from headrace.serving.lm import Aliases
from headrace.types.errors import BadInput, NotFound, UpstreamError


def test_what_is_written_is_there_again_and_compiles_from_the_folder(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "programs")
    assert drafts.names() == ()
    code = "def look_up(order: str) -> str:\n    return order\n"
    written = {**TICKET, "kind": "ReAct", "tools": ["look_up"], "code": {"file": "ticket_tools.py"}}
    path = drafts.put(Draft(written=written, rows=[dict(row) for row in ROWS[:3]], code=code))
    assert yaml.safe_load(path.read_text()) == written
    found = drafts.get("ticket")
    assert (found.written, found.rows, found.code) == (written, [dict(row) for row in ROWS[:3]], code)
    assert read_source(tmp_path / "programs", "ticket.yaml").program.tools == ("look_up",)
    with pytest.raises(NotFound, match="there are: ticket"):
        drafts.get("nix")
    for name in ("../out", "", ".x"):
        with pytest.raises(BadInput, match="name is"):
            drafts.put(Draft(written={"name": name}))
    with pytest.raises(BadInput, match="there is no file"):
        read_source(tmp_path / "programs" / "x", "../ticket.yaml")


def test_as_python_it_is_python() -> None:
    told = as_python({**TICKET, "instructions": 'Say "which" team. """', "kind": "ChainOfThought"})
    compile(told, "ticket", "exec")
    assert "team: Literal['billing', 'technical'] = dspy.OutputField()" in told
    assert told.endswith("program = dspy.ChainOfThought(Ticket)\n")


def test_rows_are_read_from_what_is_pasted() -> None:
    assert rows_from('{"text": "a", "team": "b"}\n\n{"text": "c"}') == [{"text": "a", "team": "b"}, {"text": "c"}]
    assert rows_from('text,team\n"a, b",billing\n') == [{"text": "a, b", "team": "billing"}]
    for pasted, words in (("", "nothing"), ('{"a": 1}\n{', "line 2"), ("text,team\nonly", "neither"), ("x", "neither")):
        with pytest.raises(BadInput, match=words):
            rows_from(pasted)


def test_what_fits_no_program_is_counted() -> None:
    cases = [
        {"inputs": {"text": "a"}, "label": "billing", "comment": "too slow"},
        {"inputs": "b", "label": {"team": "technical"}},
        {"inputs": {"text": "c"}, "label": "cleaning"},
        {"inputs": [1, 2], "label": "billing"},
    ]
    found = rows_of(read_program(TICKET), cases)
    assert found.rows[0] == {"text": "a", "team": "billing", "feedback": "too slow"}
    assert found.rows[1] == {"text": "b", "team": "technical"}
    assert found.odd == 1, "a list is taken for a text"
    assert "cleaning" in found.why


def test_an_estimate_asks_nothing_and_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "lms.yaml").write_text("fast: {url: 'http://127.0.0.1:9/v1', price: {input: 1, output: 2}}")
    programs = Programs(
        registry=None,  # type: ignore[arg-type]
        aliases=Aliases(tmp_path / "lms.yaml"),
        work=tmp_path / "work",
        clock=ManualClock(0.0),
    )
    rows = [dict(row) for row in ROWS]
    found = programs.plan(CompileOrder(program=TICKET, rows=rows))
    assert found.train + found.valid + found.test == len(rows)
    assert found.evaluation == 2 * found.test
    assert found.calls > found.evaluation
    assert found.money is not None
    assert 1e-4 < found.money < 1e-1
    with pytest.raises(BadInput) as refused:
        programs.plan(CompileOrder(program=TICKET, rows=rows, how={"budget": {"calls": 3}}))
    assert refused.value.field == "budget.calls"
    with pytest.raises(UpstreamError, match="no language model is called 'slow'"):
        programs.plan(CompileOrder(program={**TICKET, "lm": "slow"}, rows=rows))
