from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_samples import names

from headrace.store.journal.segments import (
    floor,
    next_number,
    numbers,
    open_segment,
    plane_folder,
    plane_lock,
    planes,
    raise_floor,
    read_lines,
    seal_leftovers,
    sealed_path,
)
from headrace.types.errors import BadInput

lines = st.lists(st.binary(max_size=300).map(lambda b: b.replace(b"\n", b"-").replace(b"\0", b"-")), max_size=30)


def read_whole(folder: Path, number: int = 1, *, limit: int = 7, block: int = 64) -> tuple[list[bytes], int, int]:
    """Lines, torn lines, and where reading stopped."""
    found: list[bytes] = []
    torn = offset = 0
    with open_segment(folder, number) as view:
        assert view is not None
        while (chunk := read_lines(view, offset, limit=limit, block=block)).size:
            assert len(chunk.lines) <= limit
            found += chunk.lines
            torn += chunk.torn
            offset += chunk.size
    return found, torn, offset


@given(lines=lines, cut=st.integers(0, 10_000), pad=st.integers(1, 500))
def test_an_open_segment_shows_complete_lines_only(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cut: int, pad: int
) -> None:
    folder = tmp_path_factory.mktemp("plane")
    data = b"".join(line + b"\n" for line in lines)
    written = data[: min(cut, len(data))]
    (folder / "00000001.open.jsonl").write_bytes(written + bytes(pad))
    found, torn, offset = read_whole(folder)
    assert found == written.split(b"\n")[:-1]
    assert torn == 0  # it may still be written
    assert offset == written.rfind(b"\n") + 1


@given(lines=lines, tail=st.binary(max_size=200).map(lambda b: b.replace(b"\n", b"-")))
def test_a_sealed_segment_counts_its_torn_tail(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("plane")
    (folder / "00000001.jsonl").write_bytes(b"".join(line + b"\n" for line in lines) + tail)
    found, torn, _ = read_whole(folder)
    assert found == lines
    assert torn == bool(tail)


def test_a_line_copied_out_of_order_is_not_read_before_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "00000001.open.jsonl").write_bytes(b"one\n" + b"tw\0" + b"o\n" + bytes(100))
    assert read_whole(tmp_path) == ([b"one"], 0, 4)


@pytest.mark.parametrize(
    ("content", "kept", "torn"),
    [
        (b"one\ntwo\n", b"one\ntwo\n", 0),
        (b"one\ntw", b"one\ntw", 1),
        (b"one\n\0\0wo\n", b"one\n\0\0wo\n", 1),  # a hole: the page before did not reach the disk, or memcpy was cut
        (b"", b"", 0),
    ],
)
def test_sealing_leftovers_cuts_the_padding_and_keeps_the_rest(
    tmp_path: Path, content: bytes, kept: bytes, torn: int
) -> None:
    (tmp_path / "00000004.open.jsonl").write_bytes(content + bytes(3 << 20))
    assert seal_leftovers(tmp_path) == torn
    assert names(tmp_path) == ["00000004.jsonl"]
    assert sealed_path(tmp_path, 4).read_bytes() == kept


def test_sealing_leaves_sealed_segments_alone(tmp_path: Path) -> None:
    sealed_path(tmp_path, 1).write_bytes(b"one\ntw")
    assert seal_leftovers(tmp_path) == 0
    assert sealed_path(tmp_path, 1).read_bytes() == b"one\ntw"


def test_numbers_and_planes_ignore_what_is_something_else(tmp_path: Path) -> None:
    for folder in ("p0", "p1", "calls", "feedback", "events", ".hidden"):
        (tmp_path / folder).mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    for name in (
        "00000002.jsonl",
        "00000003.open.jsonl",
        "spare",
        "large",
        "lock",
        "floor",
        "x.jsonl",
        "123456789.jsonl",
    ):
        (tmp_path / "p0" / name).touch()
    assert planes(tmp_path) == ["p0", "p1"]
    assert numbers(tmp_path / "p0") == [2, 3, 123456789]
    assert numbers(tmp_path / "nowhere") == []
    assert planes(tmp_path / "nowhere") == []


def test_the_next_number_looks_again_before_it_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next_number(tmp_path, 1) is None
    sealed_path(tmp_path, 3).touch()
    assert next_number(tmp_path, 1) == 3
    sealed_path(tmp_path, 1).touch()
    monkeypatch.setattr(os, "listdir", lambda _: ["00000003.jsonl"])  # 1 was being renamed while this was read
    assert next_number(tmp_path, 1) == 1


def test_the_floor_only_rises(tmp_path: Path) -> None:
    assert floor(tmp_path) == 0
    raise_floor(tmp_path, 7)
    raise_floor(tmp_path, 3)
    assert floor(tmp_path) == 7


def test_a_lock_is_held_once_and_let_go(tmp_path: Path) -> None:
    first, second = plane_lock(tmp_path), plane_lock(tmp_path)
    assert first.take()
    assert not second.take()
    first.drop()
    assert second.take()
    second.drop()
    second.drop()
    assert first.take(shared=True)
    assert second.take(shared=True)
    assert not plane_lock(tmp_path).take()
    first.drop()
    second.drop()


@pytest.mark.parametrize(
    "plane", ["", "calls", "events", "feedback", "../up", "a/b", ".hidden", "_merged", "x" * 65, "a b"]
)
def test_a_plane_name_must_be_a_plain_folder_name(tmp_path: Path, plane: str) -> None:
    with pytest.raises(BadInput, match="plane is"):
        plane_folder(tmp_path, plane)
