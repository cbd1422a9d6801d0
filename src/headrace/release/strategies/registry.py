"""How each strategy makes its plan."""

from __future__ import annotations

from headrace.release.strategies import ab, blue_green, canary, manual, preview, shadow
from headrace.release.strategies.base import Make
from headrace.types.strategy import Strategy

STRATEGIES: dict[Strategy, Make] = {
    Strategy.CANARY: canary.make,
    Strategy.BLUE_GREEN: blue_green.make,
    Strategy.SHADOW: shadow.make,
    Strategy.AB: ab.make,
    Strategy.MANUAL: manual.make,
    Strategy.PREVIEW: preview.make,
}
