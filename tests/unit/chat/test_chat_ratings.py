"""What a rating means: pure."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.chat.ratings import NO_WORDS, body_of, names_of, read, taken_back, words_of
from headrace.types.chat import Heard

PEOPLE = {"u1": "ann@example.com"}


def row(**data: Any) -> dict[str, Any]:
    meta = data.pop("meta", {"message_id": "m1"})
    return {"id": "f1", "user_id": "u1", "type": "rating", "updated_at": 100, "data": data, "meta": meta}


@pytest.mark.parametrize(
    ("given", "thumb"), [(1, True), (-1, False), ("1", True), ("-1", False), (None, None), (7, None)]
)
def test_thumbs(given: Any, thumb: bool | None) -> None:
    assert read(row(rating=given), PEOPLE).thumb is thumb


def test_says_who_what_and_why() -> None:
    given = row(rating=-1, reason="not_factually_correct", comment=" Wrong. ", tags=["maths", "maths"])
    rating = read(given, PEOPLE)
    assert (rating.user, rating.message, rating.updated) == ("ann@example.com", "m1", 100.0)
    assert rating.reasons == ("not_factually_correct", "maths")
    assert body_of(rating, "tr-1", None) == {
        "trace_id": "tr-1",
        "rater": "ann@example.com",
        "user_rating": False,
        "comment": "Wrong.",
        "reasons": ["not_factually_correct", "maths"],
    }


def test_a_comment_that_went_is_withdrawn_and_the_thumb_stays() -> None:
    before = Heard(id="f1", updated=99.0, trace_id="tr-1", rater="ann", names=("user_rating", "comment"))
    body = body_of(read(row(rating=1, comment=""), PEOPLE), "tr-1", before)
    assert body["user_rating"] is True
    assert body["withdraw"] == ["comment"]
    assert taken_back(before)["withdraw"] == ["user_rating", "comment"]


def test_an_arena_is_no_rating_of_an_answer() -> None:
    assert read(row(rating=1, meta={"message_id": "m1", "arena": True}), PEOPLE).message == ""


def test_strangers_and_long_words_are_taken_as_they_fit() -> None:
    rating = read(row(rating=1, reason="r" * 999, comment="c" * 20_000) | {"user_id": "u9"}, PEOPLE)
    assert rating.user == "u9"
    assert len(rating.reasons[0]) == 64
    assert len(rating.comment) == 10_000


def test_equal_words_have_equal_hashes_and_nothing_has_none() -> None:
    one, other = read(row(rating=1), PEOPLE), read(row(rating=-1), PEOPLE)
    assert words_of(one) == words_of(read(row(rating=1) | {"updated_at": 200}, PEOPLE)) != words_of(other)
    assert words_of(read(row(rating=None), PEOPLE)) == NO_WORDS
    assert names_of(read(row(comment="x"), PEOPLE)) == ("comment",)
