"""A key that a service says back is not passed on, however its bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.compute.hush import INSTEAD, Hush

KEY = b"sk-sk-abab"
TEXT = st.lists(st.sampled_from([KEY, KEY[:-1], b"sk-", b"a", b"\n\n", b"other"]), max_size=12).map(b"".join)


@given(TEXT, st.lists(st.integers(1, 9), max_size=40))
def test_any_cut_gives_the_same_without_the_key(text: bytes, sizes: list[int]) -> None:
    hush, said, at = Hush(KEY), b"", 0
    for size in [*sizes, len(text)]:
        said += hush.feed(text[at : at + size])
        assert KEY not in said
        at += size
    said += hush.rest()
    assert KEY not in said
    assert said == text.replace(KEY, INSTEAD)


def test_what_cannot_be_its_beginning_is_not_held_back() -> None:
    hush = Hush(KEY)
    assert hush.feed(b"data: that is sk\n\n") == b"data: that is sk\n\n"
    assert hush.feed(b"ask") == b"a"
    assert hush.feed(b"ed") == b"sked"
