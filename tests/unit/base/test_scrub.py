"""Personal data is found by its form and proven by its checksum; what merely looks like it stays."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.scrub import iban, luhn, scrub, scrub_value


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("write to ann.lee+x@mail.example.co.uk, please", "write to <email>, please"),
        ("card 4111-1111-1111-1111 expires 12/27", "card <card> expires 12/27"),
        ("amex 378282246310005.", "amex <card>."),
        ("IBAN DE89 3704 0044 0532 0130 00 now", "IBAN <iban> now"),
        ("GB82WEST12345698765432", "<iban>"),
        ("from 192.168.1.17 port 80", "from <ip> port 80"),
        ("host 2001:db8::ff00:42:8329 is up", "host <ip> is up"),
        ("call +49 170 1234567 or (030) 901820-0", "call <phone> or <phone>"),
        ("0044 20 7946 0958", "<phone>"),
        ("use sk-proj-abcdefghijklmnop1234 here", "use <key> here"),
        ("AKIAIOSFODNN7EXAMPLEX1 leaked", "<key> leaked"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "token <key>"),
    ],
)
def test_found(text: str, clean: str) -> None:
    assert scrub(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 is late",  # no card: the checksum is wrong
        "on 2026-01-31 at 12:30:45",
        "2026-01-31T12:00:00Z",
        "pi is 3.14159265358979",
        "version 1.2.3 and 10.0",
        "0000000000000000",
        "127.0.0.1 is here",
        "999.999.999.999",
        "DE00 3704 0044 0532 0130 00",
        "the year 1984 and 12 345 678 people",
        "a@b is no address",
        "trace tr-0192f0c1a2b3c4d5e6f70123456789ab",
        "std::vector and a::b",
    ],
)
def test_left(text: str) -> None:
    assert scrub(text) == text


def test_everything_in_a_value_is_looked_at_and_counted() -> None:
    found: Counter[str] = Counter()
    value = {"a": ["x@y.org", 5, None], "b": {"c": "1.2.3.4"}, "d@e.org": True}
    assert scrub_value(value, found) == {"a": ["<email>", 5, None], "b": {"c": "<ip>"}, "d@e.org": True}
    assert found == {"email": 1, "ip": 1}


@given(st.text())
def test_nothing_is_found_twice(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@given(st.integers(10**14, 10**15 - 1))
def test_luhn_finds_every_single_wrong_digit(number: int) -> None:
    digits = str(number)
    whole = next(digits + str(d) for d in range(10) if luhn(digits + str(d)) or len(set(digits)) == 1)
    for place in range(len(whole)):
        other = str((int(whole[place]) + 1) % 10)
        assert not luhn(whole[:place] + other + whole[place + 1 :])


def test_iban_needs_its_checksum() -> None:
    assert iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not iban("FR15 2004 1010 0505 0001 3M02 606")
