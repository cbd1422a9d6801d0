"""Chats with models of our own, put to a shadow that is one too: another version, or a chat endpoint's candidate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_samples import FIRST, assistant
from test_native import ASK, TALKS, Place, failing, saying, talking

from headrace.release.pairs import Known, Pairs
from headrace.traffic.meter import Meter
from headrace.traffic.shadow import DROPPED, Outcomes
from headrace.types.call import Call, CallStatus
from headrace.types.endpoint import Capture, Endpoint, Limits
from headrace.types.errors import UpstreamError
from headrace.types.gateway import Chat, Way
from headrace.types.pair import PairRules
from headrace.types.release import Member
from headrace.types.traffic import Shadow, TrafficPolicy

SHADOW = Shadow(variant="v2")
POLICY = TrafficPolicy(baseline="v1", candidate="v2", salt="rel_1", shadow=SHADOW)


def shadowed(**more: Any) -> Endpoint:
    return talking(1, 2, policy=POLICY, **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def copies(place: Place) -> list[Call]:
    return [call for call in place.calls() if call.shadow_of]


@pytest.mark.parametrize("stream", [False, True])
async def test_another_version_is_asked_and_compared(tmp_path: Path, stream: bool) -> None:
    place = await Place(tmp_path, {1: saying("there", "the"), 2: saying("here", "he")}).serve(shadowed())
    await place.ask(ASK | {"stream": stream}, user="ada")
    await until(lambda: len(copies(place)) == 1)
    live, copy = place.calls()
    assert (copy.shadow_of, copy.variant, copy.status) == (live.trace_id, "v2", CallStatus.OK)
    assert (live.output, copy.output) == (["there"], ["here"]), "both as /predict would have written it"
    assert live.spent is not None
    assert not live.spent.alone
    assert copy.spent is not None
    assert (copy.spent.key, copy.spent.cost, [step.name for step in copy.spent.steps]) == ("shadow", 0.25, ["fast"])
    member = Member(endpoint="toy", baseline="v1", candidate="v2", candidate_uri="models:/toy/2")
    rules = PairRules(texts=("answer",), text_distance=0.1)
    watching = Pairs(member, SHADOW, rules, specs=TALKS.outputs, known=Known(), find=lambda trace_id: None, judge=None)
    watching.observe(place.calls())
    told = watching.close().tally
    assert (told.pairs, told.flips, told.lost) == (1, 1, 0)


async def test_masked_endpoints_keep_masked_copies(tmp_path: Path) -> None:
    says = saying("write to ada@example.org")
    place = await Place(tmp_path, {1: says, 2: says}).serve(shadowed(capture=Capture.MASKED))
    await place.ask()
    await until(lambda: len(copies(place)) == 1)
    assert b"ada@example.org" not in b"".join(place.journal.lines)


async def test_a_copy_takes_no_callers_place(tmp_path: Path) -> None:
    inside: list[int] = []

    def looks(inputs: Any) -> Any:
        inside.append(place.fleet.table.lanes["toy"].gate.inside)
        return saying("here")(inputs)

    place = Place(tmp_path, {1: saying("there"), 2: looks})
    await place.serve(shadowed(limits=Limits(max_concurrency=1)))
    inside.clear()  # it was warmed
    await place.ask()
    await until(lambda: len(copies(place)) == 1)
    assert inside == [0]


async def test_what_fails_beside_is_not_held_against_the_live_version(tmp_path: Path) -> None:
    """A chat endpoint whose candidate is a model of ours, which has callers of its own."""
    blamed: list[int] = []

    class Watching:
        variant = "v1"

        def failed(self, rows: int, again: Any) -> None:
            blamed.append(rows)

    place = Place(tmp_path, {1: failing(UpstreamError("away")), 3: saying("live")})
    place.fleet.guard = lambda lane: replace(lane, sentinel=Watching()) if lane.endpoint.name == "toy" else lane  # type: ignore[arg-type]
    first = place.folders.add(Chat(ways=(Way(provider="headrace", model="other"),)))
    second = place.folders.add(Chat(ways=(Way(provider="headrace", model="toy"),)), number=FIRST + 1)
    policy = replace(POLICY, baseline=first.name, candidate=second.name, shadow=Shadow(variant=second.name))
    chat = replace(assistant(first, second), policy=policy)
    await place.serve(talking(1), talking(3, name="other"), chat)
    await place.ask(ASK | {"model": "assistant"})
    await until(lambda: len(copies(place)) == 1)
    (copy,) = copies(place)
    assert (copy.variant, copy.status, "away" in copy.error) == (second.name, CallStatus.FAILED, True)
    assert blamed == []
    with pytest.raises(UpstreamError):
        await place.ask()
    assert blamed == [1], "of a caller's own it is"


def test_calls_that_wait_in_both_ways_are_one_figure() -> None:
    outcomes = Outcomes(Meter())
    outcomes.count("toy", "v2", DROPPED)
    outcomes.queues += [lambda: [("toy", 2), ("other", 1)], lambda: [("toy", 3)]]
    found = [(labels["endpoint"], value) for name, labels, value in outcomes._readings() if "queued" in name]
    assert found == [("other", 1), ("toy", 5)]
