"""Who calls: an access key, a virtual key, or nobody asked.

Called first of all by serving/predict.py, the gateway and every other door of a data plane; made anew with each plan,
so a key that was revoked is worth nothing as soon as the plan is in force. Keys come in headers alone.
Decides who a caller is and what they may ask. Ignores how much: that is limit.py's.

A virtual key is `hr-PUBLIC-SECRET`. It is found by its public part and compared with its HMAC in constant time; the key
of that HMAC lies in the keys folder, so who reads the database or a plan can neither use a key nor guess one.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import translate
from hashlib import blake2b, sha256

from headrace.base.ids import new_id
from headrace.base.secret import Secret
from headrace.traffic.admit import Door
from headrace.traffic.person import HEADER, USER_HEADERS, read_token
from headrace.traffic.route import Header
from headrace.types.endpoint import Plan
from headrace.types.errors import Forbidden, Unauthenticated
from headrace.types.gateway import Person, Scope, VirtualKey

PREFIX = "hr"
CALLERS_KEY = "callers.key"  # in the keys folder: the key of the HMACs
_KEY = re.compile(r"hr-([0-9a-z]{16})-[0-9a-z]{48}")
_REMEMBERED = 10_000  # keys that need not be checked again: there may be more, so there is a bound
NEVER = float("inf")
EARLIER = 16  # secrets before the one before that are kept: who turns faster than their graces end loses the oldest
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Models:
    """Names and patterns of what may be asked; one expression, made once."""

    patterns: tuple[str, ...] = ()
    _match: re.Pattern[str] | None = None

    def __contains__(self, name: str) -> bool:
        return self._match is None or self._match.match(name) is not None


def models_of(patterns: tuple[str, ...]) -> Models:
    """Empty: all."""
    if not patterns:
        return ALL
    return Models(patterns, re.compile("|".join(translate(pattern) for pattern in patterns)))


ALL = Models()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`key` is the public id; empty for an access key or nobody. `bound`: there is something that they may not."""

    key: str = ""
    workspace: str = ""
    team: str = ""
    user: str = ""
    bound: bool = False
    scopes: frozenset[Scope] = frozenset(Scope)
    models: Models = ALL
    granted: Models = ALL  # to the person, where a trusted key named one

    def permit(self, scope: Scope, model: str = "") -> None:
        """Raises Forbidden. `model`: the endpoint's name; without one it is about the scope alone."""
        if not self.bound:
            return
        if scope not in self.scopes:
            raise Forbidden(
                f"key {self.key!r} may not be used for {scope.value!r}; it is for {', '.join(sorted(self.scopes))}",
                field="authorization",
                hint=f"headrace key create --scopes {scope.value}",
            )
        if model and not (self.models is ALL and self.granted is ALL) and not self.sees(model):
            raise Forbidden(
                f"key {self.key!r} may not ask for {model!r}",
                field="model",
                hint="GET /v1/models lists what it may ask for",
            )

    def sees(self, model: str) -> bool:
        return model in self.models and model in self.granted


