"""The control plane, as a Python object: what the command line does, a program can do with this.

    with Admin("http://127.0.0.1:8001") as admin:
        admin.deploy("digits", "models:/digits/1")
        release = admin.release("digits", "models:/digits/2")

Answers are the admin API's JSON, as it is documented at /docs of the control plane. Raises the classes of types/errors.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from headrace.client.forms import API, Json, as_list, as_object, part, silent
from headrace.client.gateway import GatewayCalls
from headrace.client.learn import LearnCalls
from headrace.client.wire import TRIES, Wire


class Admin(GatewayCalls, LearnCalls):
    def __init__(
        self, url: str, *, token: str = "", actor: str = "", timeout: float = 30.0, tries: int = TRIES
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if actor:
            headers["x-headrace-actor"] = actor
        self._wire = Wire(url, headers=headers, timeout=timeout, tries=tries)
        self.url = self._wire.url

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def status(self) -> Json:
        return as_object(self._wire.get(f"{API}/status"))

    def endpoints(self) -> list[Json]:
        return as_list(self._wire.get(f"{API}/endpoints"), "endpoints")

    def endpoint(self, name: str) -> Json:
        return as_object(self._wire.get(f"{API}/endpoints/{part(name)}"))

    def configure(self, endpoint: str, changes: Json) -> Json:
        """Batching, cache, limits, capture: `{"batching": {"max_batch_size": 32}}`. In force when this returns."""
        return as_object(self._wire.patch(f"{API}/endpoints/{part(endpoint)}", changes))

    def deploy(
        self,
        endpoint: str,
        model: str = "",
        *,
        upstream: Json | None = None,
        adapter: Json | None = None,
        reason: str = "",
        on_progress: Callable[[str], None] = silent,
    ) -> Json:
        """Put a model version, or a service elsewhere, live on an endpoint, with all its traffic. `adapter`: where it
        takes or gives other than callers know, as in docs/adapters.md."""
        path = f"{API}/endpoints/{part(endpoint)}/deploy"
        body: Json = {"model": model} if upstream is None else {"upstream": upstream}
        body |= {} if adapter is None else {"adapter": adapter}
        body |= {"reason": reason} if reason else {}
        return as_object(self._wire.stream(path, body, on_progress))

    def describe(self, endpoint: str, upstream: Json, *, on_progress: Callable[[str], None] = silent) -> Json:
        """A service elsewhere, or a chat model, as a version without traffic; its `uri` is a candidate."""
        return as_object(
            self._wire.stream(f"{API}/endpoints/{part(endpoint)}/versions", {"upstream": upstream}, on_progress)
        )

    def release(
        self,
        endpoint: str,
        candidate: str,
        *,
        plan: Json | None = None,
        also: dict[str, str] | None = None,
        adapters: dict[str, Json] | None = None,
        release_id: str = "",
        on_progress: Callable[[str], None] = silent,
    ) -> Json:
        """Start to move an endpoint's traffic to a candidate; `plan` overrides parts of the default plan. `also`: more
        endpoints and their candidates, which move with it. `adapters`: by endpoint, for candidates that take or give
        other than callers know, as in docs/adapters.md. `release_id`: asked again with the same, the answer is the
        release that there is."""
        body: Json = {"candidate": candidate} | ({"plan": plan} if plan else {}) | ({"also": also} if also else {})
        body |= ({"adapters": adapters} if adapters else {}) | ({"release_id": release_id} if release_id else {})
        return as_object(self._wire.stream(f"{API}/endpoints/{part(endpoint)}/releases", body, on_progress))

    def dry_run(
        self, endpoint: str, candidate: str, *, plan: Json | None = None, also: dict[str, str] | None = None
    ) -> Json:
        """What this release would do, how long it would take, and the smallest harm it could see. Nothing begins."""
        body: Json = {"candidate": candidate} | ({"plan": plan} if plan else {}) | ({"also": also} if also else {})
        return as_object(self._wire.post(f"{API}/endpoints/{part(endpoint)}/releases/dry-run", body))

    def releases(self, *, endpoint: str | None = None, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/releases", endpoint=endpoint, limit=limit), "releases")

    def find_release(self, release_id: str) -> Json:
        return as_object(self._wire.get(f"{API}/releases/{part(release_id)}"))

    def release_status(self, release_id: str) -> Json:
        """Where it stands, as one picture: steps, weights as set and as seen, evidence, last events."""
        return as_object(self._wire.get(f"{API}/releases/{part(release_id)}/status"))

    def intervals(self, release_id: str) -> list[Json]:
        return as_list(self._wire.get(f"{API}/releases/{part(release_id)}/intervals"), "intervals")

    def results(self, release_id: str) -> Json:
        """Per metric both versions, their difference, and its intervals."""
        return as_object(self._wire.get(f"{API}/releases/{part(release_id)}/results"))

    def replay(self, release_id: str) -> Json:
        """Each decision judged once more from what was stored: `{"intervals": …, "differences": […]}`."""
        return as_object(self._wire.get(f"{API}/releases/{part(release_id)}/replay"))

    def pairs(self, release_id: str, *, by: str = "", value: str = "", limit: int | None = None) -> Json:
        """What its shadow would have answered otherwise: figures, segments of a column, the worst pairs first."""
        path = f"{API}/releases/{part(release_id)}/pairs"
        return as_object(self._wire.get(path, by=by or None, value=value or None, limit=limit))

    def pause(self, release_id: str, *, reason: str = "") -> Json:
        return self._act(release_id, "pause", reason)

    def resume(self, release_id: str, *, reason: str = "") -> Json:
        return self._act(release_id, "resume", reason)

    def promote(self, release_id: str, *, reason: str = "") -> Json:
        """All traffic to the candidate now, whatever the evidence says."""
        return self._act(release_id, "promote", reason)

    def abort(self, release_id: str, *, reason: str = "") -> Json:
        """All traffic back to the baseline now."""
        return self._act(release_id, "abort", reason)

    def submit_job(self, order: Json) -> Json:
        """A file in the control plane's folder for files: `{"endpoint", "input", "output", …}`."""
        return as_object(self._wire.post(f"{API}/jobs", order))

    def jobs(self, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/jobs", limit=limit), "jobs")

    def job(self, job_id: str) -> Json:
        return as_object(self._wire.get(f"{API}/jobs/{part(job_id)}"))

    def cancel_job(self, job_id: str) -> Json:
        return as_object(self._wire.post(f"{API}/jobs/{part(job_id)}/cancel", {}))

    def traces(self, **selection: Any) -> list[Json]:
        return as_list(self._wire.get(f"{API}/traces", **selection), "traces")

    def trace(self, trace_id: str) -> Json:
        return as_object(self._wire.get(f"{API}/traces/{part(trace_id)}"))

    def feedback(self, **selection: Any) -> list[Json]:
        """Newest first, what was taken back among it. By name; `limit`."""
        return as_list(self._wire.get(f"{API}/feedback", **selection), "feedback")

    def feedback_history(self, trace_id: str) -> list[Json]:
        """All that was ever said of a trace, in order of time."""
        return as_list(self._wire.get(f"{API}/feedback/{part(trace_id)}"), "feedback")

    def audit(self, *, limit: int | None = None) -> list[Json]:
        return as_list(self._wire.get(f"{API}/audit", limit=limit), "entries")

    def history(self, **selection: Any) -> list[Json]:
        """Newest first. By endpoint, model, release, actor, action (release.* for a kind), since, until, before."""
        return as_list(self._wire.get(f"{API}/history", **selection), "entries")

    def history_entry(self, entry_id: int) -> Json:
        return as_object(self._wire.get(f"{API}/history/{entry_id}"))

    def check_history(self) -> Json:
        return as_object(self._wire.get(f"{API}/history/check"))

    def find_undo(self, endpoint: str) -> Json:
        """What an undo would do now; Conflict says why it would be unsafe."""
        return as_object(self._wire.get(f"{API}/endpoints/{part(endpoint)}/undo"))

    def undo(
        self, endpoint: str, *, entry: int = 0, reason: str = "", on_progress: Callable[[str], None] = silent
    ) -> Json:
        """Traffic back to who had it before its last move. `entry`: the move that is meant."""
        body = {"entry": entry, "reason": reason}
        return as_object(self._wire.stream(f"{API}/endpoints/{part(endpoint)}/undo", body, on_progress))

    def approvals(self, *, state: str | None = None, limit: int | None = None) -> list[Json]:
        """What waits for a second person, and what became of it; the newest first."""
        return as_list(self._wire.get(f"{API}/approvals", state=state, limit=limit), "approvals")

    def approve(self, approval_id: str, *, reason: str = "", on_progress: Callable[[str], None] = silent) -> Json:
        """With the last yes that it needs it is done."""
        path = f"{API}/approvals/{part(approval_id)}/approve"
        return as_object(self._wire.stream(path, {"reason": reason}, on_progress))

    def refuse(self, approval_id: str, *, reason: str = "") -> Json:
        return as_object(self._wire.post(f"{API}/approvals/{part(approval_id)}/refuse", {"reason": reason}))

    def webhooks(self) -> list[Json]:
        return as_list(self._wire.get(f"{API}/webhooks"), "webhooks")

    def add_webhook(self, name: str, url: str, **more: Any) -> Json:
        """events, endpoints, secret_env. The answer's `secret` is shown this once."""
        return as_object(self._wire.post(f"{API}/webhooks", {"name": name, "url": url, **more}))

    def change_webhook(self, name: str, **changes: Any) -> Json:
        return as_object(self._wire.patch(f"{API}/webhooks/{part(name)}", changes))

    def apply_webhooks(self, webhooks: list[Any], *, prune: bool = False) -> Json:
        return as_object(self._wire.put(f"{API}/webhooks", {"webhooks": webhooks, "prune": prune}))

    def remove_webhook(self, name: str) -> Json:
        return as_object(self._wire.delete(f"{API}/webhooks/{part(name)}"))

    def test_webhook(self, name: str) -> Json:
        return as_object(self._wire.post(f"{API}/webhooks/{part(name)}/test", {}))

    def rotate_webhook(self, name: str) -> Json:
        return as_object(self._wire.post(f"{API}/webhooks/{part(name)}/rotate", {}))

    def deliveries(self, webhook: str, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/webhooks/{part(webhook)}/deliveries", limit=limit), "deliveries")

    def retry_delivery(self, webhook: str, delivery: int) -> Json:
        return as_object(self._wire.post(f"{API}/webhooks/{part(webhook)}/deliveries/{delivery}/retry", {}))

    def live(self, endpoint: str) -> Json:
        return as_object(self._wire.get(f"{API}/live", endpoint=endpoint))

    def models(self) -> list[Any]:
        return as_list(self._wire.get("/models"), "models")

    def versions(self, model: str) -> list[Json]:
        return as_list(self._wire.get(f"/models/{part(model)}/versions"), "versions")

    def move_stage(self, model: str, version: int, stage: str, *, reason: str = "") -> Json:
        path = f"/models/{part(model)}/stage"
        body = {"version": version, "stage": stage} | ({"reason": reason} if reason else {})
        return as_object(self._wire.post(path, body))

    def export(self, write: Callable[[bytes], Any], **selection: Any) -> dict[str, str]:
        """The flywheel's data set, written piece by piece; answers the headers, which name the dataset version."""
        return dict(self._wire.download("/export", write, **selection))

    def _act(self, release_id: str, action: str, reason: str) -> Json:
        return as_object(self._wire.post(f"{API}/releases/{part(release_id)}/{action}", {"reason": reason}))
