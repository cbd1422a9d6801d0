"""What the data planes say: their health, and whether they run a plan.

Called by the release engine (await_plan), the status page and the console's try-it form. One data plane today, at the
address of the settings.
"""

from __future__ import annotations

from typing import Any

import httpx

from headrace.base.clock import Clock
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import BadInput, HeadraceError, ModelFailed, NotFound, Unavailable

POLL_SECONDS = 0.02
_ERRORS: dict[int, type[HeadraceError]] = {400: BadInput, 404: NotFound, 503: Unavailable}


class Planes:
    def __init__(self, url: str, *, clock: Clock, user_header: str) -> None:
        self.url = url
        self._clock, self._user_header = clock, user_header
        self._client = httpx.Client(base_url=url, timeout=10.0)

    def health(self) -> dict[str, Any]:
        """As GET /health says it. Raises Unavailable when nothing answers."""
        try:
            found = self._client.get("/health").json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"the data plane at {self.url} does not answer", hint="headrace status") from error
        return dict(found)

    def await_plan(self, revision: int, seconds: float) -> PlaneReport:
        """Returns as soon as the plan is live or refused, or when the time is up."""
        deadline = self._clock.steady() + seconds
        while True:
            report = self._report(revision)
            if report.live or report.refused or self._clock.steady() >= deadline:
                return report
            self._clock.sleep(POLL_SECONDS)

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        """A call like any application's; raises what the data plane answers."""
        try:
            answer = self._client.post(
                "/predict", json={"model": endpoint, "inputs": inputs}, headers={self._user_header: user}
            )
            content = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"the data plane at {self.url} does not answer", hint="headrace status") from error
        if answer.status_code == httpx.codes.OK:
            return {**content, "variant": answer.headers.get("x-headrace-variant", "")}
        said = content.get("error", {})
        kind = _ERRORS.get(answer.status_code, ModelFailed)
        raise kind(said.get("message", answer.text[:200]), field=said.get("field"), hint=said.get("hint"))

    def close(self) -> None:
        self._client.close()

    def _report(self, revision: int) -> PlaneReport:
        try:
            health = self.health()
        except Unavailable:
            return PlaneReport(revision=revision, live=False)
        plan = health.get("plan") or {}
        refused = plan.get("refused_revision") or 0
        return PlaneReport(
            revision=revision,
            live=int(health.get("revision") or 0) >= revision,
            refused=str(plan.get("error") or "refused") if refused >= revision else "",
        )
