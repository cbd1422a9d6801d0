"""What is watched when nobody says otherwise.

| metric | bad event | alone rolls back | must be proven harmless before full traffic |
|---|---|---|---|
| errors | the call failed or timed out | yes, weight 2 | yes: not worse by 25 % odds, or below 1 % |
| feedback | thumbs down, or a correction that differs | yes, weight 2 | yes, if anyone was unhappy with either |
| slow_p99, slow_p90 | slower than the baseline's quantile, plus 25 % and at least 5 ms | yes | no |
| slow_p50 | the same for the median | no, shown | no |
| flips | the shadow's answer differs from the one given | yes | yes, in a shadow step: below 1 % |
"""

from __future__ import annotations

from headrace.types.strategy import MetricKind, MetricSpec

ERRORS = MetricSpec(name="errors", kind=MetricKind.ERRORS, required=True, weight=2, tolerance=0.01)
FEEDBACK = MetricSpec(name="feedback", kind=MetricKind.FEEDBACK, required=True, weight=2)
SLOW = (
    MetricSpec(name="slow_p99", kind=MetricKind.SLOW, quantile=0.99),
    MetricSpec(name="slow_p90", kind=MetricKind.SLOW, quantile=0.90),
    MetricSpec(name="slow_p50", kind=MetricKind.SLOW, quantile=0.50, critical=False),
)
FLIPS = MetricSpec(name="flips", kind=MetricKind.FLIPS, required=True, tolerance=0.01)

COMPARED = (ERRORS, FEEDBACK, *SLOW)