ANYBODY = Caller()


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was shown before, and was good. `trusted`: it may name whom it calls for."""

    caller: Caller
    until: float
    trusted: VirtualKey | None = None


class Callers:
    """`hashes`: access keys, as sha256 in hex. `pepper`: the key of the virtual keys' HMACs. `reveal` opens a sealed
    secret by name. Without any key of either kind everyone may come in; a revoked one is a key too."""

    __slots__ = ("_accepted", "_by_id", "_known", "_now", "_open", "_people", "_pepper", "_reveal", "_salt")

    def __init__(
        self,
        hashes: Iterable[str] = (),
        keys: Iterable[VirtualKey] = (),
        people: Iterable[Person] = (),
        *,
        pepper: bytes = b"",
        reveal: Callable[[str], Secret] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._accepted = frozenset(h.lower() for h in hashes)
        self._by_id = {key.id: (key, _caller(key)) for key in keys}
        self._people = {person.user.lower(): person for person in people}
        self._open = not self._accepted and not self._by_id
        self._pepper = pepper
        self._known: dict[bytes, Known] = {}  # keys that were good, by what only this process can make of them
        self._salt = secrets.token_bytes(32)
        self._reveal = reveal
        self._now = now

    def of(self, header: Header) -> Caller:
        """Raises Unauthenticated, and Forbidden for a person who is blocked."""
        if self._open:
            return ANYBODY
        given = header("x-api-key")
        if not given:
            shown_as = header("authorization")
            bears = shown_as is not None and shown_as.startswith("Bearer ")
            given = shown_as[7:].strip() if shown_as and bears else _bearer(shown_as)
        given = given or header("api-key")
        if not given:
            raise Unauthenticated("this endpoint asks for an API key", hint="send authorization: Bearer KEY")
        shown = blake2b(given.encode(), key=self._salt, digest_size=16).digest()
        known = self._known.get(shown)
        if known is None or self._now() >= known.until:
            known = self._look(given)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[shown] = known
        return known.caller if known.trusted is None else self._for_whom(known.trusted, known.caller, header)

    def _look(self, given: str) -> Known:
        found = _KEY.fullmatch(given)
        if found is None or found[1] not in self._by_id:
            return Known(self._plain(given), NEVER)
        key, caller = self._by_id[found[1]]
        return Known(caller, self._check(key, given), key if key.trusted else None)

    def _plain(self, given: str) -> Caller:
        # A set look-up is enough: who tries keys cannot steer the hash that is looked up, so its timing tells nothing.
        if key_hash(given) not in self._accepted:
            raise Unauthenticated("the API key is not known", hint="it may have been removed")
        return ANYBODY

    def _check(self, key: VirtualKey, given: str) -> float:
        """Until when it is good, as far as can be known now."""
        now, hashed, until = self._now(), virtual_hash(self._pepper, given), key.expires or NEVER
        good = hmac.compare_digest(hashed, key.hash)
        for old, ends in () if good else ((key.before, key.before_until), *key.earlier):
            if old and hmac.compare_digest(hashed, old):
                if now >= ends:
                    raise Unauthenticated(f"key {key.id!r} was turned, and the old one is not good any more")
                good, until = True, min(until, ends)
        if not good:
            raise Unauthenticated("the API key is not known", hint="it may have been removed")
        if key.revoked:
            raise Unauthenticated(f"key {key.id!r} was revoked", hint="headrace key create")
        if key.expires and now >= key.expires:
            raise Unauthenticated(f"key {key.id!r} has expired", hint="headrace key rotate")
        return until

    def _for_whom(self, key: VirtualKey, caller: Caller, header: Header) -> Caller:
        """A chat application's own key, and the person it says it calls for."""
        user = self._named(key, header)
        if not user:
            return caller
        person = self._people.get(user)
        if person is None:
            return replace(caller, user=user)
        if person.blocked:
            raise Forbidden(f"user {user!r} is blocked", field="user")
        return replace(
            caller,
            user=user,
            workspace=person.workspace or caller.workspace,
            team=person.team or caller.team,
            granted=models_of(person.models),
            bound=True,
        )

    def _named(self, key: VirtualKey, header: Header) -> str:
        if not key.user_secret:
            return next((value.strip().lower() for name in USER_HEADERS if (value := header(name))), "")
        token = header(HEADER)
        if not token:
            return ""
        if self._reveal is None:
            raise Unauthenticated(f"secret {key.user_secret!r} cannot be opened here", field=HEADER)
        return read_token(token, self._reveal(key.user_secret), now=self._now())


def callers_of(plan: Plan, door: Door, now: Callable[[], float] = time.time) -> Callers:
    """Of a plan, and of what the data plane was started with."""
    sealed, reveal = plan.gateway.secrets, door.reveal
    return Callers(
        (*plan.keys, *door.keys),
        plan.gateway.keys,
        plan.gateway.people,
        pepper=door.pepper,
        reveal=reveal and (lambda name: reveal(name, sealed)),
        now=now,
    )


def _caller(key: VirtualKey) -> Caller:
    return Caller(
        key=key.id,
        workspace=key.workspace,
        team=key.team,
        user=key.user.lower(),
        bound=True,
        scopes=frozenset(key.scopes),
        models=models_of(key.models),
    )


def _bearer(value: str | None) -> str:
    scheme, _, key = (value or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def key_hash(key: str) -> str:
    """Of an access key."""
    return sha256(key.encode()).hexdigest()


def virtual_hash(pepper: bytes, key: str) -> str:
    return hmac.digest(pepper, key.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """`secret`: the key itself, to be shown once."""

    key: VirtualKey
    secret: Secret


def make_key(pepper: bytes, described: VirtualKey, *, now: float) -> MadeKey:
    """`described` says all but id and hash."""
    public = new_id(PREFIX).partition("_")[2]
    secret = _secret(public)
    made = replace(described, id=public, hash=virtual_hash(pepper, secret.reveal()), created=now)
    return MadeKey(key=made, secret=secret)


def turn_key(pepper: bytes, key: VirtualKey, *, now: float, grace_seconds: float) -> MadeKey:
    """A new secret under the same public part; the one before is good for a grace time. Those before that, which were
    promised theirs, are too: each to its own end, but no longer than this one."""
    secret, until = _secret(key.id), now + grace_seconds
    earlier = [(old, min(ends, until)) for old, ends in ((key.before, key.before_until), *key.earlier)]
    turned = replace(
        key,
        hash=virtual_hash(pepper, secret.reveal()),
        before=key.hash,
        before_until=until,
        earlier=tuple((old, ends) for old, ends in earlier if old and ends > now)[:EARLIER],
    )
    return MadeKey(key=turned, secret=secret)


def _secret(public: str) -> Secret:
    return Secret(f"{PREFIX}-{public}-" + "".join(secrets.choice(_ALPHABET) for _ in range(48)))
