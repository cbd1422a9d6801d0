"""How many days a turn has to wait, and then a release: told before anything is begun. Pure; called by turns.py.

It plans and never judges. What it needs is guessed from the endpoint's latest calls, and from the last turn where there
was one; each guess is named in the answer. A site with few ratings learns here that its thumbs will not decide within a
month, and that a judge on paired shadow answers will.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, log

from headrace.flywheel.looks import wins_needed
from headrace.release import power
from headrace.types.turn import Flywheel, Need, Outlook, Pace, Proof, Turn

DAY = 86_400.0
DIFFER, WIN = 0.1, 0.75  # of rows, that two versions answer otherwise; of those, that the better one has right
SHARE = 0.5  # of users that the candidate has at the last step
WORSE = 1.5  # times the odds of a thumbs down: the harm that a release should find


def outlook(flywheel: Flywheel, pace: Pace, last: Turn | None) -> Outlook:
    differ, win = _habits(last)
    fresh = flywheel.data.fresh_share
    taught = _need("teach", flywheel.data.min_rows, pace.corrections * (1 - fresh), "corrected rows to learn from")
    needs = [taught]
    if flywheel.gates.fresh is Proof.BETTER:
        rows = wins_needed(flywheel.alpha, win) / differ
        says = f"fresh rows, of which {differ:.0%} differ and {win:.0%} of those for the better"
        needs.append(_need("prove", rows, pace.corrections * fresh, says))
    if flywheel.release is not None:
        needs += [_thumbs(pace, flywheel.alpha), _pairs(flywheel.alpha, differ, win, pace)]
    return Outlook(pace=pace, differ=differ, win=win, needs=tuple(needs))


def pace_of(times: Sequence[float], *, corrections: int, ratings: int, downs: int, now: float) -> Pace:
    """`times` of the latest calls; the others count what people said of these."""
    if not times:
        return Pace()
    days = max(now - min(times), 60.0) / DAY
    return Pace(
        calls=len(times) / days,
        corrections=corrections / days,
        ratings=ratings / days,
        down=max(downs, 0.5) / max(ratings, 1) if ratings else Pace().down,
        seen=len(times),
    )


def _habits(last: Turn | None) -> tuple[float, float]:
    """How often the last candidate differed from the live version, and how often it was right then."""
    found = next((gain for gain in last.gains if gain.on == "fresh" and gain.rows), None) if last else None
    if found is None or found.better + found.worse < 10 or found.better <= found.worse:
        return DIFFER, WIN
    moved = found.better + found.worse
    return moved / found.rows, min(0.95, max(0.55, found.better / moved))


def _thumbs(pace: Pace, alpha: float) -> Need:
    """That many people would have to rate, with no judge at all, before a release finds harm."""
    says = f"ratings until {WORSE:g} times as many thumbs down would roll back ({pace.down:.0%} are down today)"
    if not pace.ratings:
        return Need(name="thumbs", needed=None, per_day=0.0, days=None, says=says)
    rate = min(max(pace.down, 1e-4), 0.9)
    traffic = power.Traffic(per_second=pace.ratings / DAY, share=SHARE)
    seconds = power.seconds_to_harm(traffic, rate=rate, ratio=WORSE, limit=log(2 / alpha), power=0.8)
    days = seconds / DAY
    if not isfinite(days):
        return Need(name="thumbs", needed=None, per_day=pace.ratings, days=None, says=says)
    return Need(name="thumbs", needed=days * pace.ratings, per_day=pace.ratings, days=days, says=says)


def _pairs(alpha: float, differ: float, win: float, pace: Pace) -> Need:
    says = "shadow pairs judged, where a qualified judge stands in for people"
    return _need("pairs", wins_needed(alpha, win) / differ, pace.calls, says)


def _need(name: str, needed: float, per_day: float, says: str) -> Need:
    days = needed / per_day if per_day else inf
    return Need(name=name, needed=needed, per_day=per_day, days=days if isfinite(days) else None, says=says)
