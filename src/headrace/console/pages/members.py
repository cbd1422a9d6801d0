"""The endpoints that one release moves together: who answers on each, for what share, and how well.

Called by the release page. Decides nothing: reads each endpoint's policy and live figures. A release of one endpoint
has no such panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.console.parts import numbers
from headrace.console.parts.figures import traffic_of
from headrace.console.parts.frame import panel
from headrace.console.parts.table import Row, Table, bar_cell, cell, column, variant_cell
from headrace.console.sentences import Traffic
from headrace.console.visit import Visit
from headrace.types.endpoint import Endpoint
from headrace.types.release import Member, Release
from headrace.types.traffic import BUCKETS

if TYPE_CHECKING:
    from headrace.control.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberNow:
    member: Member
    share: int  # that its candidate has now
    traffic: Traffic  # of its candidate


def members_now(services: Services, release: Release, there: Mapping[str, Endpoint | None]) -> tuple[MemberNow, ...]:
    """None for a release of one endpoint: the page says all that of it anyway."""
    if not release.others:
        return ()
    return tuple(_now(services, member, there.get(member.endpoint)) for member in release.members)


def _now(services: Services, member: Member, endpoint: Endpoint | None) -> MemberNow:
    known = traffic_of(services, member.endpoint).variants.get(member.candidate, Traffic())
    return MemberNow(member=member, share=share_now(endpoint, member.candidate), traffic=known)


def share_now(endpoint: Endpoint | None, candidate: str) -> int:
    if endpoint is None:
        return 0
    if endpoint.policy.baseline == candidate:
        return BUCKETS
    return endpoint.policy.share if endpoint.policy.candidate == candidate else 0


class MemberPanel:
    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, say = visit, visit.say
        with panel(say("members.title"), flush=True):
            columns = [
                column("endpoint", say("column.endpoint")),
                column("baseline", say("column.baseline"), wide_only=True),
                column("candidate", say("column.candidate")),
                column("share", say("column.share")),
                column("rate", say("figure.rate"), end=True, wide_only=True),
                column("errors", say("figure.errors"), end=True),
                column("p99", say("figure.p99"), end=True, wide_only=True),
            ]
            self._table = Table(columns, label=say("members.title"), links=True)

    def show(self, members: Sequence[MemberNow]) -> None:
        self._table.show([_row(each) for each in members])


def _row(now: MemberNow) -> Row:
    member, traffic = now.member, now.traffic
    return {
        "id": member.endpoint,
        "endpoint": cell(member.endpoint, href=f"/endpoints/{member.endpoint}"),
        "baseline": variant_cell(member.baseline, "baseline"),
        "candidate": variant_cell(member.candidate, "candidate"),
        "share": bar_cell(now.share / BUCKETS, numbers.share(now.share), tone="candidate"),
        "rate": cell(numbers.rate(traffic.rate), sub="/s"),
        "errors": cell(numbers.percent(traffic.errors, traffic.calls), tone="bad" if traffic.errors else ""),
        "p99": cell(numbers.milliseconds(traffic.p99_ms)),
    }
