"""A release in words for the terminal: where it stands, why, and how it ended.

Called by release.py and the demo.
"""

from __future__ import annotations

import time
from typing import Any

from rich.markup import escape

from headrace.cli.show import ago, say, share, table
from headrace.types.release import Phase

UNDECIDED = 4  # exit status: it is paused and waits for a person


def exit_of(release: dict[str, Any]) -> int:
    phase = Phase(release["phase"])
    return {Phase.PROMOTED: 0, Phase.PAUSED: UNDECIDED}.get(phase, 1)


def ending(release: dict[str, Any]) -> str:
    colour = {0: "green", UNDECIDED: "yellow"}.get(exit_of(release), "red")
    seconds = (release.get("ended") or time.time()) - release["created"]
    words = escape(reason_of(release))
    return f"[bold {colour}]{release['phase'].replace('_', ' ')}[/] after {seconds:.1f} s: {words}"


def share_of(release: dict[str, Any]) -> str:
    phase, steps, at = Phase(release["phase"]), release["plan"]["steps"], release["step"]
    if phase.ended:
        return "100 %" if phase is Phase.PROMOTED else "0 %"
    return share(steps[at]["share"]) if phase is not Phase.PREPARING and at < len(steps) else "0 %"


def reason_of(release: dict[str, Any]) -> str:
    if release["phase"] == Phase.PAUSED and release.get("paused_reason"):
        return str(release["paused_reason"])
    if release["history"] and Phase(release["phase"]) in (Phase.ABORTED, Phase.FAILED):
        return str(release["history"][-1]["detail"])
    return str((release.get("judgement") or {}).get("reason", ""))


def show_release(release: dict[str, Any]) -> None:
    say(f"[bold]{release['id']}[/] of {escape(release['endpoint'])}: {release['baseline']} → {release['candidate']}")
    say(f"{release['phase'].replace('_', ' ')}, {share_of(release)} of users on the candidate")
    if reason := reason_of(release):
        say(escape(reason))
    if gates := release.get("gates"):
        say("")
        table(
            ("gate", "outcome", "detail"),
            [(g["name"], g["outcome"], g["detail"] + (f"; row {g['row']}" if g.get("row") else "")) for g in gates],
            empty="",
        )
    say("")
    evidence = release.get("evidence") or {}
    table(
        ("metric", "baseline", "candidate", "of users"),
        [
            (name, m["baseline_events"], m["candidate_events"], f"{m['baseline_units']} / {m['candidate_units']}")
            for name, m in evidence.items()
        ],
        empty="no evidence yet",
    )
    say("")
    table(
        ("when", "event", "share", "by", "detail"),
        [
            (ago(e["time"]), e["name"].replace("_", " "), share(e.get("share", 0)), e["actor"], e["detail"])
            for e in release["history"]
        ],
        empty="nothing has happened yet",
    )
