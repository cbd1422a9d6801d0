"""One entry of the history, inside the drawer: why, who had the traffic before and after, what was known.

Called by the history page. Decides nothing.
"""

from __future__ import annotations

from headrace.console.parts import numbers
from headrace.console.parts.frame import facts
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.release.words import number
from headrace.types.history import AuditEntry, Holding, Seen


def show_entry(visit: Visit, entry: AuditEntry) -> None:
    say, about = visit.say, entry.about
    with tag("div", "row-flex wrap"):
        when(entry.time, "soft")
        text("span", "", say("audit.by", actor=entry.actor))
        if about.release:
            with link(f"/releases/{about.release}", "btn ghost small push"):
                icon("releases")
                text("span", "", say("audit.to_release"))
    text("p", "", entry.detail)
    if about.before != about.after:
        with tag("section"):
            text("h3", "", say("audit.traffic"))
            facts([(say("audit.before"), _traffic(about.before)), (say("audit.after"), _traffic(about.after))])
    if about.evidence:
        with tag("section"):
            text("h3", "", say("audit.evidence"))
            _draw_evidence(visit, about.evidence)
    with tag("section"):
        text("h3", "", say("trace.facts"))
        facts(
            [
                (say("column.reason"), about.reason),
                (say("audit.approvers"), ", ".join(about.approvers)),
                (say("column.subject"), entry.subject),
                (say("column.revision"), str(about.revision) if about.revision else ""),
                (say("audit.undoes"), str(about.undoes) if about.undoes else ""),
                (say("audit.number"), str(entry.id)),
                (say("audit.seal"), entry.sha256[:16]),
            ]
        )


def _traffic(held: tuple[Holding, ...]) -> str:
    return ", ".join(f"{one.variant} {numbers.share(one.share)}" for one in held) or numbers.NOTHING


def _draw_evidence(visit: Visit, evidence: tuple[Seen, ...]) -> None:
    heads = ("column.metric", "column.baseline", "column.candidate", "column.evalue")
    with tag("table", "plain-table"), tag("tbody"):
        with tag("tr"):
            for key in heads:
                text("th", "", visit.say(key))
        for seen in evidence:
            limit = f" / {number(seen.log_limit)}" if seen.log_limit else ""
            with tag("tr"):
                text("th", "", seen.metric)
                text("td", "num", f"{numbers.count(seen.baseline_events)} / {numbers.count(seen.baseline_units)}")
                text("td", "num", f"{numbers.count(seen.candidate_events)} / {numbers.count(seen.candidate_units)}")
                text("td", "num", f"{number(seen.log_harm)}{limit}")
