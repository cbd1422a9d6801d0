"""Values of a row in one form for all stores, and fingerprints of rows. Pure.

Called by the stores, by the client (what an application gives), and by copy.py and check.py. Decides what each kind of
field takes, what drivers' answers mean, and how rows are summed up so that their order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from math import isfinite
from typing import Any

import msgspec

from headrace.types.errors import BadInput, UpstreamError
from headrace.types.migration import Field, Key, Kind, Layout, Row, Values

BUCKETS = 256  # ranges of keys, by their hash: a store that scans in no order has no others
_SUM = 1 << 128
_INT64 = 1 << 63
_encoder = msgspec.json.Encoder(order="deterministic")
_TAKES: dict[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.INT: (int,),
    Kind.FLOAT: (float, int),
    Kind.BOOL: (bool,),
    Kind.BYTES: (bytes, bytearray, memoryview),
    Kind.JSON: (dict, list, str, int, float, bool),
    Kind.TIME: (datetime,),
}


def given_key(layout: Layout, key: Key) -> Key:
    """What an application calls a key, checked. Raises BadInput."""
    kind = layout.key.kind
    right = isinstance(key, str) if kind is Kind.TEXT else isinstance(key, int) and not isinstance(key, bool)
    if not right:
        raise BadInput(f"key is {key!r}; the key {layout.key.name!r} is of kind {kind.value}", field="key")
    if isinstance(key, str) and (not key or "\x00" in key):
        raise BadInput(f"key is {key!r}; allowed: text that is not empty and has no NUL", field="key")
    return key


def given_values(layout: Layout, values: Values) -> Values:
    """A whole row as an application writes it: fields that it leaves out are empty. Raises BadInput."""
    names = [f.name for f in layout.fields]
    unknown = [name for name in values if name not in names]
    if unknown:
        raise BadInput(f"field {unknown[0]!r} is not moved; the fields are {', '.join(names)}", field=unknown[0])
    return {f.name: _given(f, values.get(f.name)) for f in layout.fields}


def _given(spec: Field, value: Any) -> Any:
    if value is None:
        return None
    is_flag = isinstance(value, bool) and spec.kind not in (Kind.BOOL, Kind.JSON)
    if is_flag or not isinstance(value, _TAKES[spec.kind]):
        raise BadInput(f"{spec.name} is {value!r}; it is of kind {spec.kind.value}", field=spec.name)
    if isinstance(value, str) and "\x00" in value:
        raise BadInput(f"{spec.name} is {value!r}; text with NUL cannot be kept in every store", field=spec.name)
    if isinstance(value, float) and not isfinite(value):
        raise BadInput(f"{spec.name} is {value!r}; such a number cannot be kept in every store", field=spec.name)
    if isinstance(value, int) and spec.kind is Kind.INT and not -_INT64 <= value < _INT64:
        raise BadInput(f"{spec.name} is {value!r}; allowed: 64 bits with a sign", field=spec.name)
    return normal(spec, value)


def normal(spec: Field, value: Any) -> Any:
    """What a driver gives, in our form. Raises UpstreamError when it is none of this kind."""
    if value is None:
        return None
    try:
        return _NORMAL[spec.kind](value)
    except (TypeError, ValueError, msgspec.DecodeError) as error:
        raise UpstreamError(f"{spec.name} is {value!r} in the store; described as {spec.kind.value}") from error


def _time(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode()
    if isinstance(value, str):
        return value
    raise TypeError(value)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, float | Decimal) and number != value:
        raise ValueError(value)
    return number


def _flag(value: Any) -> bool:
    found = _FLAGS.get(value)
    if found is None:
        raise ValueError(value)
    return found


def _json(value: Any) -> Any:
    """From text when it comes from a store; a value of an application is taken as it is."""
    return msgspec.json.decode(_encoder.encode(value))


_FLAGS: dict[Any, bool] = {True: True, False: False, b"1": True, b"0": False}
_NORMAL: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INT: _whole,
    Kind.FLOAT: lambda value: float(value) + 0.0,  # SQLite keeps no sign of a zero
    Kind.BOOL: _flag,
    Kind.BYTES: _bytes,
    Kind.JSON: _json,
    Kind.TIME: _time,
}


def to_text(spec: Field, value: Any) -> bytes:
    """For a store that knows only bytes."""
    if spec.kind is Kind.BYTES:
        return bytes(value)
    if spec.kind is Kind.BOOL:
        return b"1" if value else b"0"
    if spec.kind is Kind.JSON:
        return _encoder.encode(value)
    if spec.kind is Kind.TIME:
        return bytes(value.isoformat(), "ascii")
    return repr(value).encode() if spec.kind is Kind.FLOAT else str(value).encode()


def from_text(spec: Field, value: bytes) -> Any:
    return normal(spec, _parsed(spec, value) if spec.kind is Kind.JSON else value)


def _parsed(spec: Field, value: bytes | str) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise UpstreamError(f"{spec.name} is {value!r} in the store; described as json") from error


def from_json_text(spec: Field, value: Any) -> Any:
    """Of a store that keeps JSON as text, or parses it itself."""
    return normal(spec, _parsed(spec, value) if isinstance(value, str | bytes) else value)


def json_text(value: Any) -> str:
    return _encoder.encode(value).decode()


def bucket_of(key: Key) -> int:
    return blake2b(str(key).encode(), digest_size=1).digest()[0]


def row_hash(layout: Layout, row: Row) -> int:
    values = row.values or {}
    body = _encoder.encode([row.key, *(_told(values.get(f.name)) for f in layout.fields)])
    return int.from_bytes(blake2b(body, digest_size=16).digest(), "big")


def _told(value: Any) -> Any:
    """JSON knows no infinity: it would be the same as nothing."""
    return repr(value) if isinstance(value, float) and not isfinite(value) else value


@dataclass(slots=True)
class Sums:
    """Rows added up in ranges. Two stores with the same rows have the same sums, in whatever order they came."""

    layout: Layout
    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    sums: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            bucket = bucket_of(row.key)
            self.counts[bucket] += 1
            self.sums[bucket] = (self.sums[bucket] + row_hash(self.layout, row)) % _SUM

    def differing(self, other: Sums) -> frozenset[int]:
        mine, others = zip(self.counts, self.sums, strict=True), zip(other.counts, other.sums, strict=True)
        return frozenset(n for n, (a, b) in enumerate(zip(mine, others, strict=True)) if a != b)

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def fingerprint(self) -> str:
        body = _encoder.encode([[c, f"{s:032x}"] for c, s in zip(self.counts, self.sums, strict=True)])
        return blake2b(body, digest_size=16).hexdigest()


def checksum(layout: Layout, rows: Iterable[Row]) -> str:
    """Of a few rows, in any order."""
    return f"{sum(row_hash(layout, row) for row in rows) % _SUM:032x}"


def same(layout: Layout, one: Row, other: Row) -> bool:
    if one.values is None or other.values is None:
        return one.values is other.values
    return row_hash(layout, one) == row_hash(layout, other)


def by_key(rows: Iterable[Row]) -> Mapping[Key, Row]:
    return {row.key: row for row in rows}
