"""Access keys, virtual keys, and the people that a trusted key calls for."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.traffic.keys import ANYBODY, EARLIER, Caller, Callers, MadeKey, key_hash, make_key, turn_key
from headrace.types.errors import Forbidden, Unauthenticated
from headrace.types.gateway import Person, Scope, VirtualKey

PEPPER = b"p" * 32
SIGNING = "a-secret-of-the-chat-application"
PLAIN = Callers((key_hash("secret-1"), key_hash("secret-2").upper()))


def made(now: float = 0.0, **described: object) -> MadeKey:
    return make_key(PEPPER, VirtualKey(id="", hash="", **described), now=now)  # type: ignore[arg-type]


def callers(*keys: VirtualKey, people: Iterable[Person] = (), clock: ManualClock | None = None) -> Callers:
    now = (clock or ManualClock()).now
    return Callers((), keys, people, pepper=PEPPER, reveal=lambda _: Secret(SIGNING), now=now)


def of(known: Callers, key: MadeKey, **more: str) -> Caller:
    return known.of(({"authorization": f"Bearer {key.secret.reveal()}"} | more).get)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret-1"},
        {"authorization": "bearer  secret-2"},
        {"x-api-key": "secret-1"},
        {"api-key": "secret-1"},
    ],
)
def test_a_known_access_key_comes_in(headers: dict[str, str]) -> None:
    assert PLAIN.of(headers.get) is ANYBODY


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret-1"}, {"x-api-key": key_hash("secret-1")}],
)
def test_anyone_else_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        PLAIN.of(headers.get)


def test_without_keys_everyone_comes_in() -> None:
    Callers().of({}.get).permit(Scope.PREDICT, "toy")


def test_a_virtual_key_says_whose_calls_these_are() -> None:
    key = made(team="search", user="Ann@Example.com", workspace="lab")
    found = of(callers(key.key), key)
    assert (found.key, found.team, found.user, found.workspace) == (key.key.id, "search", "ann@example.com", "lab")


def test_what_is_stored_of_a_key_is_not_the_key() -> None:
    key = made()
    assert key.secret.reveal() not in repr(key) + json.dumps(key.key.hash)
    with pytest.raises(Unauthenticated):
        callers(key.key).of({"authorization": f"Bearer {key.key.hash}"}.get)
    with pytest.raises(Unauthenticated):  # another installation's HMAC key
        of(Callers((), (key.key,), pepper=b"q" * 32), key)


@given(st.integers(0, 67), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_key_with_one_other_character_is_another_key(at: int, sign: str) -> None:
    key = KEY
    text = key.secret.reveal()
    other = text[:at] + sign + text[at + 1 :]
    if other == text:
        assert of(callers(key.key), key).key == key.key.id
    else:
        with pytest.raises(Unauthenticated) as caught:
            callers(key.key).of({"authorization": f"Bearer {other}"}.get)
        assert text[20:] not in str(caught.value)


KEY = made()


def test_a_key_may_do_what_its_scopes_and_models_say() -> None:
    key = made(scopes=(Scope.CHAT,), models=("gpt-*", "support"))
    caller = of(callers(key.key), key)
    caller.permit(Scope.CHAT, "support")
    caller.permit(Scope.CHAT, "gpt-5")
    with pytest.raises(Forbidden, match="may not be used for 'predict'; it is for chat"):
        caller.permit(Scope.PREDICT, "support")
    for name in ("support2", "a-gpt-5", "suppor"):
        with pytest.raises(Forbidden, match="may not ask for"):
            caller.permit(Scope.CHAT, name)


def test_a_usual_key_neither_passes_through_nor_manages() -> None:
    key = made()
    for scope in (Scope.PASSTHROUGH, Scope.MANAGE):
        with pytest.raises(Forbidden):
            of(callers(key.key), key).permit(scope)


def test_a_key_ends_when_it_expires_and_when_it_is_revoked() -> None:
    clock = ManualClock(1000)
    key = made(expires=1010)
    known = callers(key.key, clock=clock)
    of(known, key)
    clock.move(10)
    with pytest.raises(Unauthenticated, match="expired"):
        of(known, key)
    with pytest.raises(Unauthenticated, match="revoked"):
        of(callers(replace(key.key, expires=0, revoked=1011), clock=clock), key)


def test_revoking_the_last_key_does_not_open_the_door() -> None:
    key = made()
    with pytest.raises(Unauthenticated):
        callers(replace(key.key, revoked=1.0)).of({}.get)


def test_a_turned_key_is_good_for_a_grace_time() -> None:
    clock = ManualClock(1000)
    old = made(now=clock.now())
    new = turn_key(PEPPER, old.key, now=clock.now(), grace_seconds=60)
    known = callers(new.key, clock=clock)
    assert of(known, old).key == of(known, new).key == old.key.id
    clock.move(60)
    of(known, new)
    with pytest.raises(Unauthenticated, match="turned"):
        of(known, old)


def test_a_key_that_is_turned_again_keeps_what_was_promised() -> None:
    clock = ManualClock(1000)
    keys = [made(now=clock.now())]
    for _ in range(3):
        keys.append(turn_key(PEPPER, keys[-1].key, now=clock.now(), grace_seconds=60))
        clock.move(10)
    known = callers(keys[-1].key, clock=clock)
    assert {of(known, key).key for key in keys} == {keys[0].key.id}
    clock.move(30)  # the first was turned a minute ago
    with pytest.raises(Unauthenticated, match="turned"):
        of(known, keys[0])
    assert {of(known, key).key for key in keys[1:]} == {keys[0].key.id}
    last = turn_key(PEPPER, keys[-1].key, now=clock.now(), grace_seconds=0)
    assert last.key.earlier == ()
    known = callers(last.key, clock=clock)
    assert of(known, last)
    for key in keys:
        with pytest.raises(Unauthenticated):
            of(known, key)


def test_secrets_from_before_are_bounded() -> None:
    key = made(now=1000.0)
    for _ in range(EARLIER + 5):
        key = turn_key(PEPPER, key.key, now=1000.0, grace_seconds=60)
    assert len(key.key.earlier) == EARLIER


def token(secret: str = SIGNING, *, head: object = None, **claims: object) -> str:
    body = {"sub": "u1", "iss": "open-webui", "exp": ManualClock().now() + 300, "email": "Bob@Example.com"} | claims
    parts = [_part(json.dumps(value).encode()) for value in (head or {"alg": "HS256", "typ": "JWT"}, body)]
    return ".".join([*parts, _part(hmac.digest(secret.encode(), ".".join(parts).encode(), "sha256"))])


def _part(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


CHAT = made(trusted=True, user_secret="chat-jwt", team="chat")


def test_a_signed_user_is_believed_and_belongs_where_people_say() -> None:
    bob = Person(user="bob@example.com", team="sales", models=("support",))
    caller = of(callers(CHAT.key, people=(bob,)), CHAT, **{"x-openwebui-user-jwt": token()})
    assert (caller.user, caller.team) == ("bob@example.com", "sales")
    caller.permit(Scope.CHAT, "support")
    with pytest.raises(Forbidden, match="may not ask for 'gpt-5'"):
        caller.permit(Scope.CHAT, "gpt-5")
    assert of(callers(CHAT.key), CHAT, **{"x-openwebui-user-jwt": token()}).team == "chat"  # nobody in particular


@pytest.mark.parametrize(
    "given",
    [
        token("another secret"),
        token(head={"alg": "none"}),
        token().rpartition(".")[0] + ".",
        token(exp=ManualClock().now() - 60),
        token(nbf=ManualClock().now() + 60),
        token(iss="someone"),
        token(sub=7),
        "a.b.c",
        "abc",
        "é.é.é",
        "x" * 10_000,
    ],
)
def test_no_other_token_is(given: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        of(callers(CHAT.key), CHAT, **{"x-openwebui-user-jwt": given})
    assert given not in caught.value.sentence()


def test_plain_user_headers_count_from_a_trusted_key_that_asks_for_no_signature() -> None:
    trusted, usual = made(trusted=True), made()
    known = callers(trusted.key, usual.key, CHAT.key)
    header = {"x-openwebui-user-email": "Eve@example.com"}
    assert of(known, trusted, **header).user == "eve@example.com"
    assert of(known, usual, **header).user == ""
    assert of(known, CHAT, **header).user == ""


def test_a_blocked_person_is_told_so() -> None:
    with pytest.raises(Forbidden, match="blocked"):
        of(
            callers(CHAT.key, people=(Person(user="Bob@Example.com", blocked=True),)),
            CHAT,
            **{"x-openwebui-user-jwt": token()},
        )
