"""Rows of chat endpoints: which upstream models answer for which version, for how much of the traffic; guards.

Called by the gateway page. Decides the share that a way should have: that of its version, times its weight among the
ways of the first tier. What it had is the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.console.parts import numbers
from headrace.console.parts.figures import role_of
from headrace.console.parts.table import Row, badge_cell, bar_cell, cell, column, variant_cell
from headrace.console.visit import Visit
from headrace.control.gateway import Route
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.gateway import Chat, Guard, SpendSum, Way
from headrace.types.traffic import BUCKETS


def columns(visit: Visit) -> list[dict[str, str]]:
    say = visit.say
    return [
        column("endpoint", say("column.endpoint")),
        column("variant", say("column.variant")),
        column("way", say("column.upstream")),
        column("share", say("column.share_planned"), end=True, wide_only=True),
        column("seen", say("column.share_seen")),
        column("calls", say("column.calls_day"), end=True, wide_only=True),
        column("cost", say("column.cost_day"), end=True, wide_only=True),
        column("balance", say("column.balance"), wide_only=True),
    ]


def rows(visit: Visit, found: Iterable[Route], seen: Iterable[SpendSum]) -> list[Row]:
    """One a way; endpoint and version are named where they begin."""
    by_way = {
        (str(s.group["endpoint"]), str(s.group["variant"]), str(s.group["provider"]), str(s.group["model"])): s
        for s in seen
    }
    made: list[Row] = []
    for route in found:
        endpoint = route.endpoint
        calls = sum(s.calls for key, s in by_way.items() if key[0] == endpoint.name)
        begun = len(made)
        for variant in endpoint.variants:
            chat = route.chats.get(variant.name)
            first = len(made) == begun
            made += _of_version(visit, endpoint, variant, chat, seen=by_way, calls=calls, named=first)
    return made


def share_of(endpoint: Endpoint, variant: str) -> float:
    """Of the endpoint's traffic, from 0 to 1."""
    policy = endpoint.policy
    given = policy.share if policy.candidate else 0
    return {policy.candidate: given, policy.baseline: BUCKETS - given}.get(variant, 0) / BUCKETS


def planned(chat: Chat, way: Way) -> float | None:
    """Of its version's calls; None: it answers only when others fail."""
    lowest = min(each.tier for each in chat.ways)
    if way.tier > lowest:
        return None
    weights = sum(each.weight for each in chat.ways if each.tier == lowest)
    return way.weight / weights if weights else 0.0


Seen = Mapping[tuple[str, str, str, str], SpendSum]


def _of_version(
    visit: Visit, endpoint: Endpoint, variant: Variant, chat: Chat | None, *, seen: Seen, calls: int, named: bool
) -> list[Row]:
    role, share = role_of(endpoint.policy, variant.name), share_of(endpoint, variant.name)
    head = {
        "endpoint": cell(endpoint.name, href=f"/endpoints/{endpoint.name}", title=endpoint.name),
        "variant": variant_cell(variant.name, role, sub=numbers.share(round(share * BUCKETS))),
    }
    if chat is None:
        unread = {"way": cell(visit.say("gateway.unread"), tone="bad")}
        return [{"id": f"{endpoint.name}/{variant.name}"} | head | unread]
    made = []
    for number, way in enumerate(chat.ways):
        had = seen.get((endpoint.name, variant.name, way.provider, way.model))
        part = planned(chat, way)
        row: Row = {
            "id": f"{endpoint.name}/{variant.name}/{number}",
            "endpoint": head["endpoint"] if named and not number else cell(""),
            "variant": head["variant"] if not number else cell(""),
            "way": cell(f"{way.provider}/{way.model}", title=f"{way.provider}/{way.model}"),
            "share": cell(visit.say("gateway.when_others_fail"), classes="faint")
            if part is None
            else cell(numbers.percent(part * share, 1.0) if share else numbers.NOTHING),
            "seen": bar_cell(had.calls / calls, numbers.percent(had.calls, calls), tone=role)
            if had and calls
            else bar_cell(0.0, numbers.NOTHING),
            "calls": cell(numbers.count(had.calls) if had else numbers.NOTHING),
            "cost": cell(numbers.money(had.cost) if had else numbers.NOTHING),
            "balance": cell(_balance(visit, chat) if not number else "", classes="soft"),
        }
        made.append(row)
    return made


def _balance(visit: Visit, chat: Chat) -> str:
    told = [visit.name("balance", chat.balance)] if len(chat.ways) > 1 else []
    if chat.affinity.value != "none":
        told.append(visit.name("affinity", chat.affinity))
    if chat.cache.ttl_seconds:
        told.append(visit.say("gateway.caches", seconds=numbers.duration(chat.cache.ttl_seconds)))
    return " · ".join(told)


# guards


def guard_columns(visit: Visit) -> list[dict[str, str]]:
    say = visit.say
    return [
        column("endpoint", say("column.endpoint")),
        column("variant", say("column.variant"), wide_only=True),
        column("guard", say("column.guard")),
        column("looks", say("column.looks_at"), wide_only=True),
        column("found", say("column.found"), end=True),
        column("settings", say("column.guard_settings"), grow=True, wide_only=True),
    ]


def guard_rows(visit: Visit, found: Iterable[Route], calls: Mapping[str, Sequence[Call]]) -> list[Row]:
    """`calls`: the newest ones by endpoint, in which findings are counted."""
    made = []
    for route in found:
        name = route.endpoint.name
        for variant in route.endpoint.variants:
            for number, guard in enumerate(chat.guards if (chat := route.chats.get(variant.name)) else ()):
                of = [call for call in calls.get(name, ()) if call.variant == variant.name]
                row = _guard_row(visit, guard, of)
                role = role_of(route.endpoint.policy, variant.name)
                made.append(
                    row
                    | {
                        "id": f"{name}/{variant.name}/{number}",
                        "endpoint": cell(name, href=f"/endpoints/{name}", title=name),
                        "variant": variant_cell(variant.name, role),
                    }
                )
    return made


def _guard_row(visit: Visit, guard: Guard, calls: Sequence[Call]) -> Row:
    name = guard.name or guard.kind
    times = sum(call.spent.guards.get(name, 0) for call in calls if call.spent)
    sides = [visit.say(key) for key, on in (("guard.before", guard.before), ("guard.after", guard.after)) if on]
    settings = ", ".join(f"{key}: {_brief(value)}" for key, value in guard.settings.items())
    return {
        "guard": badge_cell(name, icon_name="policies", tone="brand"),
        "looks": cell(" · ".join(sides) or numbers.NOTHING),
        "found": cell(numbers.count(times), sub=visit.say("gateway.of_last", calls=visit.count("calls", len(calls)))),
        "settings": cell(settings or visit.say("guard.plain"), classes="soft"),
    }


def _brief(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:6])) + (" …" if len(value) > 6 else "")
    return str(value) if not isinstance(value, dict) else "{…}"
