"""Routing: the order of precedence, and that a widened share moves nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.route import bucket, decide, selector
from headrace.types.errors import BadInput, NotFound
from headrace.types.traffic import BUCKETS, Decision, Reason, Rule, TrafficPolicy

GOLDEN = Path(__file__).parents[2] / "golden" / "buckets.json"
SELECTORS = {"1": "v1", "2": "v2", "Staging": "v2", "@champion": "v1"}
CANARY = Rule(variant="v2", header=("x-canary", "true"))
units = st.text(min_size=1, max_size=40)
shares = st.integers(0, BUCKETS)


def route(
    policy: TrafficPolicy,
    unit: str = "u",
    *,
    headers: Mapping[str, str] | None = None,
    wanted: str | None = None,
    sticky: bool = True,
) -> Decision:
    found = headers or {}
    return decide(policy, unit=unit, sticky=sticky, header=found.get, selectors=SELECTORS, wanted=wanted)


def policy(share: int = 0, *, rules: tuple[Rule, ...] = (), holdout: int = 0) -> TrafficPolicy:
    return TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="s", rules=rules, holdout=holdout)


@given(unit=units, share=shares, more=shares)
def test_widening_moves_nobody_off_the_candidate(unit: str, share: int, more: int) -> None:
    narrow, wide = sorted((share, more))
    if route(policy(narrow), unit).variant == "v2":
        assert route(policy(wide), unit).variant == "v2"


@given(unit=units, share=shares, holdout=shares, sticky=st.booleans())
def test_the_same_unit_goes_the_same_way_and_to_a_variant_of_the_policy(
    unit: str, share: int, holdout: int, sticky: bool
) -> None:
    first = route(policy(share, holdout=holdout), unit, sticky=sticky)
    assert first == route(policy(share, holdout=holdout), unit, sticky=sticky)
    assert first.variant in ("v1", "v2")
    assert first.counted == (first.reason is Reason.BUCKET)


@given(unit=units)
def test_no_share_and_the_whole_share(unit: str) -> None:
    assert route(policy(0), unit).variant == "v1"
    assert route(policy(BUCKETS), unit).variant == "v2"


def test_a_share_gets_about_its_part_and_salts_are_independent() -> None:
    users = [f"user-{n}" for n in range(20_000)]
    hit = [bucket("one", u) < 1_000 for u in users]
    other = [bucket("two", u) < 1_000 for u in users]
    assert 0.09 < sum(hit) / len(users) < 0.11
    assert 0.005 < sum(a and b for a, b in zip(hit, other, strict=True)) / len(users) < 0.015


def test_conformance_vectors() -> None:
    vectors = json.loads(GOLDEN.read_text())["vectors"]
    assert len(vectors) >= 20
    assert [bucket(v["salt"], v["unit"]) for v in vectors] == [v["bucket"] for v in vectors]


def test_forced_comes_before_everything() -> None:
    found = route(policy(BUCKETS, rules=(CANARY,)), headers={"x-headrace-variant": "v1", "x-canary": "true"})
    assert (found.variant, found.reason, found.counted) == ("v1", Reason.FORCED, False)


@pytest.mark.parametrize(
    ("wanted", "expected"), [("2", "v2"), ("Staging", "v2"), ("@champion", "v1"), ("champion", "v1")]
)
def test_a_pin_comes_before_rules_and_is_not_counted(wanted: str, expected: str) -> None:
    found = route(policy(BUCKETS, rules=(CANARY,)), headers={"x-canary": "true"}, wanted=wanted)
    assert (found.variant, found.reason, found.counted) == (expected, Reason.PINNED, False)


def test_a_pin_and_a_forced_variant_that_disagree_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'v1'.*'v2'") as caught:
        route(policy(), headers={"x-headrace-variant": "v1"}, wanted="2")
    assert caught.value.field == "x-headrace-variant"
    assert route(policy(), headers={"x-headrace-variant": "v2"}, wanted="2").variant == "v2"


def test_an_unknown_pin_says_what_there_is() -> None:
    with pytest.raises(NotFound, match=r"'9'.*1, 2, @champion, Production, Staging") as caught:
        route(policy(), wanted="9")
    assert caught.value.field == "version"


def test_a_header_rule_matches_its_value_only() -> None:
    held = policy(rules=(CANARY,), holdout=BUCKETS)
    assert route(held, headers={"x-canary": "true"}) == Decision(
        variant="v2", reason=Reason.RULE, sticky=True, counted=False
    )
    assert route(held, headers={"x-canary": "false"}).reason is Reason.HOLDOUT


def test_an_allow_list_matches_its_units_only() -> None:
    listed = policy(rules=(Rule(variant="v2", units=("alice",)),))
    assert (route(listed, "alice").variant, route(listed, "bob").variant) == ("v2", "v1")


def test_a_held_out_unit_stays_on_the_baseline_uncounted() -> None:
    found = route(policy(BUCKETS, holdout=BUCKETS))
    assert (found.variant, found.reason, found.counted) == ("v1", Reason.HOLDOUT, False)


def test_holdout_does_not_follow_the_share() -> None:
    """Its own salt: who is held out is not who would have had the candidate first."""
    half = policy(BUCKETS // 2, holdout=BUCKETS // 2)
    reasons = [route(half, f"u{n}") for n in range(2_000)]
    rest = [r for r in reasons if r.reason is Reason.BUCKET]
    assert 0.4 < sum(r.variant == "v2" for r in rest) / len(rest) < 0.6


def test_a_request_without_a_user_is_counted_and_flagged() -> None:
    found = route(policy(), sticky=False)
    assert (found.sticky, found.counted) == (False, True)


@pytest.mark.parametrize(
    ("stage", "version", "expected"),
    [
        (None, None, None),
        ("Production", None, None),
        ("production", None, None),
        ("staging", None, "Staging"),
        ("@champion", None, "@champion"),
        ("champion", None, "champion"),
        (None, 3, "3"),
        (None, "3", "3"),
    ],
)
def test_what_stage_and_version_pin(stage: str | None, version: int | str | None, expected: str | None) -> None:
    assert selector(stage, version) == expected


def test_stage_and_version_together_are_refused() -> None:
    with pytest.raises(BadInput, match="version 3 and stage 'Staging'"):
        selector("Staging", 3)
