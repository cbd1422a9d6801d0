"""A program's folder: text, whole, and without anything that opens a language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.programs.package import CODE, DESCRIPTION, Packed, cleaned, read_package, with_code, write_package
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.program import Program

STATE = {
    "predict": {
        "traces": [{"secret": "canary"}],
        "train": ["canary"],
        "demos": [{"text": "token", "api_key": "a field of the user's own"}],
        "signature": {"instructions": "Say.", "fields": []},
        "lm": {"model": "m", "api_base": "http://canary", "headers": {"authorization": "canary"}},
    },
    "metadata": {"canary": 1},
}


def test_it_reads_what_it_wrote(ticket: Program, tmp_path: Path) -> None:
    packed = Packed(program=ticket, state=cleaned(STATE), compiled={"optimizer": "LabeledFewShot"})
    write_package(packed, tmp_path / "p")
    assert read_package(tmp_path / "p") == packed
    assert sorted(p.name for p in (tmp_path / "p").rglob("*")) == ["program.json", "state.json"]


def test_of_a_state_only_examples_and_instructions_are_kept(ticket: Program, tmp_path: Path) -> None:
    write_package(Packed(program=ticket, state=STATE), tmp_path / "p")
    text = (tmp_path / "p" / "state.json").read_text()
    assert "canary" not in text
    assert json.loads(text)["predict"]["demos"] == STATE["predict"]["demos"]  # a user's field may have any name


def test_a_key_in_a_state_or_in_code_is_refused(ticket: Program, tmp_path: Path) -> None:
    demos = {"predict": {"signature": {}, "demos": [{"text": "Bearer abcdefghijklmnopqrstuv"}]}}
    with pytest.raises(BadInput, match="state holds what looks like a key"):
        write_package(Packed(program=ticket, state=demos), tmp_path / "p")
    with pytest.raises(BadInput, match="code holds what looks like a key"):
        with_code(ticket, b"KEY = 'sk-abcdefghijklmnop1234'", name="mine.py")


def test_code_that_was_changed_is_refused(ticket: Program, tmp_path: Path) -> None:
    packed = with_code(ticket, b"def build(): ...", name="mine.py")
    write_package(packed, tmp_path / "p")
    assert read_package(tmp_path / "p") == packed
    (tmp_path / "p" / CODE / "mine.py").write_text("import os")
    with pytest.raises(ModelRefused, match="the program was packed with"):
        read_package(tmp_path / "p")


def test_code_is_one_module_of_a_plain_name(ticket: Program) -> None:
    with pytest.raises(BadInput, match="allowed: the name of a Python module"):
        with_code(ticket, b"", name="../mine.py")


def test_a_format_from_the_future_is_refused(ticket: Program, tmp_path: Path) -> None:
    write_package(Packed(program=ticket), tmp_path)
    written = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps(written | {"format": 99}))
    with pytest.raises(ModelRefused, match="format 99; this Headrace reads 1 to"):
        read_package(tmp_path)


def test_a_package_of_the_first_format_is_still_read() -> None:
    """Written by 0.1 and kept as it was: a version that is registered stays loadable."""
    packed = read_package(Path(__file__).parents[2] / "golden" / "program-1")
    assert packed.program.name == "ticket"
    assert packed.state["self"]["demos"][0]["team"] == "billing"
