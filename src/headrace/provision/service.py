"""Changes of the gateway, each one a version: read → check → compare → write → publish. Read this first.

Called by the admin API and the console. Version, plan and history are one transaction; data planes have it within their
next look for plans, and no call or stream is cut by it. Going back takes providers, people, limits and prices from an
old version; keys and secrets stay as they are now, so that nothing that was revoked is good again. Chat endpoints that
a file names are only kept on record here: control/configuration.py deploys them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from headrace.base.clock import Clock
from headrace.base.secret import Secret
from headrace.provision.diff import Line, diff
from headrace.provision.document import changed, check, described, key_of, overrides, read, written
from headrace.store import audit, endpoints, plans
from headrace.store import gateway as versions
from headrace.store.db import Connection, Database
from headrace.store.secrets import Vault
from headrace.traffic.keys import MadeKey, make_key, turn_key
from headrace.types.endpoint import Plan
from headrace.types.errors import BadInput, Conflict, NotFound
from headrace.types.gateway import Gateway, Price, Provider, Served, VirtualKey

GRACE_SECONDS = 86_400.0  # that a turned key is still good
DETAIL_LIMIT = 2000  # characters of a change in the history

Catalogue = Callable[[Iterable[Provider]], tuple[Price, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A version: what it changed of the one before, and what going back to it would change now."""

    version: versions.Version
    lines: tuple[Line, ...]
    back: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """`keys`: those that were made, with their secrets, to be shown once. `revision`: of the plan; 0: no change."""

    version: int
    revision: int
    lines: tuple[Line, ...]
    keys: tuple[MadeKey, ...] = ()
    before: Gateway = Gateway()  # what it was a change of


Publish = Callable[[Connection, str], Plan]  # in the transaction of the change, and why


