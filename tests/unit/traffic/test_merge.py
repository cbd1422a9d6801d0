"""Many workers, one set of numbers: as if one process had counted all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.merge import merge
from headrace.traffic.meter import Figures, Meter, prometheus, snapshot
from headrace.types.call import CallStatus

calls = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(("toy", "other")),
        st.sampled_from(("v1", "v2")),
        st.sampled_from((CallStatus.OK, CallStatus.SHED)),
        st.integers(1, 60).map(lambda ms: ms / 1024),
    ),
    max_size=40,
)


@given(calls)
def test_the_sum_is_what_one_process_would_have_counted(made: list[tuple[int, str, str, CallStatus, float]]) -> None:
    workers, one = [Meter() for _ in range(3)], Meter()
    for worker, endpoint, variant, status, seconds in made:
        for meter in (workers[worker], one):
            meter.call(endpoint, variant, status, seconds=seconds, run_seconds=seconds / 2, rows=2)
            meter.count("headrace_feedback_total", variant)
    parts = [meter.figures() for meter in workers]
    before = [prometheus(part) for part in parts]
    assert prometheus(merge(parts)) == prometheus(one.figures())
    assert snapshot(merge(reversed(parts))) == snapshot(one.figures())
    assert [prometheus(part) for part in parts] == before


def test_a_gauge_is_what_it_means_for_all() -> None:
    first = Figures({}, [("headrace_plan_revision", {}, 4), ("headrace_inside", {"endpoint": "toy"}, 2)])
    second = Figures({}, [("headrace_plan_revision", {}, 5), ("headrace_inside", {"endpoint": "toy"}, 3)])
    third = Figures({}, [("headrace_plan_refused", {}, 6), ("headrace_inside", {"endpoint": "other"}, 1)])
    found = {(name, *labels.values()): value for name, labels, value in merge([first, second, third]).readings}
    assert found == {
        ("headrace_plan_revision",): 4,
        ("headrace_plan_refused",): 6,
        ("headrace_inside", "toy"): 5,
        ("headrace_inside", "other"): 1,
    }
