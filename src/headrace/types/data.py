"""Lineage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` came from `source`. Both are URNs such as headrace://default/model/digits@3."""

    source: str
    target: str
    kind: str
    time: float
