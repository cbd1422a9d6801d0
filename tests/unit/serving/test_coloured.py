"""Calls that come with a colour, or pass an endpoint with a candidate: who is followed, what is told, what goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest
from plane_samples import ROWS_OF_3, ScriptedRuntime, endpoint, package, plan
from test_spine import Plane

from headrace.serving.plain import PlainDialect
from headrace.serving.predict import Request
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.route import bucket
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint
from headrace.types.model import RuntimeKind
from headrace.types.traffic import Reason, TrafficPolicy

HALF = TrafficPolicy(baseline="v1", candidate="v2", share=5000, salt="rel_1")


def front(policy: TrafficPolicy = HALF) -> Endpoint:
    return endpoint(package(1), package(2), policy=policy)


def back(policy: TrafficPolicy = HALF) -> Endpoint:
    return endpoint(package(7, model="back"), package(8, model="back"), name="back", policy=policy)


BACK = replace(HALF, baseline="v7", candidate="v8")


class Chain(Plane):
    async def call(
        self, model: str, colour: str = "", *, user: str = "", headers: Mapping[str, str] | None = None
    ) -> Call:
        request = Request(model=model, wanted=None, user=user, header=(headers or {}).get, colour=colour)
        await self.predictor.predict(request, PlainDialect(msgspec.Raw(b"[[1,2,3]]")))
        return self.journal.calls()[-1]

    def user_of(self, variant: str) -> str:
        """One that the bucket gives this side."""
        low = variant == "v2"
        users = (f"u{n}" for n in range(1000))
        return next(u for u in users if (bucket("rel_1", self.recorder.hashed(u)) < 5000) is low)


async def chain(*endpoints: Endpoint) -> Chain:
    made = Chain()
    await made.serve(*(endpoints or (front(), back(BACK))))
    return made


async def test_an_endpoint_without_a_candidate_tells_nothing() -> None:
    made = await chain(front(TrafficPolicy(baseline="v1", salt="old")))
    call = await made.call("toy", user="ann")
    assert (call.variant, call.reason, call.colour) == ("v1", Reason.BUCKET, "")


async def test_a_decision_is_told_with_its_proof_and_followed_by_the_next_endpoint() -> None:
    made = await chain()
    for side, other in (("v1", "v7"), ("v2", "v8")):
        user = made.user_of(side)
        first = await made.call("toy", user=user)
        assert (first.variant, first.reason, first.counted) == (side, Reason.BUCKET, True)
        assert first.colour.startswith(f"toy={side};b=")
        second = await made.call("back", first.colour, user=user)
        assert (second.variant, second.reason, second.counted) == (other, Reason.COLOUR, True)
        assert second.colour.startswith(f"{first.colour},back={other};b=")


async def test_without_the_user_it_is_followed_and_does_not_count() -> None:
    made = await chain()
    first = await made.call("toy", user=made.user_of("v2"))
    second = await made.call("back", first.colour)
    assert (second.variant, second.reason, second.counted) == ("v8", Reason.COLOUR, False)
    assert second.colour == f"{first.colour},back=v8"


async def test_what_a_caller_makes_up_never_counts() -> None:
    made = await chain()
    for colour in ("toy=v2", "toy=v2;b=0123456789abcdef", "back=v8"):
        call = await made.call("toy", colour, user=made.user_of("v1"))
        assert (call.variant, call.counted) == ("v2", False)


async def test_what_is_not_loaded_is_not_followed() -> None:
    made = await chain()
    user = made.user_of("v1")
    call = await made.call("toy", "toy=v9", user=user)
    assert (call.variant, call.reason, call.counted) == ("v1", Reason.BUCKET, True)
    assert call.colour.startswith("toy=v1;b=")


async def test_a_forced_variant_goes_first_and_is_told() -> None:
    made = await chain()
    call = await made.call("toy", "toy=v2", headers={"x-headrace-variant": "v1"})
    assert (call.variant, call.reason, call.colour) == ("v1", Reason.FORCED, "toy=v1")


async def test_a_colour_goes_through_an_endpoint_that_has_nothing_to_choose() -> None:
    made = await chain(front(TrafficPolicy(baseline="v1")))
    call = await made.call("toy", "other=v3,junk,toy=v0")
    assert (call.variant, call.reason, call.colour) == ("v1", Reason.BUCKET, "other=v3,toy=v1")


async def test_what_goes_on_to_a_service_elsewhere() -> None:
    """Only what is told there: our header, and baggage with the members of others."""
    went: list[dict[str, str] | None] = []

    def service(inputs: Inputs) -> asyncio.Future[Outputs]:
        went.append(inputs.travels)
        found: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        found.set_exception(RuntimeError("asked"))
        return found

    made = Chain()
    elsewhere = ScriptedRuntime({1: service, 2: service})
    made.fleet._runtimes = {RuntimeKind.REMOTE: elsewhere}
    packages = [package(n, signature=ROWS_OF_3, runtime=RuntimeKind.REMOTE) for n in (1, 2)]
    await made.fleet.apply(plan(1, endpoint(*packages, policy=HALF)))
    headers = {"baggage": "tenant=acme, headrace-colour=old%3Dv1", "authorization": "Bearer secret"}
    for colour in ("", "other=v3"):
        with pytest.raises(RuntimeError, match="asked"):
            await made.call("toy", colour, headers=headers)
    first, second = went
    assert first is not None
    assert second is not None
    assert set(first) == set(second) == {"x-headrace-colour", "baggage"}
    assert first["x-headrace-colour"].startswith("toy=v")
    assert second["x-headrace-colour"].startswith("other=v3,toy=v")
    assert second["baggage"].startswith("tenant=acme,headrace-colour=other%3Dv3%2Ctoy%3Dv")
