"""Who may talk to the control plane: in front of the API, MLflow and the console, as ASGI middleware.

* With an admin token set, every request but /health carries it: as a bearer token, or as the password of HTTP basic
  authentication, which is what a browser asks a person for. A browser that gave it once gets a cookie in its place,
  because not every browser repeats a password when it opens a web socket.
* Without one, only the names of this machine are answered (a web page elsewhere can point its own name at 127.0.0.1).
* A request that changes something is not taken from another site's page (Origin), and its body is JSON, which such a
  page cannot send without asking first.

Decides nothing about what a known caller may do: there is one role.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.api.admin.reply import problem
from headrace.api.errors import WrongMedia
from headrace.base.settings import Settings
from headrace.types.errors import Forbidden, HeadraceError, TooLarge, Unauthenticated

SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = ("127.0.0.1", "localhost", "::1")
OURS = ("/api/", "/models/")  # bodies are JSON and small; MLflow and the console check their own
OPEN = ("/health", "/api/v1/chat/bell")  # the bell has a token of its own, and no body that is read
BODY_LIMIT = 1 << 20
COOKIE = "headrace_admin"
ANYBODY = "operator"  # somebody who gave no name


class Guard:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._token = app, settings.admin_token
        self._names = (*LOCAL, settings.host)
        # Follows from the token, so that it ends with it, and does not tell it.
        self._cookie = hmac.new(self._token.reveal().encode(), b"headrace admin cookie", sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        error = self._stranger(headers) or _crossing(scope, headers) or _body_error(scope, headers)
        if error is None:
            await self._app(scope, receive, self._remembering(send, headers) if self._token else send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": error.message})
        else:
            response = problem(error)
            if isinstance(error, Unauthenticated):
                response.headers["www-authenticate"] = 'Basic realm="Headrace", charset="UTF-8"'
            await response(scope, receive, send)

    def _stranger(self, headers: dict[str, str]) -> HeadraceError | None:
        if self._token:
            given, cookie = _given(headers.get("authorization", "")), _cookie(headers.get("cookie", ""))
            if self._token.matches(given) or hmac.compare_digest(self._cookie, cookie):
                return None
            return Unauthenticated("an admin token is needed", field="authorization", hint="HEADRACE_ADMIN_TOKEN")
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if host in self._names:
            return None
        return Forbidden(
            f"this control plane has no admin token, so it does not answer to the name {host!r}",
            field="host",
            hint="set HEADRACE_ADMIN_TOKEN to use it from elsewhere",
        )

    def _remembering(self, send: Send, headers: dict[str, str]) -> Send:
        """Basic authentication comes from a browser: let it keep the cookie, for this site's own pages alone."""
        if not headers.get("authorization", "").lower().startswith("basic "):
            return send

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return adding


def _crossing(scope: Scope, headers: dict[str, str]) -> HeadraceError | None:
    """A browser names the page that a request comes from; clients that are no browsers name none."""
    if scope["type"] == "http" and scope["method"] in SAFE:
        return None
    origin = headers.get("origin", "")
    if origin and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return Forbidden(f"a page of {origin!r} may not change anything here", field="origin")
    return None


def _body_error(scope: Scope, headers: dict[str, str]) -> HeadraceError | None:
    if scope["type"] != "http" or scope["method"] in SAFE or not scope["path"].startswith(OURS):
        return None
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        return WrongMedia(f"content-type is {media!r}; allowed: application/json", field="content-type")
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or (length.isdigit() and int(length) > BODY_LIMIT):
        return TooLarge(f"the body is larger than {BODY_LIMIT} bytes, or does not say its length")
    return None


def _given(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else _basic(authorization)[1]


def _basic(authorization: str) -> tuple[str, str]:
    """User and password of basic authentication; empty for anything else."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def actor_in(named: str, authorization: str) -> str:
    """Who the history will name: as they say themselves, in our header or as the user of basic authentication."""
    name = named.strip() or _basic(authorization)[0].strip()
    return "".join(sign for sign in name if sign.isprintable())[:100] or ANYBODY


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
