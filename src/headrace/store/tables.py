"""The tables. A noun is kept whole as JSON in `body`, beside the few columns that are searched.

Called by the repositories of this room. A change here needs a migration in `migrations/versions`; a test compares them.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself for INTEGER alone

plan = Table(
    "plan",
    metadata,
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("created", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("body", Text, nullable=False),
)

release = Table(
    "release",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("endpoint", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("body", Text, nullable=False),
)
Index("release_by_endpoint", release.c.endpoint, release.c.created)
Index(
    "release_one_active",
    release.c.endpoint,
    unique=True,
    sqlite_where=text("active"),
    postgresql_where=text("active"),
)

release_interval = Table(
    "release_interval",
    metadata,
    Column("release", String(40), primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

release_counted = Table(
    "release_counted",
    metadata,
    Column("release", String(40), primary_key=True),
    Column("scope", String(120), primary_key=True),
    Column("unit", String(64), primary_key=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("detail", Text, nullable=False),
)
Index("audit_by_subject", audit.c.subject, audit.c.id)

feedback = Table(
    "feedback",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("trace_id", String(50), nullable=False),
    Column("time", Double, nullable=False),
    Column("sent", Double),
    Column("body", Text, nullable=False),
)
Index("feedback_by_trace", feedback.c.trace_id)
Index("feedback_by_time", feedback.c.time)
Index(
    "feedback_unsent",
    feedback.c.time,
    sqlite_where=feedback.c.sent.is_(None),
    postgresql_where=feedback.c.sent.is_(None),
)

cursor = Table(
    "cursor",
    metadata,
    Column("consumer", String(100), primary_key=True),
    Column("body", Text, nullable=False),
)

model_version = Table(
    "model_version",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

package = Table(
    "package",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("model", String(256), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("body", Text, nullable=False),
)
Index("package_by_version", package.c.model, package.c.version)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("kind", String(100), nullable=False),
    Column("created", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("body", Text, nullable=False),
)

Noun = TypeVar("Noun")


def pack(noun: object) -> str:
    return msgspec.json.encode(noun).decode()


def unpack(body: str, kind: type[Noun]) -> Noun:
    return msgspec.json.decode(body, type=kind)
