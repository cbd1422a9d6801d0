"""Who may talk to the control plane: in front of the API, MLflow and the console, as ASGI middleware.

* With an admin token set, every request but /health carries it: as a bearer token, or as the password of HTTP basic
  authentication, which is what a browser asks a person for.
* Without one, only the names of this machine are answered (a web page elsewhere can point its own name at 127.0.0.1).
* A request that changes something is not taken from another site's page (Origin), and its body is JSON, which such a
  page cannot send without asking first.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.api.admin.reply import problem
from headrace.api.errors import WrongMedia
from headrace.base.settings import Settings
from headrace.types.errors import Forbidden, HeadraceError, Unauthenticated

SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = ("127.0.0.1", "localhost", "::1", "testserver")
OURS = ("/api/", "/models", "/export")  # bodies are JSON; MLflow and the console check their own
OPEN = ("/health",)


class Guard:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        error = self._refusal(scope, headers)
        if error is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": error.message})
        else:
            response = problem(error)
            if isinstance(error, Unauthenticated):
                response.headers["www-authenticate"] = 'Basic realm="Headrace", charset="UTF-8"'
            await response(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> HeadraceError | None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        token = self._settings.admin_token
        if token:
            if not token.matches(_given(headers.get("authorization", ""))):
                return Unauthenticated("an admin token is needed", field="authorization", hint="HEADRACE_ADMIN_TOKEN")
        elif host not in (*LOCAL, self._settings.host):
            return Forbidden(
                f"this control plane has no admin token, so it does not answer to the name {host!r}",
                field="host",
                hint="set HEADRACE_ADMIN_TOKEN to use it from elsewhere",
            )
        return self._changes(scope, headers)

    def _changes(self, scope: Scope, headers: dict[str, str]) -> HeadraceError | None:
        origin = headers.get("origin", "")
        crossed = origin and urlsplit(origin).netloc != headers.get("host")
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            if crossed:
                return Forbidden(f"a page of {origin!r} may not change anything here", field="origin")
            media = headers.get("content-type", "").partition(";")[0].strip().lower()
            ours = scope["type"] == "http" and scope["path"].startswith(OURS)
            if ours and media != "application/json":
                return WrongMedia(f"content-type is {media!r}; allowed: application/json", field="content-type")
        return None


def _given(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
