"""Signatures of webhooks, as https://www.standardwebhooks.com describes them; any library for it reads ours.

Called by the notify room (sign) and by programs that receive webhooks (verify):

    event = verify(secret, request.headers, request.body)

What is signed is `id.timestamp.body`, so that a message can be neither changed nor sent again later. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.types.errors import BadInput, Unauthenticated

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
TOLERANCE_SECONDS = 300.0


def sign(secrets: Iterable[bytes], *, message: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message; one signature for each secret, so that a receiver may change its own in peace."""
    signatures = " ".join(f"v1,{_signature(secret, message, at, body)}" for secret in secrets)
    return {ID: message, TIMESTAMP: str(at), SIGNATURE: signatures}


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The event, when it is ours, unchanged and fresh. Raises Unauthenticated. A `webhook-id` that was seen before is
    the same event sent again."""
    given = {name.lower(): value for name, value in headers.items()}
    if missing := [name for name in (ID, TIMESTAMP, SIGNATURE) if name not in given]:
        raise Unauthenticated(f"the header {missing[0]!r} is missing", field=missing[0])
    stamp = given[TIMESTAMP]
    if not (stamp.isascii() and stamp.isdigit()):
        raise Unauthenticated(f"{TIMESTAMP} is {stamp[:40]!r}, not seconds since the epoch", field=TIMESTAMP)
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        raise Unauthenticated(f"{TIMESTAMP} is more than {tolerance:g} s from now", field=TIMESTAMP)
    wanted = _signature(secret_bytes(secret), given[ID], int(stamp), body)
    for one in given[SIGNATURE].split(" "):
        scheme, _, signature = one.partition(",")
        if scheme == "v1" and hmac.compare_digest(signature.encode(), wanted.encode()):
            return dict(json.loads(body))
    raise Unauthenticated("no signature fits: another secret, or another body", field=SIGNATURE)


def secret_bytes(secret: str) -> bytes:
    """`whsec_` and base64; any other text counts as it is. Raises BadInput for an empty one."""
    if not secret.startswith(PREFIX):
        found = secret.encode()
    else:
        try:
            found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error as error:
            raise BadInput(f"after {PREFIX} a secret is base64: {error}", field="secret") from error
    if not found:
        raise BadInput("the secret is empty", field="secret")
    return found


def secret_text(secret: bytes) -> str:
    return PREFIX + base64.b64encode(secret).decode()


def _signature(secret: bytes, message: str, at: int, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, f"{message}.{at}.".encode() + body, "sha256")).decode()
