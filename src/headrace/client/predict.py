"""The data plane, as a Python object: what an application calls.

    with Headrace("http://127.0.0.1:8000") as headrace:
        answer = headrace.predict("digits", [[0, 0, 5, …]], user="ann")
        headrace.feedback(answer.trace_id, correction=3)

Raises the classes of types/errors: BadInput names the field, Overloaded says when to try again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

from headrace.client.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    result: Any
    trace_id: str  # send what the user says about it to `feedback`
    model_version: str
    latency_ms: float
    colour: str = ""  # what was decided on the way: give it to the next call of the same request


class Headrace:
    def __init__(self, url: str = "http://127.0.0.1:8000", *, key: str = "", timeout: float = 35.0) -> None:
        self._wire = Wire(url, headers={"authorization": f"Bearer {key}"} if key else {}, timeout=timeout)
        self.url = self._wire.url

    def __enter__(self) -> Headrace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def predict(
        self,
        model: str,
        inputs: Any,
        *,
        user: str | None = None,
        stage: str | None = None,
        version: int | str | None = None,
        colour: str = "",
    ) -> Prediction:
        """`user` keeps one person on one variant; `stage` or `version` asks for a certain one; `colour` of an earlier
        answer, or of the request that is being served, keeps endpoints of one release on one side."""
        wanted = {"user": user, "stage": stage, "version": version}
        body = {"model": model, "inputs": inputs} | {k: v for k, v in wanted.items() if v is not None}
        headers = {"x-headrace-colour": colour} if colour else None
        answer, told = self._wire.ask("/predict", body, headers=headers)
        return Prediction(
            result=answer["result"],
            trace_id=answer["trace_id"],
            model_version=str(answer["model_version"]),
            latency_ms=float(answer["latency_ms"]),
            colour=told.get("x-headrace-colour", ""),
        )

    def feedback(
        self,
        trace_id: str,
        *,
        rating: bool | None = None,
        correction: Any = None,
        comment: str | None = None,
        rater: str | None = None,
        reasons: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """Kept on disk when this returns. To say the same again changes nothing; `rater` is who says it."""
        said = {"user_rating": rating, "corrected_output": correction, "comment": comment, "rater": rater}
        body = {"trace_id": trace_id} | {k: v for k, v in said.items() if v is not None}
        if reasons:
            body["reasons"] = list(reasons)
        return tuple(self._wire.post("/feedback", body)["feedback"])

    def withdraw_feedback(
        self, trace_id: str, *, names: Sequence[str] = (), rater: str | None = None
    ) -> tuple[str, ...]:
        """Take back what this rater said of it: all, or by name. It is kept in the history, and counts no more."""
        body: dict[str, Any] = {"trace_id": trace_id, "withdraw": list(names) or True}
        return tuple(self._wire.post("/feedback", body | ({"rater": rater} if rater else {}))["feedback"])

    def feedback_batch(self, rows: Sequence[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
        """At most 1,000, each as the body of POST /feedback. How many were kept, and what was wrong with the others."""
        answer = self._wire.post("/feedback/batch", {"feedback": list(rows)})
        return int(answer["accepted"]), list(answer["errors"])

    def feedback_tokens(
        self, trace_ids: Sequence[str], *, expires_in: float = 604_800.0, rater: str | None = None
    ) -> dict[str, str]:
        """By trace: what lets a person without a key rate that one answer, until it expires."""
        body: dict[str, Any] = {"trace_ids": list(trace_ids), "expires_in": expires_in}
        return dict(self._wire.post("/feedback/tokens", body | ({"rater": rater} if rater else {}))["tokens"])

    def post_metric(
        self, name: str, value: float = 1.0, *, user: str | None = None, trace_id: str | None = None
    ) -> str:
        """What was measured about a user, or about one answer; kept on disk when this returns. The event's id."""
        about = {"user": user, "trace_id": trace_id}
        event = {"name": name, "value": value} | {k: v for k, v in about.items() if v is not None}
        return str(self._wire.post("/metrics/events", {"events": [event]})["events"][0])

    def models(self) -> list[Any]:
        answer = self._wire.get("/models")
        return list(answer["models"] if isinstance(answer, dict) else answer)

    def versions(self, model: str) -> list[Any]:
        answer = self._wire.get(f"/models/{quote(model, safe='')}/versions")
        return list(answer["versions"] if isinstance(answer, dict) else answer)

    def health(self) -> dict[str, Any]:
        """Also when it is not ready: then it says why."""
        return self._wire.peek("/health")

    def metrics(self) -> dict[str, Any]:
        return dict(self._wire.get("/metrics"))
