"""One HTTP client of a Headrace: sends, retries what may be repeated, names what went wrong.

Called by admin.py and predict.py. Decides that only a GET is sent again: a POST may have been carried out although its
answer was lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from headrace.client.answers import error_from, error_of, read_json, unreachable
from headrace.types.errors import HeadraceError, Unavailable, UpstreamError

TRIES = 3
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0  # seconds between tries
_SILENCE = 900.0  # seconds without a line, after which a stream is given up


class Wire:
    def __init__(self, url: str, *, headers: dict[str, str], timeout: float, tries: int = TRIES) -> None:
        self.url = url.rstrip("/")
        self.tries = tries
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def get(self, path: str, **parameters: Any) -> Any:
        wanted = {name: value for name, value in parameters.items() if value is not None}
        for attempt in range(1, self.tries + 1):
            try:
                return read_json(self._send("GET", path, params=wanted))
            except HeadraceError as error:
                if not error.retryable or attempt == self.tries:
                    raise
                time.sleep(min(_LONGEST_WAIT, error.retry_after or _FIRST_WAIT * 2 ** (attempt - 1)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def peek(self, path: str) -> dict[str, Any]:
        """A GET whose JSON counts whatever its status: a plane that is not ready says why."""
        response = self._send("GET", path)
        try:
            return dict(response.json())
        except (ValueError, TypeError) as error:
            raise error_of(response) from error

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> Any:
        return self.ask(path, body, headers=headers)[0]

    def ask(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> tuple[Any, httpx.Headers]:
        """A POST whose answer says something in its headers, too."""
        response = self._send("POST", path, json=body, headers=headers)
        return read_json(response), response.headers

    def patch(self, path: str, body: Any) -> Any:
        return read_json(self._send("PATCH", path, json=body))

    def put(self, path: str, body: Any) -> Any:
        return read_json(self._send("PUT", path, json=body))

    def delete(self, path: str) -> Any:
        """With a media type, as every request that changes something has one."""
        return read_json(self._send("DELETE", path, headers={"content-type": "application/json"}))

    def send(self, path: str, body: bytes) -> tuple[bytes, httpx.Headers]:
        """A POST of JSON that is encoded already; its answer as it came."""
        response = self._send("POST", path, content=body, headers={"content-type": "application/json"})
        if not response.is_success:
            raise error_of(response)
        return response.content, response.headers

    def stream(self, path: str, body: Any, on_progress: Callable[[str], None]) -> Any:
        """A POST that takes long: its progress, line by line, then its result."""
        timeout = httpx.Timeout(self.http.timeout.connect, read=_SILENCE)
        headers = {"accept": "application/x-ndjson"}
        try:
            with self.http.stream("POST", path, json=body, headers=headers, timeout=timeout) as response:
                if not response.is_success or "ndjson" not in response.headers.get("content-type", ""):
                    response.read()
                    return read_json(response)
                return _last(response, on_progress)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    def download(self, path: str, write: Callable[[bytes], Any], **parameters: Any) -> httpx.Headers:
        """A GET whose body may be large; the headers say what it is."""
        wanted = {name: value for name, value in parameters.items() if value is not None}
        try:
            with self.http.stream("GET", path, params=wanted, timeout=_SILENCE) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                for block in response.iter_bytes():
                    write(block)
                return response.headers
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    def close(self) -> None:
        self.http.close()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self.http.request(method, path, **options)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error


def _last(response: httpx.Response, on_progress: Callable[[str], None]) -> Any:
    for line in response.iter_lines():
        if not line.strip():
            continue
        message = _decode(line)
        if "error" in message:
            raise error_from(message["error"])
        if "result" in message:
            return message["result"]
        if "progress" in message:
            on_progress(str(message["progress"]))
    raise Unavailable(
        "the control plane ended before it was done; what it had begun it ends or takes back when it is up again",
        hint="headrace status; headrace logs control",
    )


def _decode(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError) as error:
        raise UpstreamError(f"a line of the answer is not JSON: {line[:80]!r}") from error
