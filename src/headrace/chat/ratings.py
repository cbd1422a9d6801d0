"""What a rating in Open WebUI means here: pure.

Called by collect.py. Decides which ratings say something (a thumb, a reason, a comment), of which answer, and what of
an earlier word it takes back. Ignores arenas between hidden models: who won there is a comparison, not a rating.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from headrace.types.chat import Heard

REASONS, REASON_LIMIT, COMMENT_LIMIT = 8, 64, 10_000  # as /feedback takes them
NO_WORDS = ""
THUMBS: dict[Any, bool] = {1: True, -1: False, "1": True, "-1": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """`message`: id of the answer. `thumb` None: only words."""

    id: str
    updated: float
    user: str
    message: str
    thumb: bool | None = None
    reasons: tuple[str, ...] = ()
    comment: str = ""

    @property
    def empty(self) -> bool:
        return self.thumb is None and not self.comment


def read(row: dict[str, Any], people: dict[str, str]) -> Rating:
    """Of a row as Open WebUI exports it. Who is not known by address is known by id."""
    data, meta = row.get("data") or {}, row.get("meta") or {}
    given = data.get("reason")
    tags = [*(data.get("tags") or ()), *(meta.get("tags") or ())]
    reasons = dict.fromkeys(str(word).strip()[:REASON_LIMIT] for word in (given, *tags) if word)
    arena = bool(meta.get("arena"))
    return Rating(
        id=row["id"],
        updated=float(row["updated_at"]),
        user=people.get(row["user_id"], row["user_id"]),
        message="" if arena else str(meta.get("message_id") or ""),
        thumb=THUMBS.get(data.get("rating")) if row.get("type") == "rating" else None,
        reasons=tuple(reasons)[:REASONS],
        comment=str(data.get("comment") or "").strip()[:COMMENT_LIMIT],
    )


def body_of(rating: Rating, trace_id: str, before: Heard | None) -> dict[str, Any]:
    """For POST /feedback: what is said now, and what was said before and is not any more."""
    said = names_of(rating)
    body: dict[str, Any] = {"trace_id": trace_id, "rater": rating.user}
    if rating.thumb is not None:
        body["user_rating"] = rating.thumb
        if rating.reasons:
            body["reasons"] = list(rating.reasons)
    if rating.comment:
        body["comment"] = rating.comment
    if gone := [name for name in (before.names if before else ()) if name not in said]:
        body["withdraw"] = gone
    return body


def names_of(rating: Rating) -> tuple[str, ...]:
    return (*(("user_rating",) if rating.thumb is not None else ()), *(("comment",) if rating.comment else ()))


def words_of(rating: Rating) -> str:
    """Equal for ratings that say the same."""
    said = repr((rating.thumb, rating.reasons, rating.comment))
    return NO_WORDS if rating.empty else blake2b(said.encode(), digest_size=8).hexdigest()


def taken_back(heard: Heard) -> dict[str, Any]:
    """The rating was deleted."""
    return {"trace_id": heard.trace_id, "rater": heard.rater, "withdraw": list(heard.names)}
