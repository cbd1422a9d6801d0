"""From calls to pairs: who belongs to whom, what counts, what is kept, and how much memory that may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import START, call, release

from headrace.release import pairs as module
from headrace.release.pairs import DROPPED, ClosedPairs, Known, Pairs, draw_of, milliseconds
from headrace.release.profile import FIRST, bins_of, counted, merged, psi
from headrace.traffic.route import shadowed
from headrace.types.call import Call, CallStatus, PlaneEvent
from headrace.types.model import Datatype, TensorSpec
from headrace.types.pair import PairRules, PairTally, Profile
from headrace.types.traffic import BUCKETS, Reason, Shadow

LABEL = TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,))
SCORES = TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 2))
SHADOW = Shadow(variant="v2")


def nothing(trace_id: str) -> Call | None:
    del trace_id
    return None


def pairing(
    shadow: Shadow = SHADOW,
    *,
    find: Callable[[str], Call | None] = nothing,
    known: Known | None = None,
    **rules: Any,
) -> Pairs:
    return Pairs(
        release().members[0], shadow, PairRules(**rules), specs=(LABEL, SCORES), known=known or Known(), find=find
    )


def shadow_of(of: Call, **changes: Any) -> Call:
    made = call("nobody", candidate=True, at=of.time - START + 0.01, counted=False, sticky=False)
    return replace(made, **{"shadow_of": of.trace_id, "rows": of.rows, "revision": of.revision, **changes})


def pair(unit: str, *, at: float = 1.0, before: Any = 7, after: Any = 7, **changes: Any) -> list[Call]:
    live = call(unit, at=at, output=[before], revision=changes.pop("revision", 0))
    return [live, shadow_of(live, output=[after], **changes)]


def closed(*calls: Call, **how: Any) -> ClosedPairs:
    found = pairing(**how)
    found.observe(calls)
    return found.close()


def test_a_pair_is_two_calls_of_one_request() -> None:
    both = pair("ann", run_ms=2.0)
    found = closed(*both)
    told = found.tally
    assert (told.pairs, told.flips, told.tested, told.differing) == (1, 0, 1, 0)
    assert found.fresh == {"ann"}
    assert closed(both[1], both[0]).tally == told, "whichever comes first"
    (bin_number,) = told.candidate_ms
    assert 1.7 < milliseconds(bin_number) < 2.4


def test_a_flip_counts_once_for_a_user_and_always_as_a_pair() -> None:
    calls = [*pair("ann", after=1), *pair("ann", at=2, after=1), *pair("bob", at=3)]
    told = closed(*calls).tally
    assert (told.pairs, told.flips) == (3, 2)
    assert (told.tested, told.differing) == (2, 1)
    again = closed(*pair("ann", after=1), known=Known(tested={"ann"}))
    assert (again.tally.tested, again.fresh) == (0, set())


def test_calls_without_a_user_are_units_that_need_not_be_kept() -> None:
    both = [replace(one, sticky=False) for one in pair("tr-x", after=1)]
    found = closed(*both)
    assert (found.tally.tested, found.tally.differing, found.fresh) == (1, 1, set())


def test_no_answer_differs_too_and_is_counted_apart() -> None:
    calls = [
        *pair("ann", status=CallStatus.FAILED, error="it broke"),
        *pair("bob", at=2, status=CallStatus.TIMEOUT),
        *pair("cat", at=3, status=CallStatus.REJECTED, error="inputs: too short"),
    ]
    found = closed(*calls)
    told = found.tally
    assert (told.pairs, told.candidate_errors, told.refused, told.failures_in_row) == (0, 3, 1, 3)
    assert (told.tested, told.differing) == (3, 3)
    assert [kept.error for kept in found.kept] == ["it broke", "", "inputs: too short"]
    assert closed(*calls, *pair("dan", at=4)).tally.failures_in_row == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "other"},
        {"variant": "v2"},
        {"status": CallStatus.FAILED},
        {"reason": Reason.FORCED},
        {"reason": Reason.PINNED},
    ],
)
def test_calls_that_no_shadow_is_due_for(changes: dict[str, Any]) -> None:
    watching = pairing()
    watching.observe([replace(call("ann"), **changes), call("bob", at=100)])
    assert watching.close().tally.lost == 0


def test_a_shadow_of_something_else_is_none_of_ours() -> None:
    live, other = pair("ann")
    assert closed(live, replace(other, variant="v9")).tally.pairs == 0


def test_a_share_of_calls_is_due() -> None:
    some = Shadow(variant="v2", share=BUCKETS // 4, salt="rel_1")
    calls = [call(f"u{n}", at=n / 100, revision=4) for n in range(400)]
    due = [one for one in calls if shadowed(some, one.trace_id)]
    assert 60 < len(due) < 140
    watching = pairing(some)
    watching.observe([*calls, shadow_of(due[0], output=[7]), call("late", at=100)])
    told = watching.close().tally
    assert (told.pairs, told.lost) == (1, len(due) - 1), "only those wait, and are lost when nothing comes"


def test_calls_from_before_the_first_shadow_were_due_for_none() -> None:
    before, after = call("ann", revision=3), call("bob", at=2, revision=4)
    watching = pairing()
    watching.observe([before, *pair("cat", at=3, revision=4), after, call("late", at=100)])
    assert watching.close().tally.lost == 1


def test_one_row_stands_for_all_of_a_call() -> None:
    """Half of the rows flip: so does half of such calls."""
    watching = pairing()
    for n in range(400):
        live = call(f"u{n}", at=n / 100, output=[1, 2], rows=2)
        watching.observe([live, shadow_of(live, output=[1, 3])])
    told = watching.close().tally
    assert (told.pairs, told.flips, told.tested) == (400, 200, 400)
    assert 150 < told.differing < 250


def test_a_call_from_before_is_looked_up_a_bounded_number_of_times() -> None:
    asked: list[str] = []
    live, late = pair("ann")

    def find(trace_id: str) -> Call | None:
        asked.append(trace_id)
        return live if trace_id == live.trace_id else None

    assert closed(late, find=find).tally.pairs == 1
    strays = [replace(late, shadow_of=f"tr-{n}") for n in range(module.LOOK_UPS + 20)]
    closed(*strays, find=find)
    assert len(asked) == 1 + module.LOOK_UPS


def test_what_waits_is_bounded_in_calls_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 10)
    watching = pairing()
    calls = [call(f"u{n}", at=n / 1000, revision=4) for n in range(30)]
    watching.observe([*pair("first", at=0, revision=4), *calls])
    watching.observe([shadow_of(calls[-1], output=[7]), shadow_of(calls[0], output=[7])])
    told = watching.close().tally
    assert (told.pairs, told.lost) == (2, 20)
    monkeypatch.setattr(module, "WAITING_ROWS", 100)
    batches = [replace(one, rows=40) for one in calls[:4]]
    assert closed(*pair("first", at=0, revision=4), *batches).tally.lost == 2


def test_data_planes_tell_what_they_dropped() -> None:
    def event(**changes: Any) -> PlaneEvent:
        made = PlaneEvent(time=START, plane="data-1", name=DROPPED, endpoint="digits", variant="v2", count=5)
        return replace(made, **changes)

    watching = pairing()
    watching.observe([event(), event(count=2), event(variant="v9"), event(name="journal.lost")])
    assert watching.close().tally.dropped == 7
    assert watching.close().tally == PairTally()


def test_other_outputs_are_compared_from_what_the_shadow_keeps() -> None:
    beside = {"outputs": {"scores": [[[0.2, 0.8]], [[0.4, 0.6]]]}, "attributes": {"x-tenant": "a"}}
    found = closed(*pair("ann", beside=beside))
    assert (found.tally.deviating, found.tally.unequal, found.tally.flips) == (1, 1, 0)
    assert found.kept[0].segment == {"x-tenant": "a"}
    assert closed(*pair("ann", beside={"outputs": {"scores": "?"}})).tally.unequal == 0


def test_without_captured_answers_errors_and_times_remain() -> None:
    live, late = pair("ann", run_ms=1.0)
    told = closed(replace(live, output=None), replace(late, output=None)).tally
    assert (told.pairs, told.flips, sum(told.candidate_ms.values())) == (1, 0, 1)


@pytest.mark.parametrize(
    ("given_input", "segment"),
    [
        ([{"age": 3, "town": "Ulm"}, {"age": 4, "town": "Rom"}], {"age": 4, "town": "Rom"}),
        ({"age": [3, 4], "town": ["Ulm", "Rom"]}, {"age": 4, "town": "Rom"}),
        ([[1, 2], [3, 4]], {}),
        ({"a": 1}, {"a": 1}),
        ([{"a": 1}], {}),
        ("?", {}),
    ],
)
def test_a_pair_is_seen_by_the_columns_of_its_worst_row(given_input: Any, segment: dict[str, Any]) -> None:
    live = replace(call("ann", output=[7, 7]), input=given_input, rows=2)
    (kept,) = closed(live, shadow_of(live, output=[7, 1])).kept
    assert kept.segment == segment
    assert (kept.baseline_output, kept.candidate_output, kept.difference.row) == (7, 1, 1)


def test_the_worst_and_a_fair_sample_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORST", 3)
    monkeypatch.setattr(module, "SAMPLE", 5)
    calls = [one for n in range(100) for one in pair(f"u{n}", at=n / 10, after=1 if n in (50, 60) else 7)]
    watching = pairing()
    kept = []
    for start in range(0, len(calls), 20):
        watching.observe(calls[start : start + 20])
        kept += watching.close().kept
    by_draw = sorted(draw_of(one.trace_id) for one in calls if not one.shadow_of)
    assert set(by_draw[:5]) <= {one.draw for one in kept}
    assert [one.trace_id for one in kept if one.severity > 0] == [calls[100].trace_id, calls[120].trace_id]
    assert len(kept) < 40, "what cannot stay is not written"


Orders = st.permutations([one for n in range(6) for one in pair(f"u{n % 4}", at=n, after=1 if n == 2 else 7)])


@given(Orders)
def test_no_order_of_arrival_makes_a_difference_to_the_pairs(calls: list[Call]) -> None:
    found = closed(*calls)
    assert (found.tally.pairs, found.tally.flips, found.tally.lost) == (6, 1, 0)
    assert found.tally.tested == 4


def test_a_profile_is_fixed_by_the_first_answers_and_counts_all() -> None:
    watching = pairing()
    for n in range(FIRST):
        watching.observe(pair(f"u{n}", at=n / 100, before=n % 2, after=0))
        if n == FIRST // 2:
            assert watching.close().tally.profile == Profile()
    found = watching.close().tally.profile
    assert (found.labels, found.baseline, found.candidate) == (("0", "1"), (100, 100, 0), (200, 0, 0))
    known = Known(profile=found)
    (later,) = [closed(*pair("ann", before=1, after=5), known=known).tally.profile]
    assert (later.baseline, later.candidate) == ((0, 1, 0), (0, 0, 1))


def test_population_stability() -> None:
    bins = bins_of([float(n) for n in range(100)])
    assert len(bins.edges) == 9
    same = counted(bins, [float(n) for n in range(100)], [float(n) + 0.1 for n in range(100)])
    moved = counted(bins, [float(n) for n in range(100)], [float(n) + 50 for n in range(100)])
    assert psi(bins) is None
    assert psi(same) == pytest.approx(0, abs=1e-9)
    assert (psi(moved) or 0) > 1
    assert merged(same, Profile()) == same
    assert merged(Profile(), same) == same
    assert merged(same, same).baseline == tuple(2 * n for n in same.baseline)
    assert bins_of([1.0] * 5).edges == (1.0,)
    assert bins_of(["a"] * 3 + ["b"]).labels == ("a", "b")