class Provision:
    def __init__(self, *, database: Database, vault: Vault, pepper: bytes, catalogue: Catalogue, clock: Clock) -> None:
        self._database, self._vault, self._pepper = database, vault, pepper
        self._catalogue, self._clock = catalogue, clock
        self._listed: tuple[tuple[Provider, ...], tuple[Price, ...]] = ((), ())

    def current(self) -> Gateway:
        with self._database.read() as conn:
            return versions.current(conn)

    def version(self) -> int:
        with self._database.read() as conn:
            return versions.number(conn)

    def history(self, *, limit: int = 50) -> tuple[versions.Version, ...]:
        with self._database.read() as conn:
            return versions.history(conn, limit=limit)

    def recorded(self, number: int) -> tuple[Served, ...]:
        """Chat endpoints as files had said by that version. Raises NotFound."""
        with self._database.read() as conn:
            return _wanted(conn, number).body.endpoints

    def change(self, number: int) -> Change:
        """Raises NotFound."""
        with self._database.read() as conn:
            wanted, before = _wanted(conn, number), versions.version(conn, number - 1)
            now = versions.current(conn)
        lines = diff(before.body if before else Gateway(), wanted.body)
        return Change(version=wanted, lines=lines, back=diff(now, _back(now, wanted.body)))

    def said_prices(self, *, limit: int = 200) -> tuple[tuple[versions.Version, Line], ...]:
        """Each change of a price that a person said, the newest first."""
        found = self.history(limit=limit + 1)
        told: list[tuple[versions.Version, Line]] = []
        for at, later in enumerate(found):
            earlier = found[at + 1] if at + 1 < len(found) else None
            before = Gateway(prices=overrides(earlier.body)) if earlier else Gateway()
            if earlier is not None or later.number == 1:  # what came before the oldest that is looked at is not known
                told += [(later, line) for line in diff(before, Gateway(prices=overrides(later.body)))]
        return tuple(told[:limit])

    def document(self) -> dict[str, Any]:
        """As it may be applied again."""
        return written(self.current())

    def compare(self, given: Any) -> tuple[Line, ...]:
        """What applying it would change. Raises BadInput."""
        now = self.current()
        return diff(now, read(given, now))

    def would_be(self, given: Any) -> Gateway:
        """Once it is applied. Raises BadInput."""
        return read(given, self.current())

    def apply(
        self,
        given: Any,
        *,
        actor: str,
        reason: str = "",
        expected: int | None = None,
        endpoints: Iterable[Served] = (),
        publish: Publish | None = None,
    ) -> Applied:
        """`expected`: the version that this is a change of. `endpoints`: chat endpoints that the same file names, to be
        kept on record; `publish` changes them in the same plan. Raises BadInput, and Conflict when there is a newer
        version."""
        now = self.current()
        self._look_up(now, read(given, now).providers)
        with self._database.write() as conn:
            number = versions.number(conn)
            if expected is not None and expected != number:
                raise Conflict(
                    f"the gateway is at version {number}, not {expected}", field="version", hint="headrace diff"
                )
            before = versions.current(conn)
            after, made = self._with_keys(_named(read(given, before), endpoints))
            done = self._put(conn, before, after, actor=actor, action="gateway.apply", reason=reason, publish=publish)
            return replace(done, keys=made)

    def take_back(self, conn: Connection, done: Applied, *, actor: str, reason: str) -> None:
        """In the caller's transaction, who publishes the plan: sections as they were before. Keys and secrets stay as
        they are, but for keys that were made with it: nobody was shown them."""
        before, made = versions.current(conn), {each.key.id for each in done.keys}
        after = replace(_back(before, done.before), keys=tuple(key for key in before.keys if key.id not in made))
        if lines := diff(before, after):
            self._record(conn, self._priced(before, after), lines, actor=actor, action="gateway.refused", reason=reason)

    def roll_back(self, number: int, *, actor: str, reason: str = "", publish: Publish | None = None) -> Applied:
        """Raises NotFound, and BadInput when a secret that it needs is gone."""
        with self._database.read() as conn:
            self._look_up(versions.current(conn), _wanted(conn, number).body.providers)
        with self._database.write() as conn:
            wanted, before = _wanted(conn, number), versions.current(conn)
            after = _back(before, wanted.body)
            check(after, secrets=before.secrets)
            told = reason or f"back to version {number}"
            action = "gateway.rollback"
            return self._put(conn, before, after, actor=actor, action=action, reason=told, publish=publish)

    # keys

    def create_key(self, given: Any, *, actor: str) -> MadeKey:
        with self._database.write() as conn:
            before = versions.current(conn)
            told = key_of(given)
            if told.name and any(key.name == told.name and not key.revoked for key in before.keys):
                raise Conflict(f"there is a key {told.name!r} already", field="name", hint="headrace key rotate")
            made = make_key(self._pepper, told, now=self._clock.now())
            after = replace(before, keys=(*before.keys, made.key))
            check(after, secrets=before.secrets)
            self._put(conn, before, after, actor=actor, action="key.create")
        return made

    def change_key(self, wanted: str, given: dict[str, Any], *, actor: str) -> VirtualKey:
        with self._database.write() as conn:
            before = versions.current(conn)
            key = _known(before, wanted)
            new = changed(key, key_of(described(key) | given))
            after = _with(before, new)
            check(after, secrets=before.secrets)
            self._put(conn, before, after, actor=actor, action="key.change")
        return new

    def rotate_key(self, wanted: str, *, actor: str, grace_seconds: float = GRACE_SECONDS) -> MadeKey:
        if not 0 <= grace_seconds <= 90 * 86_400:
            raise BadInput(f"grace_seconds is {grace_seconds!r}; allowed: 0 to 90 days", field="grace_seconds")
        with self._database.write() as conn:
            before = versions.current(conn)
            made = turn_key(self._pepper, _known(before, wanted), now=self._clock.now(), grace_seconds=grace_seconds)
            self._put(conn, before, _with(before, made.key), actor=actor, action="key.rotate")
        return made

    def revoke_key(self, wanted: str, *, actor: str) -> Applied:
        """Worth nothing as soon as the plan is in force. It stays on record."""
        with self._database.write() as conn:
            before = versions.current(conn)
            key = replace(_known(before, wanted), revoked=self._clock.now(), before="", before_until=0.0, earlier=())
            return self._put(conn, before, _with(before, key), actor=actor, action="key.revoke")

    # secrets

    def set_secret(self, name: str, value: Secret, *, actor: str) -> Applied:
        if not name or len(name) > 100 or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise BadInput(f"name is {name[:40]!r}; allowed: letters, digits, '.', '_', '-'", field="name")
        with self._database.write() as conn:
            before = versions.current(conn)
            after = replace(before, secrets={**before.secrets, name: self._vault.seal(name, value)})
            return self._put(conn, before, after, actor=actor, action="secret.set")

    def remove_secret(self, name: str, *, actor: str) -> Applied:
        """Raises NotFound, and BadInput while a provider or a key needs it."""
        with self._database.write() as conn:
            before = versions.current(conn)
            if name not in before.secrets:
                there = ", ".join(sorted(before.secrets)) or "none"
                raise NotFound(f"there is no secret {name!r}; there are: {there}", field="name")
            after = replace(before, secrets={k: v for k, v in before.secrets.items() if k != name})
            check(after, secrets=after.secrets)
            return self._put(conn, before, after, actor=actor, action="secret.remove")

    def rotate_secrets(self, *, actor: str) -> Applied:
        """A new master key, and all that is sealed under it."""
        with self._database.write() as conn:
            before = versions.current(conn)
            master, sealed = self._vault.turn(before.secrets)
            after = replace(before, secrets=sealed)
            reason = f"master key {master.id}"
            return self._put(conn, before, after, actor=actor, action="secret.rotate", reason=reason)

    def _with_keys(self, gateway: Gateway) -> tuple[Gateway, tuple[MadeKey, ...]]:
        """Keys that were described and are new get their secrets."""
        made = {key.name: make_key(self._pepper, key, now=self._clock.now()) for key in gateway.keys if not key.hash}
        keys = tuple(key if key.hash else made[key.name].key for key in gateway.keys)
        return replace(gateway, keys=keys), tuple(made.values())

    def _put(
        self,
        conn: Connection,
        before: Gateway,
        after: Gateway,
        *,
        actor: str,
        action: str,
        reason: str = "",
        publish: Publish | None = None,
    ) -> Applied:
        lines = diff(before, after)
        if not lines and publish is None:
            return Applied(version=versions.number(conn), revision=0, lines=(), before=before)
        told = reason
        if lines:
            told = self._record(conn, self._priced(before, after), lines, actor=actor, action=action, reason=reason)
        plan = (publish or self._publish)(conn, told)
        return Applied(version=versions.number(conn), revision=plan.revision, lines=lines, before=before)

    def _record(
        self, conn: Connection, after: Gateway, lines: tuple[Line, ...], *, actor: str, action: str, reason: str
    ) -> str:
        """As a version, with its place in the history. What a plan says of it."""
        words, now = "; ".join(line.words() for line in lines)[:DETAIL_LIMIT], self._clock.now()
        number = versions.put(conn, after, actor=actor, reason=reason or words, now=now)
        detail = f"{reason}: {words}" if reason else words
        audit.append(conn, actor=actor, action=action, subject=f"gateway:{number}", detail=detail, now=now)
        return f"gateway {number}: {reason or words}"[:DETAIL_LIMIT]

    def _publish(self, conn: Connection, told: str) -> Plan:
        return plans.publish(conn, endpoints.all(conn), reason=told, now=self._clock.now())

    def _look_up(self, now: Gateway, providers: tuple[Provider, ...]) -> None:
        """The lists' prices, before a transaction begins: reading the lists for the first time takes a second."""
        if providers not in (now.providers, self._listed[0]):
            self._listed = (providers, self._catalogue(providers))

    def _priced(self, before: Gateway, after: Gateway) -> Gateway:
        """With the lists' prices of its providers, read anew when providers change."""
        listed = tuple(price for price in before.prices if price.source)
        if before.providers != after.providers:
            self._look_up(before, after.providers)
            listed = self._listed[1]
        return replace(after, prices=(*overrides(after), *listed))


