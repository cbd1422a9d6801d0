"""What every engine of batch must do: the same rows, in the same order, whatever fails on the way."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.base.clock import SystemClock
from headrace.batch.run import Progress, run_job
from headrace.client.infer import Target
from headrace.types.errors import Conflict, ModelFailed, NotFound, Unavailable
from headrace.types.job import EngineName, FileFormat, Job, Scoring
from tests.played_endpoint import Sums, sums

NO_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed: headrace[ray]")
# Ray warns of its own older options.
ENGINES = [EngineName.LOCAL, pytest.param(EngineName.RAY, marks=(NO_RAY, pytest.mark.filterwarnings("default")))]
ROWS = 500


@pytest.fixture
def endpoint() -> Iterator[Sums]:
    with sums() as played:
        yield played


def job(folder: Path, name: str = "rows.csv", output: str = "scored.jsonl", **changes: Any) -> Job:
    scoring = Scoring(
        endpoint="sums",
        input=str(folder / name),
        output=str(folder / output),
        input_format=FileFormat(name.partition(".")[2]),
        output_format=FileFormat(output.partition(".")[2]),
        keep=("id",),
        rows_per_call=16,
    )
    return Job(id="job_1", scoring=scoring, created=0.0, **changes)


def run(
    made: Job, endpoint: Sums, *, stop: threading.Event | None = None, patience: float = 20.0, **more: Any
) -> Progress:
    target = Target(url=endpoint.url, endpoint=made.scoring.endpoint)
    return run_job(made, target, clock=SystemClock(), stop=stop or threading.Event(), patience=patience, **more)


def write(folder: Path, rows: int = ROWS) -> None:
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "a", "b", "c"])
        for i in range(rows):
            bad = {100: ["x", "1", "1"], 200: ["13", "1", "1"], 201: ["", "", ""], 300: ["nan", "1", "1"]}
            writer.writerow([f"ü{i}", *bad.get(i, [i + 0.5, 1, 0.5])])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_is_answered_in_its_place(tmp_path: Path, endpoint: Sums, engine: EngineName) -> None:
    write(tmp_path)
    endpoint.next = [(503, {"error": "full"}, {"retry-after": "0.01"}), (500, {"error": "broke"}, {})]
    done = run(job(tmp_path, engine=engine), endpoint)
    assert done == Progress(rows=ROWS, failed=4, begun=0, about=ROWS, finished=True)
    found = rows_of(tmp_path / "scored.jsonl")
    assert [row["id"] for row in found] == [f"ü{i}" for i in range(ROWS)]
    for i, row in enumerate(found):
        assert (row["prediction"], row["parts"]) == ((None, None) if row["error"] else (i + 2, [i + 0.5, 1]))
        assert row["error"] or (row["model_version"] == "7" and row["trace_id"].startswith("tr-"))
    assert {i: row["error"] for i, row in enumerate(found) if row["error"]} == {
        100: "a is 'x', not a number",
        200: "unlucky",
        201: "a is missing",
        300: "a is 'nan': JSON has no such number",
    }
    assert found[200]["trace_id"] == "tr-refused"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.csv", "scored.jsonl"]


@pytest.mark.parametrize("engine", ENGINES)
def test_it_ends_when_the_endpoint_is_gone_and_goes_on_when_it_is_back(
    tmp_path: Path, endpoint: Sums, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.batch.run.PART_ROWS", 32)
    write(tmp_path)
    made = job(tmp_path, engine=engine, concurrency=1)
    seen: list[Progress] = []

    def show(now: Progress) -> None:
        seen.append(now)
        if now.rows >= 64:
            endpoint.next = [(503, {"error": "away"}, {})] * 10_000

    with pytest.raises(Unavailable, match=r"has not taken a call for 0\.2 s"):
        run(made, endpoint, patience=0.2, on_progress=show)
    kept = seen[-1].rows
    assert kept >= 64
    endpoint.next, endpoint.rows = [], []
    done = run(made, endpoint)
    assert (done.begun, done.rows, done.finished) == (kept, ROWS, True)
    assert [row["id"] for row in rows_of(tmp_path / "scored.jsonl")] == [f"ü{i}" for i in range(ROWS)]
    assert len(endpoint.rows) <= ROWS - kept


@pytest.mark.parametrize("output", ["scored.csv", "scored.jsonl", "scored.parquet"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_formats_in_and_out(tmp_path: Path, endpoint: Sums, name: str, output: str) -> None:
    table = {"id": ["a,b", 'q"', "日本"], "a": [1, 2, 3], "b": [1, 1, 13], "c": [0, 0, 0]}
    lines = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    if name == "rows.csv":
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([list(table), *(list(line.values()) for line in lines)])
    elif name == "rows.jsonl":
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        pq.write_table(pa.table(table), tmp_path / name)
    run(job(tmp_path, name, output), endpoint)
    path = tmp_path / output
    if output == "scored.parquet":
        found = pq.read_table(path).to_pylist()
    elif output == "scored.jsonl":
        found = rows_of(path)
    else:
        with path.open(newline="") as file:
            found = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["id"] for row in found] == table["id"]
    assert [row["prediction"] and float(row["prediction"]) for row in found] == [2.0, 3.0, None]
    assert [row["error"] for row in found] == [None, None, "unlucky"]
    assert list(found[0]) == ["id", "prediction", "parts", "trace_id", "model_version", "error"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_no_rows_are_an_output_without_rows(tmp_path: Path, endpoint: Sums, name: str) -> None:
    (tmp_path / name).write_text("id,a,b,c\n" if name == "rows.csv" else "")
    made = job(tmp_path, name, "scored.csv")
    if name == "rows.jsonl":
        made = replace(made, scoring=replace(made.scoring, keep=()))
    assert run(made, endpoint).finished
    kept = "id," if name == "rows.csv" else ""
    assert (tmp_path / "scored.csv").read_text() == f"{kept}prediction,parts,trace_id,model_version,error\n"


def test_columns_that_come_and_change_are_carried_through(tmp_path: Path, endpoint: Sums) -> None:
    records = [
        {"input": [i + 0.5, 1, 1], **({"late": i} if i > 40 else {}), "mixed": "x" if i % 50 == 7 else i}
        for i in range(100)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    made = job(tmp_path, "rows.jsonl", "scored.parquet")
    run(replace(made, scoring=replace(made.scoring, keep=())), endpoint)
    found = pq.read_table(tmp_path / "scored.parquet").to_pylist()
    assert [row["prediction"] for row in found] == [i + 2.5 for i in range(100)]
    assert [row["late"] for row in found] == [i if i > 40 else None for i in range(100)]
    assert [row["mixed"] for row in found] == [str(r["mixed"]) for r in records]


def test_too_many_rows_for_a_call_are_sent_as_more_calls(tmp_path: Path, endpoint: Sums) -> None:
    write(tmp_path)
    endpoint.most_rows = 5
    assert run(job(tmp_path), endpoint).failed == 4


def test_too_many_failed_rows_end_it(tmp_path: Path, endpoint: Sums) -> None:
    write(tmp_path)
    with pytest.raises(ModelFailed, match="4 of 500 rows have failed, more than 3; such as: a is 'x'"):
        run(job(tmp_path, max_failed=3), endpoint)
    assert run(job(tmp_path, max_failed=4), endpoint).begun == ROWS


def test_a_stop_keeps_what_was_done(tmp_path: Path, endpoint: Sums, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.batch.run.PART_ROWS", 16)
    write(tmp_path)
    stop = threading.Event()
    stopped = run(job(tmp_path), endpoint, stop=stop, on_progress=lambda now: stop.set() if now.rows > 100 else None)
    assert not stopped.finished
    assert 100 < stopped.rows < ROWS
    done = run(job(tmp_path), endpoint)
    assert (done.begun, done.rows) == (stopped.rows, ROWS)
    assert len(rows_of(tmp_path / "scored.jsonl")) == ROWS


def half_done(folder: Path, endpoint: Sums) -> None:
    write(folder)
    with pytest.raises(ModelFailed):
        run(job(folder, max_failed=0), endpoint)


def test_another_input_or_another_job_is_refused(tmp_path: Path, endpoint: Sums) -> None:
    half_done(tmp_path, endpoint)
    made = job(tmp_path)
    with pytest.raises(Conflict, match="user is 'ann'; the job that is half done had ''"):
        run(replace(made, scoring=replace(made.scoring, user="ann")), endpoint)
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("new,1,1,1\n")
    with pytest.raises(Conflict, match="its size is another") as error:
        run(made, endpoint)
    assert "--restart" in str(error.value.hint)
    done = run(replace(made, restart=True), endpoint)
    assert (done.begun, done.rows) == (0, ROWS + 1)


def test_an_output_that_is_there_is_not_replaced_unasked(tmp_path: Path, endpoint: Sums) -> None:
    write(tmp_path, 3)
    (tmp_path / "scored.jsonl").write_text("mine")
    with pytest.raises(Conflict, match="exists"):
        run(job(tmp_path), endpoint)
    assert (tmp_path / "scored.jsonl").read_text() == "mine"
    run(job(tmp_path, restart=True), endpoint)
    assert len(rows_of(tmp_path / "scored.jsonl")) == 3


def test_no_such_endpoint(tmp_path: Path, endpoint: Sums) -> None:
    write(tmp_path, 3)
    made = job(tmp_path)
    with pytest.raises(NotFound):
        run(replace(made, scoring=replace(made.scoring, endpoint="nope")), endpoint)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
