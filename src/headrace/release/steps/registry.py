"""The rule of each kind of step."""

from __future__ import annotations

from headrace.release.steps import approval, horizon, preview, shadow, share, switch
from headrace.release.steps.base import Rule
from headrace.types.strategy import StepKind

RULES: dict[StepKind, Rule] = {
    StepKind.SHARE: share.judge,
    StepKind.SHADOW: shadow.judge,
    StepKind.PREVIEW: preview.judge,
    StepKind.APPROVAL: approval.judge,
    StepKind.SWITCH: switch.judge,
    StepKind.HORIZON: horizon.judge,
}
