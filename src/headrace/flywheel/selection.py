"""What an export asks for, read from words that people typed. Pure; called by the edges before export.py.

Decides the allowed set of each parameter and says it in the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from headrace.types.errors import BadInput

Kind = TypeVar("Kind", bound=StrEnum)


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Rating(StrEnum):
    """Which calls, by what people said of them."""

    UP = "up"  # the newest user_rating is a thumbs up
    DOWN = "down"  # the newest user_rating is a thumbs down
    CORRECTED = "corrected"  # there is a corrected_output
    ANY = "any"  # there is feedback of any name


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """`since` is included, `until` is not; seconds since the epoch."""

    model: str
    format: Format = Format.JSONL
    rating: Rating | None = None
    endpoint: str | None = None
    since: float | None = None
    until: float | None = None
    after: tuple[float, str] | None = None  # time and trace id of the last row that arrived
    limit: int | None = None  # calls

    @property
    def paged(self) -> bool:
        return self.after is not None or self.limit is not None

    @property
    def query(self) -> str:
        """The selection as text, the same for the same selection. The format is not part of what is selected."""
        wanted = {
            "model": self.model,
            "endpoint": self.endpoint,
            "rating": self.rating,
            "from": self.since,
            "to": self.until,
        }
        return urlencode({name: str(value) for name, value in wanted.items() if value is not None})


_NAMES = ("model", "rating", "from", "to", "format", "endpoint", "after", "limit")
MOST = 1_000_000_000
_ALIASES = {"thumbs_up": "up", "thumbs_down": "down"}


def read_selection(parameters: Mapping[str, str]) -> Selection:
    """Raises BadInput naming the parameter and what is allowed. An empty parameter is an absent one."""
    for name in parameters:
        if name not in _NAMES:
            raise BadInput(f"unknown parameter {name!r}; there are: {', '.join(_NAMES)}", field=name)
    given = {name: value.strip() for name, value in parameters.items() if value.strip()}
    if "model" not in given:
        raise BadInput(
            "the parameter 'model' is missing", field="model", hint="such as /export?model=digits&format=csv"
        )
    rating = given.get("rating")
    since, until = moment("from", given.get("from")), moment("to", given.get("to"))
    if since is not None and until is not None and since >= until:
        raise BadInput(f"from {given['from']!r} is not before to {given['to']!r}", field="from")
    form = _member(Format, "format", given.get("format", Format.JSONL))
    if form is Format.PARQUET and ("after" in given or "limit" in given):
        raise BadInput("parquet comes whole; pages are of csv and jsonl", field="format")
    return Selection(
        model=given["model"],
        format=form,
        after=_after(given.get("after")),
        limit=_limit(given.get("limit")),
        rating=None if rating is None else _member(Rating, "rating", _ALIASES.get(rating.lower(), rating)),
        endpoint=given.get("endpoint"),
        since=since,
        until=until,
    )


def _member(kind: type[Kind], name: str, text: str) -> Kind:
    try:
        return kind(text.lower())
    except ValueError:
        raise BadInput(f"{name} is {text!r}; allowed: {', '.join(kind)}", field=name) from None


def _after(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    time, comma, trace_id = text.partition(",")
    try:
        if comma and trace_id:
            return float(time), trace_id
    except ValueError:
        pass
    raise BadInput(f"after is {text!r}; allowed: time,trace_id of the last row that arrived", field="after")


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise BadInput(f"limit is {text!r}; allowed: 1 to {MOST}", field="limit")
    return int(text)


def moment(name: str, text: str | None) -> float | None:
    """Seconds since the epoch, or ISO 8601 (UTC unless it says otherwise). `to` as a mere date includes that day."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _iso(name, text)
    if not 0 <= seconds < 1e11:
        raise BadInput(f"{name} is {text!r}, which is no time of this calendar", field=name)
    return seconds


def _iso(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{name} is {text!r}; allowed: a date (2026-01-31), a time (2026-01-31T12:00:00Z) or seconds since 1970",
            field=name,
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if name == "to" and len(text) == len("2026-01-31"):
        moment += timedelta(days=1)
    return moment.timestamp()
