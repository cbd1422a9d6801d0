"""What happened, as facts; whether it was what had to happen; and the story in words. Pure.

Called by the demo's spine with what it saw. The demo is a test: a fact that should not be is a problem, and a problem
is its exit status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.cli.demo.replay import Seen
from headrace.types.model import Stage
from headrace.types.release import Phase

LATE = 2.0  # seconds after a roll back in which calls may still end on the candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    version: int
    name: str
    description: str
    accuracy: float  # on the notebook's own test rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    path: str
    dataset: str
    rows: int
    labelled: int
    corrected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    urls: dict[str, str]
    home: str
    start_seconds: float
    trained: tuple[Trained, ...]
    proof: tuple[str, ...]
    better: dict[str, Any]  # the release of version 2, as the admin API tells it
    worse: dict[str, Any]  # and of version 3
    stages: dict[int, str]
    seen: Seen
    began: float  # of the replay, seconds since the epoch
    exported: Exported
    trace: str
    assessments: int  # on that trace, in MLflow
    traces_page: str
    seconds: float


def problems(facts: Facts) -> list[str]:
    """Everything that is not as it must be; none when the demo has shown what it promises."""
    seen, better, worse = facts.seen, facts.better, facts.worse
    checks = [
        (seen.failed == 0, f"{seen.failed} of {seen.requests} requests failed, such as {'; '.join(seen.failures[:3])}"),
        (seen.requests > 0, "no request was answered"),
        (better["phase"] == Phase.PROMOTED, f"version 2 is {better['phase']}, not promoted: {reason(better)}"),
        (worse["phase"] == Phase.ROLLED_BACK, f"version 3 is {worse['phase']}, not rolled back: {reason(worse)}"),
        (
            facts.stages.get(1) == Stage.ARCHIVED and facts.stages.get(2) == Stage.PRODUCTION,
            f"stages in the registry are {facts.stages}; version 1 should be Archived, 2 in Production",
        ),
        (
            seen.last.get("3", 0.0) <= (worse.get("ended") or 0.0) + LATE,
            "version 3 still answered after it had been rolled back",
        ),
        (facts.exported.rows > 0, "the exported data set is empty"),
        (
            facts.exported.corrected > 0 or not seen.corrections,
            f"{seen.corrections} corrections were given, none is in the data set",
        ),
        (facts.assessments > 0, f"the feedback on {facts.trace} did not arrive in MLflow"),
    ]
    return [what for good, what in checks if not good]


def tell(facts: Facts) -> list[str]:
    """The story, line by line, as rich markup."""
    return [*_traffic(facts), "", *_changes(facts), "", *_learned(facts), "", *_look(facts)]


def reason(release: dict[str, Any]) -> str:
    return str((release.get("judgement") or {}).get("reason") or release.get("paused_reason") or "no reason was given")


def prepared(release: dict[str, Any]) -> float:
    """Seconds from the command to the first user on the candidate: fetched, converted, proven, loaded."""
    return _first_share(release) - float(release["created"])


def moved(release: dict[str, Any]) -> float:
    """Seconds from the first user on the candidate to the end."""
    return float(release.get("ended") or 0.0) - _first_share(release)


def steps(release: dict[str, Any]) -> str:
    """`1 % at 0 s, 5 % at 4 s, …`"""
    begin = _first_share(release)
    taken = [(e["share"], e["time"] - begin) for e in release["history"] if e.get("share")]
    found: dict[int, float] = {}
    for share, at in taken:
        found.setdefault(share, at)
    return ", ".join(f"{share / 100:g} % at {at:.0f} s" for share, at in sorted(found.items()))


def _first_share(release: dict[str, Any]) -> float:
    return float(next((e["time"] for e in release["history"] if e.get("share")), release["created"]))


def _traffic(facts: Facts) -> list[str]:
    seen = facts.seen
    failed = f"[bold green]{seen.failed} failed[/]" if not seen.failed else f"[bold red]{seen.failed} failed[/]"
    waited = f"p50 {seen.quantile(0.5):.1f} ms, p99 {seen.quantile(0.99):.1f} ms as the users saw it"
    lines = [
        f"[bold]{seen.requests:,} requests[/] served, {failed}; {waited}",
        f"{seen.feedback:,} said what they think, {seen.corrections:,} with the right digit",
    ]
    for trained in facts.trained:
        version = str(trained.version)
        count = seen.versions.get(version, 0)
        if count:
            when = f"from {seen.first[version] - facts.began:.0f} s to {seen.last[version] - facts.began:.0f} s"
            lines.append(f"  version {version} answered {count:>6,} of them, {when}")
        else:
            lines.append(f"  version {version} answered none of them")
    return lines


def _changes(facts: Facts) -> list[str]:
    offline = {t.version: t.accuracy for t in facts.trained}
    better, worse = facts.better, facts.worse
    against = f"offline accuracy {offline.get(2, 0):.1%}, version 1 {offline.get(1, 0):.1%}"
    took = f"in {moved(better):.1f} s, after {prepared(better):.1f} s of preparation"
    best = f"offline accuracy {offline.get(3, 0):.1%}, the best of all"
    return [
        "[bold]Version 1[/] was deployed after proof:",
        *(f"  {line}" for line in facts.proof),
        f"[bold]Version 2[/] ({against}) was [green]{_phase(better)}[/] {took}",
        f"  {steps(better)}",
        f"  {reason(better)}",
        f"[bold]Version 3[/] ({best}) was [red]{_phase(worse)}[/] in {moved(worse):.1f} s",
        f"  {steps(worse)}",
        f"  {reason(worse)}",
        "  [dim]its notebook had divided the pixels by 16 outside of the model, in training and in its own test;[/]",
        "  [dim]production sends 0 to 16[/]",
    ]


def _learned(facts: Facts) -> list[str]:
    data = facts.exported
    held = f"{data.rows:,} rows, {data.labelled:,} with a label, {data.corrected:,} of these corrected by a person"
    return [f"[bold]Data set[/] {data.dataset[:15]}…: {held}", f"  {data.path}"]


def _look(facts: Facts) -> list[str]:
    control, data = facts.urls["control"], facts.urls["data"]
    return [
        "[bold]Where to look[/]",
        f"  the release that was promoted     {control}/releases/{facts.better['id']}",
        f"  the release that was rolled back  {control}/releases/{facts.worse['id']}",
        f"  the endpoint, live                {control}/endpoints/digits",
        f"  a corrected call                  {control}/traces?trace={facts.trace}",
        f"  MLflow: traces with feedback      {facts.traces_page}",
        f"  the API, to try                   {data}/docs",
    ]


def _phase(release: dict[str, Any]) -> str:
    return str(release["phase"]).replace("_", " ")
