"""Limits over several workers: exact, cleared of the dead, without a lock on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.traffic.admit import Gate
from headrace.traffic.board import ENDPOINTS, Board, SharedGate
from headrace.types.errors import Overloaded


def gates_of(path: Path, workers: int, limit: int, name: str = "toy") -> list[Gate]:
    gates = [Board(path, workers=workers, own=own).gate(name) for own in range(workers)]
    for gate in gates:
        gate.limit = limit
    return gates


def enters(gate: Gate) -> bool:
    try:
        gate.enter()
    except Overloaded:
        return False
    return True


@contextmanager
def trying(gate: Gate) -> Iterator[None]:
    """As if the worker of this gate were put to sleep between saying that it tries and looking."""
    assert isinstance(gate, SharedGate)
    gate._all[gate._own] = gate.inside + (1 << 32)
    yield
    gate._all[gate._own] = gate.inside


steps = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60)


@settings(max_examples=60, deadline=None)
@given(taken=steps, limit=st.integers(0, 6))
def test_the_limit_holds_in_sum_and_no_place_stays_empty(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[int, bool]], limit: int
) -> None:
    gates = gates_of(tmp_path_factory.mktemp("board") / "board", 3, limit)
    inside = [0, 0, 0]
    for worker, coming in taken:
        if coming:
            expected = sum(inside) < limit
            assert enters(gates[worker]) is expected
            inside[worker] += expected
        elif inside[worker]:
            gates[worker].leave()
            inside[worker] -= 1
        assert [gate.inside for gate in gates] == inside


def test_endpoints_have_gates_of_their_own(tmp_path: Path) -> None:
    a, b = (gates_of(tmp_path / "board", 2, 1, name)[0] for name in ("a", "b"))
    a.enter()
    b.enter()
    assert not enters(a)


def test_a_worker_that_begins_again_gives_back_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "board"
    first, second = gates_of(path, 2, 3)
    first.enter()
    first.enter()
    second.enter()
    assert not enters(second)
    Board(path, workers=2, own=0)
    assert enters(second)
    assert second.inside == 2


def test_the_supervisor_clears_the_dead_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "board"
    first, second = gates_of(path, 2, 2)
    first.enter()
    second.enter()
    looking = Board(path, workers=2)
    looking.clear(0)
    assert enters(second)
    assert not enters(second)
    assert not looking.row(0).up


def test_who_may_be_ahead_is_waited_for_only_as_long_as_it_takes(tmp_path: Path) -> None:
    """Worker 1 sleeps in the middle of trying for the last place: it has it, or will find it taken; not both."""
    first, second = gates_of(tmp_path / "board", 2, 1)
    with trying(second):
        assert not enters(first)
    assert enters(second)
    assert not enters(first)


def test_trying_does_not_keep_others_out_where_there_is_room(tmp_path: Path) -> None:
    first, second = gates_of(tmp_path / "board", 2, 2)
    with trying(second):
        assert enters(first)


def test_a_row_tells_how_far_a_worker_is(tmp_path: Path) -> None:
    boards = [Board(tmp_path / "board", workers=2, own=own) for own in range(2)]
    boards[1].tell(revision=4)
    boards[1].tell(refused=5)
    boards[1].tell(up=True)
    row = boards[0].row(1)
    assert (row.up, row.revision, row.refused) == (True, 4, 5)
    assert not boards[0].row(0).up
    boards[1].clear_own()
    assert boards[0].row(1).revision == 0


def test_more_names_than_there_is_room_for_are_limited_one_by_one(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", workers=1, own=0)
    for number in range(ENDPOINTS):
        assert isinstance(board.gate(f"e{number}"), SharedGate)
    assert type(board.gate("one more")) is Gate
    assert isinstance(board.gate("e7"), SharedGate)


CHILD = """
import sys
from pathlib import Path
from headrace.traffic.board import Board
from headrace.types.errors import Overloaded
gate = Board(Path(sys.argv[1]), workers=3, own=int(sys.argv[2])).gate("toy")
gate.limit = 100
print("ready", flush=True)
sys.stdin.readline()
got = 0
for _ in range(300):
    try:
        gate.enter()
        got += 1
    except Overloaded:
        pass
print(got, flush=True)
sys.stdin.readline()
left = got
most = 0
for _ in range(3000):
    if left:
        gate.leave()
        left -= 1
    try:
        gate.enter()
        left += 1
    except Overloaded:
        pass
    most = max(most, gate.total())
print(most, flush=True)
"""


@pytest.mark.process
def test_three_processes_at_once_get_exactly_the_limit(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "board"), str(own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own in range(3)
    ]

    def turn(tell: bool = True) -> list[str]:
        for child in children:
            assert child.stdin
            if tell:
                child.stdin.write("\n")
                child.stdin.flush()
        return [child.stdout.readline().strip() for child in children if child.stdout]

    assert turn(tell=False) == ["ready"] * 3
    assert sum(int(got) for got in turn()) == 100
    assert max(int(most) for most in turn()) <= 100
    for child in children:
        child.communicate(timeout=30)
