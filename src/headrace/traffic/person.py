"""Whom a trusted key calls for: a signed token, or plain headers.

Called by keys.py. Decides whether a token is to be believed: HS256 alone, by its signature, its issuer and its times.
Ignores what a person may do.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode

import msgspec

from headrace.base.secret import Secret
from headrace.types.errors import Unauthenticated

HEADER = "x-openwebui-user-jwt"
ISSUER = "open-webui"
USER_HEADERS = ("x-openwebui-user-email", "x-openwebui-user-id", "x-headrace-user")  # the first that is there
SKEW_SECONDS = 10.0  # that two machines' clocks may differ
_LONGEST = 8192


class _Head(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct):
    sub: str
    iss: str
    exp: float
    email: str = ""
    nbf: float = 0.0


_head = msgspec.json.Decoder(_Head)
_claims = msgspec.json.Decoder(_Claims)


def read_token(token: str, secret: Secret, *, now: float) -> str:
    """The user: their address, else their id. Raises Unauthenticated; the token itself is in no message."""
    parts = token.split(".") if len(token) <= _LONGEST else []
    if len(parts) != 3:
        raise _refused("is no signed token")
    try:
        head, body, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        algorithm = _head.decode(head).alg
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise _refused("is no signed token") from None
    if algorithm != "HS256":  # also "none": what a token says of itself is not asked, only checked
        raise _refused(f"is signed with {algorithm[:20]!r}; allowed: HS256")
    made = hmac.digest(secret.reveal().encode(), f"{parts[0]}.{parts[1]}".encode(), "sha256")
    if not hmac.compare_digest(made, signature):
        raise _refused("is not signed with the secret of this key")
    try:
        claims = _claims.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _refused("has not the claims sub, iss and exp") from None
    if claims.iss != ISSUER:
        raise _refused(f"was issued by {claims.iss[:40]!r}; allowed: {ISSUER}")
    if now >= claims.exp + SKEW_SECONDS or now < claims.nbf - SKEW_SECONDS:
        raise _refused("has expired, or is not good yet")
    return (claims.email or claims.sub).strip().lower()


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the user token {why}", field=HEADER, hint="is the secret the same on both sides?")
