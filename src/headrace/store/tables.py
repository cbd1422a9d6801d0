"""The tables. A noun is kept whole as JSON in `body`, beside the few columns that are searched.

Called by the repositories of this room. A change here needs a migration in `migrations/versions`; a test compares them.
The indexes are in indexes.py: the partial ones load PostgreSQL's dialect, 3 MB that a data plane on SQLite can spare.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, Table, Text

REVISION_TABLE = "headrace_revision"  # not Alembic's own name, so that MLflow may live in the same database
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
    Column("name", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

release = Table(
    "release",
    metadata,
    Column("id", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("body", Text, nullable=False),
)

release_interval = Table(
    "release_interval",
    metadata,
    Column("release", Text, primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

release_counted = Table(
    "release_counted",
    metadata,
    Column("release", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
)

release_pair = Table(
    "release_pair",
    metadata,
    Column("release", Text, primary_key=True),
    Column("trace_id", Text, primary_key=True),
    Column("severity", Double, nullable=False),
    Column("draw", Number, nullable=False),
    Column("body", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("endpoint", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    Column("release", Text, nullable=False, server_default=""),
    Column("body", Text, nullable=False, server_default="{}"),
    Column("sha256", Text, nullable=False, server_default=""),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("sent", Double),
    Column("body", Text, nullable=False),
)

feedback_history = Table(
    "feedback_history",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("body", Text, nullable=False),
)

dataset = Table(
    "dataset",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("listed", Double),
    Column("body", Text, nullable=False),
)

dataset_golden = Table(
    "dataset_golden",
    metadata,
    Column("name", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

review = Table(
    "review",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("place", Double, nullable=False),
    Column("body", Text, nullable=False),
)

cursor = Table(
    "cursor",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

model_version = Table(
    "model_version",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

package = Table(
    "package",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("body", Text, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created", Double, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

turn = Table(
    "turn",
    metadata,
    Column("id", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

ejection = Table(
    "ejection",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("plane", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

approval = Table(
    "approval",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("deed", Text, nullable=False),
    Column("body", Text, nullable=False),
)

chat_answer = Table(
    "chat_answer",
    metadata,
    Column("message", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("time", Double, nullable=False),
)

chat_rating = Table(
    "chat_rating",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("hook", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("next_time", Double, nullable=False),
    Column("body", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("body", Text, nullable=False),
)

gateway = Table(
    "gateway",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("created", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
)

spend = Table(
    "spend",
    metadata,
    Column("hour", Number, primary_key=True, autoincrement=False),
    *(
        Column(name, Text, primary_key=True)
        for name in ("workspace", "team", "user", "key", "endpoint", "variant", "provider", "model")
    ),
    *(
        Column(name, Number, nullable=False)
        for name in ("calls", "failed", "cached", "input", "cache_read", "cache_write", "output", "reasoning", "audio")
    ),
    Column("cost", Double, nullable=False),
)

spend_call = Table("spend_call", metadata, Column("trace_id", Text, primary_key=True))

Noun = TypeVar("Noun")


def plain(words: str) -> str:
    """Text that every database takes: PostgreSQL refuses NUL, and UTF-8 has no lone surrogates."""
    return words.replace("\x00", "\ufffd").encode(errors="replace").decode()


def pack(noun: object) -> str:
    return msgspec.json.encode(noun).decode()


def unpack(body: str, kind: type[Noun]) -> Noun:
    return msgspec.json.decode(body, type=kind)
