"""Keys and the gate."""

from __future__ import annotations

import pytest

from headrace.traffic.admit import Gate, Keyring, key_hash
from headrace.types.errors import Overloaded, Unauthenticated

KEYS = Keyring((key_hash("secret-1"), key_hash("secret-2").upper()))


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer secret-1"}, {"authorization": "bearer  secret-2"}, {"x-api-key": "secret-1"}],
)
def test_a_known_key_comes_in(headers: dict[str, str]) -> None:
    KEYS.check(headers.get)


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret-1"}, {"x-api-key": key_hash("secret-1")}],
)
def test_anyone_else_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        KEYS.check(headers.get)


def test_without_keys_everyone_comes_in() -> None:
    Keyring().check({}.get)


def test_the_gate_refuses_above_its_limit_and_opens_again() -> None:
    gate = Gate("toy", 2)
    gate.enter()
    gate.enter()
    with pytest.raises(Overloaded, match="'toy' already has 2") as caught:
        gate.enter()
    assert caught.value.retry_after
    gate.leave()
    gate.enter()
    assert gate.inside == 2
