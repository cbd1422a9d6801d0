"""One line per call: who the unit is, how much is kept, and that the line reads back as a Call."""

from __future__ import annotations

import json

import msgspec
import pytest
from plane_samples import KEY, MemoryJournal, recorder

from headrace.base.clock import ManualClock
from headrace.base.ids import keyed_hash
from headrace.traffic.record import CAPTURE_LIMIT, Open
from headrace.types.call import CallStatus
from headrace.types.traffic import Decision, Reason

CHOSEN = Decision(variant="v2", reason=Reason.RULE, sticky=True, counted=False)


def opened(user: str = "alice") -> tuple[MemoryJournal, ManualClock, Open]:
    journal, clock = MemoryJournal(), ManualClock()
    found = recorder(journal, clock)
    call = found.open("toy", protocol="predict", revision=7, user=user, parent="00-abc")
    call.routed(CHOSEN, 2)
    call.rows = 1
    call.input, call.output = found.kept(msgspec.Raw(b"[[1,\n 2]]")), found.kept(b"[0]")
    began = clock.steady()
    clock.move(0.005)
    found.close(call, CallStatus.OK, began=began, run_seconds=0.002)
    return journal, clock, call


def test_the_line_reads_back_as_what_was_filled_in() -> None:
    journal, clock, _ = opened()
    (line,) = journal.lines
    assert line.count(b"\n") == 1
    (call,) = journal.calls()
    assert call.time == clock.now() - 0.005
    assert (call.endpoint, call.variant, call.version, call.revision) == ("toy", "v2", 2, 7)
    assert (call.status, call.latency_ms, call.run_ms, call.rows) == (CallStatus.OK, 5.0, 2.0, 1)
    assert (call.reason, call.counted, call.sticky, call.parent, call.colour) == (
        Reason.RULE,
        False,
        True,
        "00-abc",
        "",
    )
    assert (call.input, call.output) == ([[1, 2]], [0])


def test_a_user_is_a_keyed_hash_everywhere() -> None:
    journal, _, _ = opened("alice@example.org")
    assert b"alice" not in journal.lines[0]
    assert journal.calls()[0].unit == keyed_hash(KEY, "alice@example.org")


def test_without_a_user_each_call_is_its_own_unit() -> None:
    found = recorder()
    calls = [found.open("toy", protocol="predict", revision=1, user="", parent="") for _ in range(50)]
    assert len({call.unit for call in calls}) == 50
    assert not any(call.sticky for call in calls)


def test_what_is_too_large_is_left_out_and_counted() -> None:
    found = recorder()
    assert bytes(found.kept(b" " * (CAPTURE_LIMIT + 1))) == b"null"
    assert len(found.kept(b" " * CAPTURE_LIMIT)) == CAPTURE_LIMIT
    assert found.meter.counters["headrace_capture_dropped_total", ""] == 1


def test_an_error_is_cut() -> None:
    journal = MemoryJournal()
    found = recorder(journal)
    call = found.open("toy", protocol="v2", revision=1, user="", parent="")
    found.close(call, CallStatus.FAILED, began=0.0, error="x" * 5_000)
    (kept,) = journal.calls()
    assert (len(kept.error), kept.protocol, kept.input, kept.variant) == (1_000, "v2", None, "")


@pytest.mark.parametrize("field", ["trace_id", "unit", "counted", "reason"])
def test_fields_that_readers_need_are_never_left_out(field: str) -> None:
    journal, _, _ = opened()
    assert field in json.loads(journal.lines[0])["call"]
