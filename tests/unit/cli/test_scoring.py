"""`headrace predict --input`: what it says, and with which status it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_planes import Ran

from tests.played_endpoint import Sums, sums

Run = Callable[..., Ran]


@pytest.fixture
def endpoint() -> Iterator[Sums]:
    with sums() as played:
        yield played


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,a,b,c\nx,1,1,1\ny,13,0,0\n")
    return path


def test_a_file(run: Run, endpoint: Sums, rows: Path) -> None:
    output = rows.with_name("out.jsonl")
    arguments = ("predict", "sums", "-i", str(rows), "-o", str(output), "--keep", "id,a", "--features", "a,b,c")
    ran = run(*arguments, "--url", endpoint.url)
    assert (ran.status, f"{output}: 2 rows, 1 failed" in ran.out) == (0, True)
    first, second = (json.loads(line) for line in output.read_text().splitlines())
    assert (first["id"], first["a"], first["prediction"], second["error"]) == ("x", "1", 3.0, "unlucky")
    again = run(*arguments, "--url", endpoint.url)
    assert again.status == 1
    assert "--restart replaces it" in again.err
    told = run(*arguments, "--url", endpoint.url, "--restart", "--json").json
    assert (told["finished"], told["rows"], told["failed"], told["features"]) == (True, 2, 1, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict",), "no endpoint is named"),
        (("predict", "sums"), "no inputs are given"),
        (("predict", "sums", "[[1]]", "-i", "rows.csv", "-o", "out.csv"), "and no inputs beside them"),
        (("predict", "sums", "-i", "rows.csv"), "needs --input and --output"),
        (("predict", "sums", "-i", "rows.txt", "-o", "out.csv"), "whose suffix names no format"),
        (("predict", "sums", "-i", "none.csv", "-o", "out.csv"), "there is no file"),
    ],
)
def test_wrong_use(run: Run, endpoint: Sums, arguments: tuple[str, ...], said: str) -> None:
    ran = run(*arguments, "--url", endpoint.url)
    assert ran.status == 2
    assert said in ran.err
