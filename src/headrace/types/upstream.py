"""Services that answer instead of a model of ours: how to reach them, and for JSON ones, how to talk to them.

A package of such a service holds one of these as JSON; what is secret is in the environment of the data plane, and
only its name here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.types.model import TensorSpec

# Versions of a service are numbered from here on, so that they never meet those that a registry gives to a model of the
# same name: an endpoint may go from one to the other.
FIRST_VERSION = 1_000_001
SECRET_PREFIX = "UPSTREAM_"  # noqa: S105 -- of a variable's name; others, such as our own token, may not be named


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretHeader:
    """A header whose value is in the environment variable `env`, after the word `scheme`."""

    env: str
    header: str = "authorization"
    scheme: str = "Bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A model on a server that speaks V2. `url` is what comes before /v2."""

    url: str
    model: str
    version: str = ""  # empty: as that server chooses
    binary: bool = True  # tensors as bytes; else as JSON
    timeout_seconds: float = 30.0
    connections: int = 64
    secret: SecretHeader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Legacy:
    """Any service that takes and gives JSON over HTTP. `request` is the body, with `$rows` and the like in it;
    `response` says for each output where it is found: serving/mapping.py."""

    url: str
    request: Any
    response: dict[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    each: bool = False  # one request for each row
    headers: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30.0
    connections: int = 16
    secret: SecretHeader | None = None
