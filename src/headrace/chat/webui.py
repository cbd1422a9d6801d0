"""What we ask of Open WebUI, over its own HTTP API, as its administrator.

Called by collect.py. Decides when to sign in again. Raises UpstreamError for an application that is away or answers
otherwise than its version does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from headrace.chat.place import Connection
from headrace.chat.wiring import Wire
from headrace.types.errors import UpstreamError

FUNCTION = "headrace"
MARK = "X-Headrace-Message-Id"  # a header of our connection alone
_SECONDS = 10.0


class WebUi:
    def __init__(self, connection: Connection, wire: Wire, *, transport: httpx.BaseTransport | None = None) -> None:
        self._connection, self._wire = connection, wire
        self._client = httpx.Client(
            base_url=connection.url, timeout=_SECONDS, transport=transport, trust_env=False, follow_redirects=False
        )
        self._token = ""

    def rated(self) -> dict[str, float]:
        """When each rating was last changed, by its id."""
        return {
            row["id"]: float(row["updated_at"]) for row in self._ask("GET", "/api/v1/evaluations/feedbacks/all/ids")
        }

    def rating(self, feedback_id: str) -> dict[str, Any] | None:
        """One, whole; None: it is gone meanwhile."""
        found: dict[str, Any] | None = self._ask("GET", f"/api/v1/evaluations/feedback/{feedback_id}", absent=(404,))
        return found

    def people(self) -> dict[str, str]:
        """Addresses by id."""
        return {user["id"]: user["email"].lower() for user in self._ask("GET", "/api/v1/users/all")["users"]}

    def function(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._ask("GET", f"/api/v1/functions/id/{FUNCTION}", absent=(401, 404))
        return found

    def put_function(self, source: str, *, old: Mapping[str, Any] | None) -> None:
        """Make or change it, and switch it on."""
        body = {"id": FUNCTION, "name": "Headrace", "content": source, "meta": {"description": "Tells of ratings."}}
        path = f"/api/v1/functions/id/{FUNCTION}/update" if old else "/api/v1/functions/create"
        self._ask("POST", path, json=body)
        if not (old and old.get("is_active")):
            self._ask("POST", f"/api/v1/functions/id/{FUNCTION}/toggle")

    def open_sign_up(self) -> None:
        """The application closes it once it has an administrator, and ours is not a person."""
        config = self._ask("GET", "/api/v1/auths/admin/config")
        self._ask("POST", "/api/v1/auths/admin/config", json=config | {"ENABLE_SIGNUP": True})

    def connect(self) -> None:
        """Its connection to us, known by our header, as it is now. An administrator who took it out is obeyed."""
        wire, now = self._wire, self._ask("GET", "/openai/config")
        configs = now["OPENAI_API_CONFIGS"]
        place = next((at for at, one in configs.items() if MARK in (one.get("headers") or {})), None)
        if place is None or int(place) >= len(now["OPENAI_API_BASE_URLS"]):
            return
        urls, keys, at = list(now["OPENAI_API_BASE_URLS"]), list(now["OPENAI_API_KEYS"]), int(place)
        keys += [""] * (len(urls) - len(keys))
        told = configs[place] | {"headers": wire.headers}
        if (urls[at], keys[at], configs[place]) == (wire.url, wire.key.reveal(), told):
            return
        urls[at], keys[at] = wire.url, wire.key.reveal()
        new = {"OPENAI_API_BASE_URLS": urls, "OPENAI_API_KEYS": keys, "OPENAI_API_CONFIGS": configs | {place: told}}
        self._ask("POST", "/openai/config/update", json=now | new)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, *, absent: tuple[int, ...] = (), **content: Any) -> Any:
        if not self._token:
            self._sign_in()
        response = self._send(method, path, **content)
        if response.status_code == 401 and 401 not in absent:  # its session has ended, or its secret was changed
            self._sign_in()
            response = self._send(method, path, **content)
        return None if response.status_code in absent else self._good(response)

    def _sign_in(self) -> None:
        given = {"email": self._connection.email, "password": self._connection.password.reveal()}
        response = self._send("POST", "/api/v1/auths/signin", json=given)
        if response.status_code in (400, 401, 403):
            raise UpstreamError(
                f"Open WebUI does not let {self._connection.email!r} in",
                hint="its password lies in keys/chat.json; was it changed in the application?",
            )
        self._token = self._good(response)["token"]

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            return self._client.request(method, path, headers=headers, **content)
        except httpx.HTTPError as error:
            at = self._connection.url
            raise UpstreamError(f"Open WebUI at {at} does not answer: {type(error).__name__}") from error

    def _good(self, response: httpx.Response) -> Any:
        try:
            if response.status_code == 200:
                return response.json()
        except ValueError:
            pass
        where = f"{response.request.method} {response.request.url.path}"
        raise UpstreamError(f"Open WebUI answers {where} with {response.status_code}: {response.text[:200]!r}")
