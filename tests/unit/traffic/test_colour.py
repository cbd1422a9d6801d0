"""Colours: what was decided goes on with the request; who follows it, and when that may count."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plane_samples import recorder

from headrace.traffic import colour
from headrace.traffic.colour import Here, Mark, added, follow, mark, packed, read, told, travels, write
from headrace.traffic.route import bucket
from headrace.types.traffic import BUCKETS, Decision, Reason, TrafficPolicy

PROVE = recorder().proof
CANARY = TrafficPolicy(baseline="v1", candidate="v2", share=5000, salt="rel_1")
OWN = Decision(variant="v1", reason=Reason.BUCKET, sticky=True, counted=True)
LOW = next(f"u{n}" for n in range(1000) if bucket("rel_1", f"u{n}") < 5000)  # has the candidate
HIGH = next(f"u{n}" for n in range(1000) if bucket("rel_1", f"u{n}") >= 5000)


def here(unit: str = LOW, **changes: object) -> Here:
    made = Here(
        endpoint="digits",
        policy=CANARY,
        loaded={"v1", "v2"},
        others={"scores": replace(CANARY, baseline="s1", candidate="s2")}.get,
        unit=unit,
        prove=PROVE,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def proven(endpoint: str, variant: str, unit: str) -> Mark:
    return Mark(endpoint=endpoint, variant=variant, proof=PROVE("rel_1", endpoint, variant, unit))


def test_the_variant_that_is_told_is_followed() -> None:
    found = follow((Mark(endpoint="digits", variant="v2"),), OWN, here())
    assert found == Decision(variant="v2", reason=Reason.COLOUR, sticky=True, counted=False)


def test_a_variant_that_is_not_loaded_is_not_followed() -> None:
    assert follow((Mark(endpoint="digits", variant="v9"),), OWN, here()) == OWN


def test_a_colour_of_others_is_not_for_us() -> None:
    assert follow((Mark(endpoint="other", variant="v2"),), OWN, here()) == OWN
    assert follow((), OWN, here()) == OWN


@pytest.mark.parametrize("reason", [Reason.FORCED, Reason.PINNED])
def test_what_the_caller_names_goes_first(reason: Reason) -> None:
    named = replace(OWN, reason=reason, counted=False)
    assert follow((Mark(endpoint="digits", variant="v2"),), named, here()) == named


@pytest.mark.parametrize("reason", [Reason.RULE, Reason.HOLDOUT, Reason.BUCKET])
def test_it_goes_before_rules_holdout_and_bucket(reason: Reason) -> None:
    assert follow((Mark(endpoint="digits", variant="v2"),), replace(OWN, reason=reason), here()).variant == "v2"


def test_endpoints_of_one_release_take_the_same_side() -> None:
    assert follow((Mark(endpoint="scores", variant="s2"),), OWN, here()).variant == "v2"
    assert follow((Mark(endpoint="scores", variant="s1"),), replace(OWN, variant="v2"), here()).variant == "v1"
    newest = (Mark(endpoint="scores", variant="s1"), Mark(endpoint="digits", variant="v2"))
    assert follow(newest, OWN, here()).variant == "v2", "what is told for the endpoint itself goes first"


@pytest.mark.parametrize(
    "other",
    [
        None,
        replace(CANARY, baseline="s1", candidate="s2", salt="rel_2"),
        replace(CANARY, baseline="s1", candidate=""),
        replace(CANARY, baseline="s0", candidate="s9"),
    ],
    ids=["not here", "another release", "no release", "neither side"],
)
def test_endpoints_of_other_releases_say_nothing(other: TrafficPolicy | None) -> None:
    marks = (Mark(endpoint="scores", variant="s2"),)
    assert follow(marks, OWN, here(others=lambda _: other)) == OWN


def test_without_a_release_of_our_own_there_is_no_side_to_take() -> None:
    policy = TrafficPolicy(baseline="v1")
    assert follow((Mark(endpoint="scores", variant="s2"),), OWN, here(policy=policy)) == OWN


def test_what_a_bucket_decided_for_this_unit_counts() -> None:
    for marks in ((proven("digits", "v2", LOW),), (proven("scores", "s2", LOW),)):
        assert follow(marks, OWN, here()) == Decision(variant="v2", reason=Reason.COLOUR, sticky=True, counted=True)
    assert follow((proven("digits", "v1", HIGH),), OWN, here(HIGH)).counted


def test_a_proof_is_for_one_unit_variant_endpoint_and_salt() -> None:
    forged = [
        proven("digits", "v2", HIGH),  # of another unit
        Mark(endpoint="digits", variant="v2", proof=PROVE("rel_1", "digits", "v1", LOW)),
        Mark(endpoint="digits", variant="v2", proof=PROVE("rel_1", "scores", "v2", LOW)),
        Mark(endpoint="digits", variant="v2", proof=PROVE("rel_0", "digits", "v2", LOW)),
        Mark(endpoint="digits", variant="v2", proof="0" * 16),
        Mark(endpoint="digits", variant="v2"),
    ]
    for one in forged:
        found = follow((one,), OWN, here())
        assert (found.variant, found.counted) == ("v2", False)


def test_what_this_plan_would_not_give_by_chance_does_not_count() -> None:
    """It was decided under another share, before it moved on the way."""
    assert not follow((proven("digits", "v1", LOW),), OWN, here()).counted
    assert not follow((proven("digits", "v2", LOW),), OWN, here(policy=replace(CANARY, share=0))).counted
    assert not follow((proven("digits", "v2", LOW),), OWN, here(policy=replace(CANARY, salt=""))).counted


def test_the_own_decision_is_told_with_its_proof() -> None:
    given_ = {"endpoint": "digits", "policy": CANARY, "unit": LOW, "prove": PROVE}
    assert mark(OWN, **given_) == proven("digits", "v1", LOW)
    assert mark(replace(OWN, counted=False), **given_) == Mark(endpoint="digits", variant="v1")
    assert mark(OWN, **given_ | {"policy": TrafficPolicy(baseline="v1", salt="s")}).proof == ""


@given(st.booleans(), st.sampled_from([CANARY, TrafficPolicy(baseline="v1"), replace(CANARY, salt="")]))
def test_a_decision_alone_is_written_as_any_other(counted: bool, policy: TrafficPolicy) -> None:
    given_ = {"endpoint": "digits", "policy": policy, "unit": LOW, "prove": PROVE}
    decision = replace(OWN, counted=counted)
    assert colour.alone(decision, **given_) == write((mark(decision, **given_),))


def test_a_decision_takes_the_place_of_an_older_one() -> None:
    marks = (Mark(endpoint="digits", variant="v1"), Mark(endpoint="b", variant="v7"))
    assert write(added(marks, proven("digits", "v2", LOW))).startswith("b=v7,digits=v2;b=")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("digits=v2", "digits=v2"),
        (" digits=v2 ,, b=v1;b=0123456789abcdef,", "digits=v2,b=v1;b=0123456789abcdef"),
        ("digits=v1,b=v1,digits=v2", "b=v1,digits=v2"),
        ("digits", ""),
        ("digits=", ""),
        ("=v1", ""),
        ("digits=v2;b=xyz", ""),
        ("digits=v2;c=1", ""),
        ("dig its=v2", ""),
        ("digits=v2\r\nx-admin: 1", ""),
        ("é=v2,b=v1", "b=v1"),
        ("a=" + "v" * 101, ""),
    ],
)
def test_what_cannot_be_read_is_left_out(text: str, wanted: str) -> None:
    assert write(read(text)) == wanted


def test_a_colour_has_a_bound() -> None:
    many = tuple(Mark(endpoint=f"e{n:03d}".ljust(90, "x"), variant="v1") for n in range(60))
    text = write(many)
    assert len(text) <= colour.MAX_TEXT
    assert read(text)[-1] == many[-1], "the oldest ones go first"
    assert len(read(",".join(f"e{n}=v1" for n in range(100)))) == colour.MAX_MARKS


def test_it_comes_in_its_header_or_in_baggage() -> None:
    assert told("digits=v2", "headrace-colour=digits%3Dv1") == "digits=v2"
    assert told(None, "user=ann;p=1, headrace-colour = digits%3Dv2%3Bb%3D0123456789abcdef;ttl=3 ,x=y") == (
        "digits=v2;b=0123456789abcdef"
    )
    assert told(None, "user=ann") == told("", None) == ""


def test_members_of_others_stay_as_they_are() -> None:
    before = "user=ann;prop=1, headrace-colour=old%3Dv1 , empty=, a=%C3%A9"
    assert packed(before, "digits=v2") == "user=ann;prop=1,empty=,a=%C3%A9,headrace-colour=digits%3Dv2"
    assert packed(None, "digits=v2") == "headrace-colour=digits%3Dv2"
    assert travels("a=b", "digits=v2") == {
        "x-headrace-colour": "digits=v2",
        "baggage": "a=b,headrace-colour=digits%3Dv2",
    }


def test_baggage_that_is_full_goes_without_ours() -> None:
    full = "a=" + "x" * (colour.MAX_BAGGAGE - 20)
    assert packed(full, "digits=v2") == full
    many = ",".join(f"m{n}=1" for n in range(colour.MAX_MEMBERS))
    assert packed(many, "digits=v2") == many


_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)
_MARKS = st.lists(
    st.builds(Mark, endpoint=_NAMES, variant=_NAMES, proof=st.sampled_from(["", "0123456789abcdef"])),
    max_size=20,
    unique_by=lambda m: m.endpoint,
).map(tuple)


@given(_MARKS)
def test_what_is_written_reads_back_by_either_way(marks: tuple[Mark, ...]) -> None:
    text = write(marks)
    assert read(text) == marks[len(marks) - len(read(text)) :]
    assert told(None, packed("x=y", text)) == text
    assert unquote(packed(None, text)).endswith(text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_breaks_a_request(header: str, baggage: str) -> None:
    text = write(read(told(header, baggage)))
    assert "\r" not in text
    assert "\n" not in text
    assert text.isascii()


@given(st.text(min_size=1, max_size=20), st.integers(0, BUCKETS))
def test_following_the_own_decision_changes_nothing(unit: str, share: int) -> None:
    """An endpoint that is called twice on one way, or two of one release: the same side, and it counts all the same."""
    policy = replace(CANARY, share=share)
    variant = "v2" if bucket("rel_1", unit) < share else "v1"
    own = replace(OWN, variant=variant)
    again = follow(
        (mark(own, endpoint="digits", policy=policy, unit=unit, prove=PROVE),), own, here(unit, policy=policy)
    )
    assert (again.variant, again.counted) == (variant, True)
