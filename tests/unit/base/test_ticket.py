"""A token says what it was made for, and nothing else is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.base.ids import TraceIds
from headrace.base.ticket import Ticket, Tickets

TRACE = TraceIds(b"k" * 32).mint(1_700_000_000.0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["", "0123456789abcdef"]))
def test_it_says_what_it_was_made_for(expires: int, rater: str) -> None:
    made = Ticket(trace_id=TRACE, expires=float(expires), rater=rater)
    token = Tickets(b"a" * 32).issue(made)
    assert Tickets(b"a" * 32).read(token) == made
    assert Tickets(b"b" * 32).read(token) is None
    assert token.isascii()
    assert len(token) == 63


@given(st.integers(0, 59), st.sampled_from("ABCxyz019-_"))
def test_no_other_character_will_do(place: int, other: str) -> None:
    token = Tickets(b"a" * 32).issue(Ticket(trace_id=TRACE, expires=5.0))
    changed = token[: 3 + place] + other + token[4 + place :]
    found = Tickets(b"a" * 32).read(changed)
    assert found is None or changed == token


@given(st.text())
def test_nothing_else_is_a_token(text: str) -> None:
    assert Tickets(b"a" * 32).read(text) is None
    assert Tickets(b"a" * 32).read("ft_" + text) is None