def _wanted(conn: Connection, number: int) -> versions.Version:
    found = versions.version(conn, number)
    if found is None:
        raise NotFound(f"the gateway has no version {number}", field="version", hint="headrace gateway history")
    return found


def _back(now: Gateway, old: Gateway) -> Gateway:
    """Keys and secrets stay as they are; the lists' prices are read anew."""
    return replace(
        now,
        providers=old.providers,
        people=old.people,
        limits=old.limits,
        prices=overrides(old),
        endpoints=old.endpoints,
    )


def _named(gateway: Gateway, endpoints: Iterable[Served]) -> Gateway:
    there = {each.name: each for each in (*gateway.endpoints, *endpoints)}
    return replace(gateway, endpoints=tuple(there.values()))


def _known(gateway: Gateway, wanted: str) -> VirtualKey:
    """By id or by name; one that was revoked is not found again."""
    for key in gateway.keys:
        if wanted in (key.id, key.name) and not key.revoked:
            return key
    there = ", ".join(key.name or key.id for key in gateway.keys if not key.revoked) or "none"
    raise NotFound(f"there is no key {wanted!r}; there are: {there}", field="key")


def _with(gateway: Gateway, key: VirtualKey) -> Gateway:
    return replace(gateway, keys=tuple(key if each.id == key.id else each for each in gateway.keys))
