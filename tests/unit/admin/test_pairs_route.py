"""GET /api/v1/releases/{id}/pairs."""

from __future__ import annotations

from dataclasses import replace

import httpx

from headrace.store import pairs, releases
from headrace.types.pair import Difference, Pair, PairTally, Profile
from tests.unit.admin.admin_stand import Stand
from tests.unit.release.made import release
from tests.unit.release.test_copies import PLAN

HERE = "/api/v1/releases/rel_1/pairs"


def pair(number: int, town: str = "Rom", *, flips: float = 0.0) -> Pair:
    return Pair(
        trace_id=f"tr-{number}",
        shadow_id=f"tr-{number}s",
        time=1.0,
        unit="u",
        rows=1,
        severity=4 * flips,
        draw=number,
        difference=Difference(flips=flips, what="label[0]: 7 → 1" if flips else ""),
        segment={"town": town},
    )


def store(stand: Stand) -> None:
    tally = PairTally(
        pairs=12, flips=3.0, overlap=12.0, profile=Profile(labels=("1", "7"), baseline=(0, 12, 0), candidate=(3, 9, 0))
    )
    with stand.database.write() as conn:
        releases.put(conn, replace(release(PLAN), pairs=tally))
        pairs.keep(conn, "rel_1", [pair(n, "Ulm" if n < 4 else "Rom", flips=float(n < 3)) for n in range(12)])


async def test_figures_and_the_worst_pairs(stand: Stand, client: httpx.AsyncClient) -> None:
    store(stand)
    found = (await client.get(HERE, params={"limit": 2})).json()
    assert (found["figures"]["pairs"], found["figures"]["flip_rate"], found["tolerance"]) == (12, 0.25, 0.01)
    assert found["figures"]["psi"] > 0.2
    assert [one["trace_id"] for one in found["pairs"]] == ["tr-0", "tr-1"]
    assert (found["columns"], found["segments"], found["sampled"]) == (["town"], [], 12)


async def test_by_segment(stand: Stand, client: httpx.AsyncClient) -> None:
    store(stand)
    found = (await client.get(HERE, params={"by": "town"})).json()
    assert [(s["value"], s["pairs"], s["rate"]) for s in found["segments"]] == [("Ulm", 4, 0.75), ("Rom", 8, 0)]
    assert len(found["pairs"]) == 3
    inside = (await client.get(HERE, params={"by": "town", "value": "Rom"})).json()
    assert inside["pairs"] == []


async def test_what_there_is_not(stand: Stand, client: httpx.AsyncClient) -> None:
    assert (await client.get(HERE)).status_code == 404
    store(stand)
    wrong = await client.get(HERE, params={"by": "age"})
    assert wrong.status_code == 400
    assert "'age'; there are: town" in wrong.json()["detail"]
