"""Pairs of a release that are worth a look: the worst ones, and a fair sample of all.

Called by the release engine (keep, forget_old) and by the admin API and the console (read). Both sets are bounded; a
pair that is in neither goes. They stay when the release has ended, for as long as calls stay in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, and_, delete, insert, select

from headrace.store.tables import pack, release, release_pair, unpack
from headrace.types.pair import Pair
from headrace.types.release import Release

WORST, SAMPLE = 500, 1_000

_here = release_pair.c


def keep(conn: Connection, release_id: str, found: Iterable[Pair], *, worst: int = WORST, sample: int = SAMPLE) -> None:
    """Again is no harm: what is told a second time replaces the first."""
    new = {pair.trace_id: pair for pair in found}
    if not new:
        return
    conn.execute(delete(release_pair).where(_here.release == release_id, _here.trace_id.in_(new)))
    rows = [
        {
            "release": release_id,
            "trace_id": pair.trace_id,
            "severity": pair.severity,
            "draw": pair.draw,
            "body": pack(pair),
        }
        for pair in new.values()
    ]
    conn.execute(insert(release_pair), rows)
    bad = select(_here.trace_id).where(_here.release == release_id, _here.severity > 0)
    drawn = select(_here.trace_id).where(_here.release == release_id)
    stay = (
        _here.trace_id.not_in(bad.order_by(_here.severity.desc(), _here.draw).limit(worst)),
        _here.trace_id.not_in(drawn.order_by(_here.draw).limit(sample)),
    )
    conn.execute(delete(release_pair).where(and_(_here.release == release_id, *stay)))


def worst(conn: Connection, release_id: str, *, limit: int = 50) -> tuple[Pair, ...]:
    """The worst first. Those without any difference are not among them."""
    query = (
        select(_here.body)
        .where(_here.release == release_id, _here.severity > 0)
        .order_by(_here.severity.desc(), _here.draw)
        .limit(limit)
    )
    return tuple(unpack(body, Pair) for body in conn.scalars(query))


def sample(conn: Connection, release_id: str, *, limit: int = SAMPLE) -> tuple[Pair, ...]:
    """Drawn without regard to what was found: rates in it are rates of the traffic."""
    query = select(_here.body).where(_here.release == release_id).order_by(_here.draw).limit(limit)
    return tuple(unpack(body, Pair) for body in conn.scalars(query))


def forget_old(conn: Connection, *, before: float) -> int:
    """Those of releases that ended before that time; how many there were."""
    kept = select(_here.release).distinct()
    ended = select(release.c.body).where(~release.c.active, release.c.created < before, release.c.id.in_(kept))
    old = [found.id for body in conn.scalars(ended) if (found := unpack(body, Release)).ended < before]
    return conn.execute(delete(release_pair).where(_here.release.in_(old))).rowcount if old else 0
