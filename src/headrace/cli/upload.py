"""A file of feedback on its way: read in batches, what is done remembered, what is wrong written down.

Called by feedback.py. Decides what a row of CSV means: empty cells are absent, corrected_output is JSON where it can be
and text otherwise, reasons are separated by semicolons. Remembers beside the file (FILE.progress.json) how many rows
are done, with the file's hash, so that another file of the same name starts anew.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headrace.base.files import file_sha256, write_atomic
from headrace.types.errors import BadInput

BATCH: Final = 500  # rows of one request
COLUMNS: Final = ("trace_id", "user_rating", "corrected_output", "comment", "reasons", "rater", "source", "time")
_RATINGS: Final = {"1": True, "true": True, "up": True, "0": False, "false": False, "down": False}


class Upload:
    """`done`: rows that an earlier run has sent."""

    def __init__(self, file: Path, *, again: bool = False) -> None:
        if not file.is_file():
            raise BadInput(f"there is no file {str(file)!r}", field="file")
        self.kind = _kind(file)
        self.done = self.accepted = self.wrong = 0
        self._file = file
        self._progress = file.with_name(f"{file.name}.progress.json")
        self._errors = file.with_name(f"{file.name}.errors.jsonl")
        self._sha256 = file_sha256(file)
        self._sent: list[tuple[int, Any]] = []
        self._bad: list[dict[str, Any]] = []
        if again or not self._resume():
            self._errors.unlink(missing_ok=True)

    def batches(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """Rows as POST /feedback takes them; those that are no row at all are written down and left out."""
        rows = iter(islice(self._rows(), self.done, None))
        while some := list(islice(rows, size)):
            self._sent = [(number, row) for number, row in some if isinstance(row, dict)]
            self._bad = [{"row": n, "field": "row", "message": row} for n, row in some if not isinstance(row, dict)]
            if self._sent:
                yield [row for _, row in self._sent]
            else:
                self.record(0, [])

    def record(self, accepted: int, errors: list[dict[str, Any]]) -> None:
        """What became of the batch."""
        wrong = self._bad + [error | {"row": self._sent[error["row"]][0]} for error in errors]
        if wrong:
            with self._errors.open("a", encoding="utf-8") as out:
                for error in sorted(wrong, key=lambda e: e["row"]):
                    out.write(json.dumps(error, ensure_ascii=False) + "\n")
        self.done += len(self._sent) + len(self._bad)
        self.accepted += accepted
        self.wrong += len(wrong)
        told = {"sha256": self._sha256, "done": self.done, "accepted": self.accepted, "wrong": self.wrong}
        write_atomic(self._progress, json.dumps(told).encode())

    def finish(self) -> dict[str, Any]:
        self._progress.unlink(missing_ok=True)
        told = {"file": str(self._file), "rows": self.done, "accepted": self.accepted, "wrong": self.wrong}
        return told | {"errors": str(self._errors) if self.wrong else ""}

    def _resume(self) -> bool:
        try:
            told = json.loads(self._progress.read_bytes())
            if told["sha256"] != self._sha256:
                return False
            self.done, self.accepted, self.wrong = told["done"], told["accepted"], told["wrong"]
        except (FileNotFoundError, ValueError, KeyError):
            return False
        return True

    def _rows(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """With their number, from 1. A text in place of a row says what is wrong with it."""
        with self._file.open(newline="", encoding="utf-8-sig") as lines:
            if self.kind == "csv":
                reader = csv.DictReader(lines)
                _check_header(reader.fieldnames or ())
                for number, row in enumerate(reader, 1):
                    yield number, _csv_row(row)
            else:
                for number, line in enumerate((text for text in lines if text.strip()), 1):
                    yield number, _json_row(line)


def _kind(file: Path) -> str:
    match file.suffix.lower():
        case ".csv":
            return "csv"
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case other:
            raise BadInput(f"the file ends in {other!r}; allowed: .csv, .jsonl, .ndjson", field="file")


def _check_header(names: Any) -> None:
    if unknown := [name for name in names if name not in COLUMNS]:
        raise BadInput(f"the column {unknown[0]!r} is not known; there are: {', '.join(COLUMNS)}", field="header")
    if "trace_id" not in names:
        raise BadInput("the column 'trace_id' is missing", field="header")


def _csv_row(row: dict[str | None, Any]) -> dict[str, Any] | str:
    if None in row:
        return "there are more cells than columns"
    made: dict[str, Any] = {str(name): value for name, value in row.items() if value not in (None, "")}
    if (rating := made.get("user_rating")) is not None:
        made["user_rating"] = _RATINGS.get(rating.strip().lower(), rating)
    if (correction := made.get("corrected_output")) is not None:
        made["corrected_output"] = _value(correction)
    if (reasons := made.get("reasons")) is not None:
        made["reasons"] = [reason.strip() for reason in reasons.split(";") if reason.strip()]
    if (time := made.get("time")) is not None:
        made["time"] = _number(time)
    return made


def _json_row(line: str) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    return row if isinstance(row, dict) else f"{line.strip()[:80]!r} is no object"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
