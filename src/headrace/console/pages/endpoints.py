"""Endpoints: the list. Called by the shell. Decides nothing: reads endpoints and live figures, and composes parts."""

from __future__ import annotations

from nicegui import ui

from headrace.console.pages import overview
from headrace.console.pages.overview import Overview
from headrace.console.parts import numbers
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, cell, column, variant_cell
from headrace.console.parts.tag import tag
from headrace.console.sentences import Traffic
from headrace.console.visit import Visit
from headrace.types.endpoint import Endpoint


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.endpoints')} · Headrace")
    data = await first_look(lambda: overview.load(visit.services))
    if data is None:
        return
    page_head(say("place.endpoints"), visit.count("endpoints.sentence", len(data.endpoints)))
    if not data.endpoints:
        with tag("div", "panel"):
            empty(
                visit,
                icon_name="endpoints",
                title=say("endpoints.empty"),
                will=[say("endpoints.will_1"), say("endpoints.will_2")],
                hint=say("overview.empty_hint"),
                commands=["headrace deploy models:/digits/1 --endpoint digits"],
            )
        return
    with panel(say("place.endpoints"), flush=True):
        table = Table(
            [
                column("name", say("column.endpoint")),
                column("model", say("column.model"), wide_only=True),
                column("baseline", say("column.serves")),
                column("candidate", say("column.candidate")),
                column("rate", say("figure.rate"), end=True),
                column("errors", say("figure.errors"), end=True),
                column("p50", say("figure.p50"), end=True, wide_only=True),
                column("p99", say("figure.p99"), end=True, wide_only=True),
                column("revision", say("column.revision"), end=True, wide_only=True),
            ],
            label=say("place.endpoints"),
            links=True,
        )

    def refresh(found: Overview) -> None:
        table.show([_row(e, found.traffic[e.name]) for e in found.endpoints])

    refresh(data)
    keep_fresh(lambda: overview.load(visit.services), refresh)


def _row(endpoint: Endpoint, traffic: Traffic) -> Row:
    policy = endpoint.policy
    candidate = variant_cell(policy.candidate, "candidate", sub=numbers.share(policy.share))
    return {
        "id": endpoint.name,
        "name": cell(endpoint.name, href=f"/endpoints/{endpoint.name}"),
        "model": cell(endpoint.model),
        "baseline": variant_cell(policy.baseline, "baseline"),
        "candidate": candidate if policy.candidate else cell(numbers.NOTHING),
        "rate": cell(numbers.rate(traffic.rate), sub="/s"),
        "errors": cell(numbers.percent(traffic.errors, traffic.calls), tone="bad" if traffic.errors else ""),
        "p50": cell(numbers.milliseconds(traffic.p50_ms)),
        "p99": cell(numbers.milliseconds(traffic.p99_ms)),
        "revision": cell(str(endpoint.revision)),
    }
