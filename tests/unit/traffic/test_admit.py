"""The gate."""

from __future__ import annotations

import pytest

from headrace.traffic.admit import Gate
from headrace.types.errors import Overloaded


def test_the_gate_refuses_above_its_limit_and_opens_again() -> None:
    gate = Gate("toy", 2)
    gate.enter()
    gate.enter()
    with pytest.raises(Overloaded, match="'toy' already has 2") as caught:
        gate.enter()
    assert caught.value.retry_after
    gate.leave()
    gate.enter()
    assert gate.inside == 2
