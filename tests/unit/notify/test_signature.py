"""Signatures as Standard Webhooks describes them: ours are read by others, and a changed message is by nobody."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client.signature import secret_bytes, secret_text, sign, verify
from headrace.types.errors import BadInput, Unauthenticated

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own example
BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification() -> None:
    made = sign([secret_bytes(SECRET)], message="msg_p5jXN8AQM9LWM0D4loKWxJek", at=1614265330, body=BODY)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert verify(SECRET, made, BODY, now=1614265330.0) == {"test": 2432232314}


@given(st.binary(min_size=1), st.text(min_size=1).map(str.encode), st.integers(0, 2**40))
def test_what_is_signed_is_read_and_what_is_changed_is_not(secret: bytes, extra: bytes, at: int) -> None:
    text = secret_text(secret)
    made = sign([b"another", secret], message="m", at=at, body=BODY)
    assert verify(text, {name.upper(): value for name, value in made.items()}, BODY, now=at)
    for headers, body in (
        (made, BODY + extra),
        (made | {"webhook-id": "n"}, BODY),
        (made | {"webhook-timestamp": str(at + 1)}, BODY),
        (made | {"webhook-signature": made["webhook-signature"].replace("v1,", "v2,")}, BODY),
    ):
        with pytest.raises(Unauthenticated):
            verify(text, headers, body, now=at)


@pytest.mark.parametrize("now", [1000.0 - 301, 1000.0 + 301])
def test_an_old_message_is_not_taken(now: float) -> None:
    made = sign([b"s"], message="m", at=1000, body=BODY)
    with pytest.raises(Unauthenticated, match="more than 300 s"):
        verify("s", made, BODY, now=now)


@pytest.mark.parametrize("stamp", ["", "١٢٣", "-1", "1.5", "soon"])
def test_a_timestamp_is_a_number(stamp: str) -> None:
    with pytest.raises(Unauthenticated, match="not seconds"):
        verify("s", {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": "v1,x"}, BODY)
    with pytest.raises(Unauthenticated, match="'webhook-signature' is missing"):
        verify("s", {"webhook-id": "m", "webhook-timestamp": "1"}, BODY)


def test_secrets() -> None:
    assert secret_bytes("plain words") == b"plain words"
    assert secret_bytes(SECRET) == base64.b64decode(SECRET.removeprefix("whsec_"))
    for wrong in ("", "whsec_", "whsec_!"):
        with pytest.raises(BadInput):
            secret_bytes(wrong)
