"""How an endpoint runs: what may be changed, between which bounds, and that the rest stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plane_samples import endpoint, package

from headrace.release.configure import configured, told_changes
from headrace.types.endpoint import Batching, Cache, Capture, Limits, TimeoutAction
from headrace.types.errors import BadInput

TOY = replace(endpoint(package(1)), batching=Batching(max_queue_size=7))


def test_what_is_given_changes_and_the_rest_stays() -> None:
    made = configured(
        TOY,
        {
            "batching": {"max_batch_size": 8, "preferred_batch_size": [2, 4], "timeout_action": "DELAY"},
            "cache": {"size_mb": 5},
            "limits": {"timeout_ms": 100},
            "capture": "none",
        },
    )
    assert made.batching == Batching(
        max_queue_size=7, max_batch_size=8, preferred_batch_size=(2, 4), timeout_action=TimeoutAction.DELAY
    )
    assert (made.cache, made.limits, made.capture) == (Cache(size_mb=5), Limits(timeout_ms=100), Capture.NONE)
    assert replace(made, batching=TOY.batching, cache=TOY.cache, limits=TOY.limits, capture=TOY.capture) == TOY
    assert told_changes(TOY, made) == (
        "batching.max_batch_size 64 → 8, batching.preferred_batch_size [] → [2, 4], batching.timeout_action REJECT → "
        "DELAY, cache.size_mb 0 → 5, limits.timeout_ms 30000 → 100, capture full → none"
    )


def test_nothing_is_no_change() -> None:
    assert configured(TOY, {}) == TOY
    assert told_changes(TOY, configured(TOY, {"limits": {"timeout_ms": 30_000}})) == ""


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        (
            {"colour": 1},
            "colour",
            "no setting 'colour' of an endpoint; there are: batching, cache, limits, gates, failover, approvals",
        ),
        ({"batching": 3}, "batching", "is an object of settings"),
        ({"batching": {"size": 3}}, "batching.size", "no setting batching.size; there are: allow_timeout_override"),
        ({"batching": {"max_batch_size": "many"}}, "batching", "Expected 'int', got 'str'"),
        ({"batching": {"max_batch_size": -1}}, "batching.max_batch_size", "is -1; allowed: 0 to 1,000,000"),
        ({"batching": {"preferred_batch_size": [0]}}, "batching.preferred_batch_size", "sizes from 1"),
        ({"batching": {"default_priority_level": 2, "priority_levels": 1}}, "batching.default_priority_level", "1"),
        ({"batching": {"timeout_action": "WAIT"}}, "batching", "Invalid enum value 'WAIT'"),
        ({"cache": {"ttl_seconds": -1}}, "cache.ttl_seconds", "allowed: 0 to"),
        ({"limits": {"timeout_ms": 0}}, "limits.timeout_ms", "is 0; allowed: 1 to 86,400,000"),
        ({"capture": "some"}, "capture", "'some'; allowed: full, masked, none"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        configured(TOY, changes)
    assert caught.value.field == field
    assert told in caught.value.message
