"""Several chat endpoints changed in one plan, with what else is decided in it: all of them, or none.

Called by the service for a file that is applied. Everything is read, permitted and made ready before; then one
transaction writes all and publishes one plan, and one takes all of it back when a data plane refuses. Versions of chat
endpoints are services: no registry has to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.release.change import check_fits, first, switched
from headrace.release.configure import configured, told_changes
from headrace.release.deploy import Change, check_free, check_name, note_move, publish_changes
from headrace.release.parts import PLAN_SECONDS, Cause, Parts
from headrace.release.ready import make_ready, resolve
from headrace.store import endpoints, plans
from headrace.store.db import Connection
from headrace.types.endpoint import Endpoint, Plan, Variant
from headrace.types.errors import Conflict, ModelRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One endpoint as it is to be. `version`: on record; empty: the one that is live stays."""

    endpoint: str
    version: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """`causes`: of the deploy and of the settings, as they were permitted."""

    wish: Wish
    variant: Variant | None
    causes: tuple[Cause, Cause]


@dataclass(slots=True)
class Together:
    """`publish` in the transaction of whoever decides the rest, once; then `confirm`."""

    parts: Parts
    ready: Sequence[Ready]
    actor: str
    plan: Plan | None = None
    before: dict[str, Endpoint | None] = field(default_factory=dict)

    def publish(self, conn: Connection, reason: str) -> Plan:
        """Raises Conflict, and ModelRefused for a version that does not fit its endpoint."""
        for each in self.ready:
            check_free(conn, each.wish.endpoint)
            self.before[each.wish.endpoint] = endpoints.get(conn, each.wish.endpoint)
        self.plan = publish_changes(
            conn, self.parts, {each.wish.endpoint: _change(each) for each in self.ready}, reason=reason
        )
        for each in self.ready:
            self._note(conn, each, self.plan)
        return self.plan

    def confirm(self, restore: Callable[[Connection, str], None]) -> None:
        """Wait until the data planes run it. When one refuses: `restore` and the endpoints as they were, in one plan,
        and ModelRefused says why."""
        if self.plan is None:
            return
        report = self.parts.await_plan(self.plan.revision, PLAN_SECONDS)
        if not report.refused:
            return
        reason = f"plan {self.plan.revision} taken back: {report.refused}"
        with self.parts.database.write() as conn:
            restore(conn, reason)
            others = [each for each in endpoints.all(conn) if each.name not in self.before]
            back = [replace(each, revision=0) for each in self.before.values() if each is not None]
            both = sorted([*others, *back], key=lambda each: each.name)
            plan = plans.publish(conn, both, reason=reason, now=self.parts.clock.now())
            for name in self.before:
                cause = Cause(actor=self.actor, action="endpoint.refused")
                was = self.plan.endpoint(name)
                note_move(conn, self.parts, plan, endpoint=name, before=was, cause=cause, detail=reason)
        raise ModelRefused(
            f"a data plane refused it, nothing has changed: {report.refused}",
            field="endpoints",
            hint="see headrace logs data",
        )

    def _note(self, conn: Connection, each: Ready, plan: Plan) -> None:
        name = each.wish.endpoint
        before, (deploying, setting) = self.before[name], each.causes
        if each.variant is not None:
            detail = f"{name}: {each.variant.name} takes all traffic"
            note_move(conn, self.parts, plan, endpoint=name, before=before, cause=deploying, detail=detail)
        plain = before if before is not None else first(name, each.variant) if each.variant else None
        if plain is not None and (told := told_changes(plain, configured(plain, dict(each.wish.settings)))):
            note_move(conn, self.parts, plan, endpoint=name, before=before, cause=setting, detail=told)


def make(parts: Parts, wish: Wish, *, permitted: Callable[[str], tuple[Cause, Cause]]) -> Ready:
    """`permitted`: by the model's name. Raises what a deploy raises before anything has changed."""
    check_name(wish.endpoint)
    with parts.database.read() as conn:
        check_free(conn, wish.endpoint)
        old = endpoints.get(conn, wish.endpoint)
    if not wish.version:
        return Ready(wish=wish, variant=None, causes=permitted(""))
    version = resolve(parts, wish.version, endpoint=wish.endpoint)
    if old is not None and old.model != version.name:
        raise Conflict(f"endpoint {wish.endpoint!r} serves model {old.model!r}, not {version.name!r}", field="endpoint")
    causes = permitted(version.name)
    variant = make_ready(parts, version, endpoint=wish.endpoint, progress=lambda _: None, source=wish.version)
    return Ready(wish=wish, variant=variant, causes=causes)


def _change(ready: Ready) -> Change:
    def change(old: Endpoint | None) -> Endpoint:
        made = old
        if ready.variant is not None:
            if made is not None:
                check_fits(made, ready.variant)
            made = first(ready.wish.endpoint, ready.variant) if made is None else switched(made, ready.variant)
        if made is None:
            raise Conflict(f"endpoint {ready.wish.endpoint!r} was removed meanwhile", field="endpoint")
        return configured(made, dict(ready.wish.settings))

    return change
