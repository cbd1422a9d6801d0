"""What the data planes say: their health, and whether they run a plan.

Called by the release engine (await_plan), the status page and the console's try-it form. Decides how long to wait for a
plan. Ignores what a plan says: planes follow the database themselves, this only asks how far they are. One data plane
today, at the address of the settings.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from headrace.base.clock import Clock
from headrace.client.answers import read_json, unreachable
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import HeadraceError, Unavailable

POLL_SECONDS = 0.02
HEALTH_SECONDS = 1.0
PREDICT_SECONDS = 35.0  # a little more than the time limit that a call has by default


class Planes:
    """`key`: an API key that the planes accept, when they ask for one."""

    def __init__(
        self, url: str, *, clock: Clock, user_header: str, key: str = "", http: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url
        self._clock, self._user_header = clock, user_header
        headers = {"authorization": f"Bearer {key}"} if key else None
        self._client = httpx.Client(base_url=url, headers=headers, timeout=HEALTH_SECONDS, transport=http)

    def health(self) -> dict[str, Any]:
        """As GET /health says it, ready or not. Raises Unavailable when nothing answers."""
        try:
            return dict(msgspec.json.decode(self._client.get("/health").content))
        except (httpx.HTTPError, msgspec.DecodeError, TypeError, ValueError) as error:
            raise Unavailable(f"the data plane at {self.url} does not answer", hint="headrace status") from error

    def await_plan(self, revision: int, seconds: float) -> PlaneReport:
        """Returns as soon as the plan is live or refused, or when the time is up."""
        deadline = self._clock.steady() + seconds
        while True:
            report = self._report(revision)
            if report.live or report.refused or self._clock.steady() >= deadline:
                return report
            self._clock.sleep(POLL_SECONDS)

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        """A call like any application's, and the variant that answered; raises what the data plane says."""
        body = {"model": endpoint, "inputs": inputs}
        headers = {self._user_header: user} if user else {}
        try:
            answer = self._client.post("/predict", json=body, headers=headers, timeout=PREDICT_SECONDS)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return dict(read_json(answer)) | {"variant": answer.headers.get("x-headrace-variant", "")}

    def close(self) -> None:
        self._client.close()

    def _report(self, revision: int) -> PlaneReport:
        try:
            health = self.health()
        except HeadraceError:
            return PlaneReport(revision=revision, live=False)
        live = int(health.get("revision") or 0) >= revision
        plan = health.get("plan") or {}
        # It tells of its last refusal alone, so one of a later plan, which holds this one, counts too.
        refused = not live and int(plan.get("refused_revision") or 0) >= revision
        return PlaneReport(
            revision=revision, live=live, refused=str(plan.get("error") or "it does not say why") if refused else ""
        )
