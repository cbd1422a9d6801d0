"""What a call cost. Pure: tokens by bucket times their prices."""

from __future__ import annotations

from headrace.types.gateway import MILLION, Price, Usage


def cost_of(usage: Usage, price: Price | None) -> float:
    """USD; 0 where nobody knows the price."""
    if price is None:
        return 0.0
    tokens = (
        usage.input * price.input
        + usage.cache_read * price.cache_read
        + usage.cache_write * price.cache_write
        + usage.output * price.output
        + usage.reasoning * price.reasoning
        + usage.audio * price.audio
    )
    return tokens / MILLION + price.call
