"""Load and unload, the part of V2's model repository that is decided by the control plane.

Called by api/http/repository.py and api/grpc. Decides which parameters may pass, and waits until this data plane runs
the new plan. Ignores what loading means: that is release/park.py's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from headrace.api.http.forward import Forwarder
from headrace.traffic.route import Header
from headrace.types.errors import (
    BadInput,
    Conflict,
    Forbidden,
    HeadraceError,
    NotFound,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# A model that the data planes refuse is the caller's to repair: V2 knows no 422.
_ERRORS: dict[int, type[HeadraceError]] = {
    400: BadInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: BadInput,
    503: Unavailable,
}


class Repository:
    def __init__(self, forward: Forwarder) -> None:
        self._forward = forward

    async def load(self, name: str, parameters: Mapping[str, Any], header: Header) -> None:
        """Returns when the model takes calls here."""
        check_name(name)
        for key in parameters:
            if key.startswith("file:"):
                raise BadInput(
                    f"{key[:64]!r} would put a file in place of the model's; versions come from the registry only",
                    field="parameters",
                    hint="register a version with MLflow, then load it",
                )
            if key != "config":
                raise BadInput(f"there is no parameter {key[:64]!r}; allowed: config", field="parameters")
        await self._tell(
            name, "load", {"config": _config(parameters["config"])} if "config" in parameters else {}, header
        )

    async def unload(self, name: str, parameters: Mapping[str, Any], header: Header) -> None:
        """`unload_dependents` is taken and means nothing: no model here depends on another."""
        check_name(name)
        for key, value in parameters.items():
            if key != "unload_dependents" or not isinstance(value, bool):
                raise BadInput(
                    f"parameter {key[:64]!r} is {value!r}; allowed: unload_dependents, true or false",
                    field="parameters",
                )
        await self._tell(name, "unload", {}, header)

    async def _tell(self, name: str, verb: str, body: dict[str, Any], header: Header) -> None:
        status, answer = await self._forward.post(
            f"/api/v1/repository/{quote(name, safe='')}/{verb}", msgspec.json.encode(body), header
        )
        if status < 300:
            return
        try:
            told = str(msgspec.json.decode(answer, type=dict[str, Any])["detail"])
        except (msgspec.DecodeError, KeyError):
            told = "the control plane answers in another form than expected"
        raise _ERRORS.get(status, UpstreamError)(f"{verb} of {name!r} failed: {told}", field="model")


def check_name(name: str) -> None:
    """Never a path: the name of an endpoint or a registered model."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"model is {name[:100]!r}; allowed: 1 to 100 letters, digits, '.', '_' and '-', a letter or digit first",
            field="model",
        )


def _config(value: Any) -> dict[str, Any]:
    """Clients send it as text, as Triton asks for it."""
    try:
        return msgspec.json.decode(value, type=dict[str, Any]) if isinstance(value, str) else dict(value)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        raise BadInput("config is not a model configuration in JSON", field="parameters.config") from None
