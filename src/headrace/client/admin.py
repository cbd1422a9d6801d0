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
from urllib.parse import quote

from headrace.client.wire import TRIES, Wire

_API = "/api/v1"

Json = dict[str, Any]


def _ignore(_: str) -> None:
    pass


class Admin:
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
        return _object(self._wire.get(f"{_API}/status"))

    def endpoints(self) -> list[Json]:
        return _list(self._wire.get(f"{_API}/endpoints"), "endpoints")

    def endpoint(self, name: str) -> Json:
        return _object(self._wire.get(f"{_API}/endpoints/{_part(name)}"))

    def configure(self, endpoint: str, changes: Json) -> Json:
        """Batching, cache, limits, capture: `{"batching": {"max_batch_size": 32}}`. In force when this returns."""
        return _object(self._wire.patch(f"{_API}/endpoints/{_part(endpoint)}", changes))

    def deploy(
        self,
        endpoint: str,
        model: str = "",
        *,
        upstream: Json | None = None,
        adapter: Json | None = None,
        reason: str = "",
        on_progress: Callable[[str], None] = _ignore,
    ) -> Json:
        """Put a model version, or a service elsewhere, live on an endpoint, with all its traffic. `adapter`: where it
        takes or gives other than callers know, as in docs/adapters.md."""
        path = f"{_API}/endpoints/{_part(endpoint)}/deploy"
        body: Json = {"model": model} if upstream is None else {"upstream": upstream}
        body |= {} if adapter is None else {"adapter": adapter}
        body |= {"reason": reason} if reason else {}
        return _object(self._wire.stream(path, body, on_progress))

    def describe(self, endpoint: str, upstream: Json, *, on_progress: Callable[[str], None] = _ignore) -> Json:
        """A service elsewhere, or a chat model, as a version without traffic; its `uri` is a candidate."""
        return _object(
            self._wire.stream(f"{_API}/endpoints/{_part(endpoint)}/versions", {"upstream": upstream}, on_progress)
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
        on_progress: Callable[[str], None] = _ignore,
    ) -> Json:
        """Start to move an endpoint's traffic to a candidate; `plan` overrides parts of the default plan. `also`: more
        endpoints and their candidates, which move with it. `adapters`: by endpoint, for candidates that take or give
        other than callers know, as in docs/adapters.md. `release_id`: asked again with the same, the answer is the
        release that there is."""
        body: Json = {"candidate": candidate} | ({"plan": plan} if plan else {}) | ({"also": also} if also else {})
        body |= ({"adapters": adapters} if adapters else {}) | ({"release_id": release_id} if release_id else {})
        return _object(self._wire.stream(f"{_API}/endpoints/{_part(endpoint)}/releases", body, on_progress))

    def dry_run(
        self, endpoint: str, candidate: str, *, plan: Json | None = None, also: dict[str, str] | None = None
    ) -> Json:
        """What this release would do, how long it would take, and the smallest harm it could see. Nothing begins."""
        body: Json = {"candidate": candidate} | ({"plan": plan} if plan else {}) | ({"also": also} if also else {})
        return _object(self._wire.post(f"{_API}/endpoints/{_part(endpoint)}/releases/dry-run", body))

    def releases(self, *, endpoint: str | None = None, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/releases", endpoint=endpoint, limit=limit), "releases")

    def find_release(self, release_id: str) -> Json:
        return _object(self._wire.get(f"{_API}/releases/{_part(release_id)}"))

    def release_status(self, release_id: str) -> Json:
        """Where it stands, as one picture: steps, weights as set and as seen, evidence, last events."""
        return _object(self._wire.get(f"{_API}/releases/{_part(release_id)}/status"))

    def intervals(self, release_id: str) -> list[Json]:
        return _list(self._wire.get(f"{_API}/releases/{_part(release_id)}/intervals"), "intervals")

    def results(self, release_id: str) -> Json:
        """Per metric both versions, their difference, and its intervals."""
        return _object(self._wire.get(f"{_API}/releases/{_part(release_id)}/results"))

    def replay(self, release_id: str) -> Json:
        """Each decision judged once more from what was stored: `{"intervals": …, "differences": […]}`."""
        return _object(self._wire.get(f"{_API}/releases/{_part(release_id)}/replay"))

    def pairs(self, release_id: str, *, by: str = "", value: str = "", limit: int | None = None) -> Json:
        """What its shadow would have answered otherwise: figures, segments of a column, the worst pairs first."""
        path = f"{_API}/releases/{_part(release_id)}/pairs"
        return _object(self._wire.get(path, by=by or None, value=value or None, limit=limit))

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

    def flywheels(self) -> list[Json]:
        """With what each waits for."""
        return _list(self._wire.get(f"{_API}/flywheels"), "flywheels")

    def flywheel(self, endpoint: str) -> Json:
        return _object(self._wire.get(f"{_API}/flywheels/{_part(endpoint)}"))

    def plan_turn(self, endpoint: str) -> Json:
        """Days to decision. Nothing begins."""
        return _object(self._wire.get(f"{_API}/flywheels/{_part(endpoint)}/plan"))

    def begin_turn(self, endpoint: str, *, why: str = "") -> Json:
        return _object(self._wire.post(f"{_API}/flywheels/{_part(endpoint)}/turns", {"why": why}))

    def report_drift(self, endpoint: str, *, why: str = "") -> Json:
        """What a monitor calls; begins a turn."""
        return _object(self._wire.post(f"{_API}/flywheels/{_part(endpoint)}/drift", {"why": why}))

    def turns(self, *, endpoint: str | None = None, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/turns", endpoint=endpoint, limit=limit), "turns")

    def turn(self, turn_id: str) -> Json:
        return _object(self._wire.get(f"{_API}/turns/{_part(turn_id)}"))

    def cancel_turn(self, turn_id: str) -> Json:
        return _object(self._wire.post(f"{_API}/turns/{_part(turn_id)}/cancel", {}))

    def submit_job(self, order: Json) -> Json:
        """A file in the control plane's folder for files: `{"endpoint", "input", "output", …}`."""
        return _object(self._wire.post(f"{_API}/jobs", order))

    def jobs(self, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/jobs", limit=limit), "jobs")

    def job(self, job_id: str) -> Json:
        return _object(self._wire.get(f"{_API}/jobs/{_part(job_id)}"))

    def cancel_job(self, job_id: str) -> Json:
        return _object(self._wire.post(f"{_API}/jobs/{_part(job_id)}/cancel", {}))

    def compile(self, order: Json) -> Json:
        """Begin to compile a program: `{"program", "rows", "how", …}` as in docs/programs.md."""
        return _object(self._wire.post(f"{_API}/programs/compilations", order))

    def compilations(self) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/programs/compilations"), "compilations")

    def compilation(self, compile_id: str) -> Json:
        return _object(self._wire.get(f"{_API}/programs/compilations/{_part(compile_id)}"))

    def cancel_compilation(self, compile_id: str) -> Json:
        return _object(self._wire.post(f"{_API}/programs/compilations/{_part(compile_id)}/cancel", {}))

    def try_program(self, inputs: Json, *, program: Json | None = None, code: str = "", model: str = "") -> Json:
        """One row through a program that need not be deployed."""
        body: Json = {"inputs": inputs, "code": code, "model": model} | ({"program": program} if program else {})
        return _object(self._wire.post(f"{_API}/programs/try", body))

    def traces(self, **selection: Any) -> list[Json]:
        return _list(self._wire.get(f"{_API}/traces", **selection), "traces")

    def trace(self, trace_id: str) -> Json:
        return _object(self._wire.get(f"{_API}/traces/{_part(trace_id)}"))

    def feedback(self, **selection: Any) -> list[Json]:
        """Newest first, what was taken back among it. By name; `limit`."""
        return _list(self._wire.get(f"{_API}/feedback", **selection), "feedback")

    def feedback_history(self, trace_id: str) -> list[Json]:
        """All that was ever said of a trace, in order of time."""
        return _list(self._wire.get(f"{_API}/feedback/{_part(trace_id)}"), "feedback")

    def datasets(self, name: str | None = None) -> list[Json]:
        """Newest first."""
        return _list(self._wire.get(f"{_API}/datasets", name=name), "datasets")

    def dataset(self, name: str) -> Json:
        """By name@number, name (the newest), or id."""
        return _object(self._wire.get(f"{_API}/datasets/{_part(name)}"))

    def make_dataset(self, model: str, **recipe: Any) -> Json:
        """`rules`: {"praise": False, "cap": {"rows": 50}}; `since`, `until`: as in export. May take a while."""
        body = {"model": model} | {name: value for name, value in recipe.items() if value is not None}
        return _object(self._wire.post(f"{_API}/datasets", body))

    def dataset_rows(self, name: str, **selection: Any) -> list[Json]:
        return _list(self._wire.get(f"{_API}/datasets/{_part(name)}/rows", **selection), "rows")

    def dataset_diff(self, before: str, after: str, *, limit: int = 20) -> Json:
        return _object(self._wire.get(f"{_API}/datasets/{_part(after)}/diff", before=before, limit=limit))

    def dataset_origin(self, name: str, row: str) -> Json:
        """Which call, whose words. `row`: a row's id or a trace id."""
        return _object(self._wire.get(f"{_API}/datasets/{_part(name)}/origin", row=row))

    def freeze_dataset(self, name: str) -> Json:
        """Its held-out rows are the golden set from now on."""
        return _object(self._wire.post(f"{_API}/datasets/{_part(name)}/freeze", {}))

    def download_dataset(self, name: str, split: str, write: Callable[[bytes], Any]) -> dict[str, str]:
        return dict(self._wire.download(f"{_API}/datasets/{_part(name)}/file", write, split=split))

    def audit(self, *, limit: int | None = None) -> list[Json]:
        return _list(self._wire.get(f"{_API}/audit", limit=limit), "entries")

    def history(self, **selection: Any) -> list[Json]:
        """Newest first. By endpoint, model, release, actor, action (release.* for a kind), since, until, before."""
        return _list(self._wire.get(f"{_API}/history", **selection), "entries")

    def history_entry(self, entry_id: int) -> Json:
        return _object(self._wire.get(f"{_API}/history/{entry_id}"))

    def check_history(self) -> Json:
        return _object(self._wire.get(f"{_API}/history/check"))

    def find_undo(self, endpoint: str) -> Json:
        """What an undo would do now; Conflict says why it would be unsafe."""
        return _object(self._wire.get(f"{_API}/endpoints/{_part(endpoint)}/undo"))

    def undo(
        self, endpoint: str, *, entry: int = 0, reason: str = "", on_progress: Callable[[str], None] = _ignore
    ) -> Json:
        """Traffic back to who had it before its last move. `entry`: the move that is meant."""
        body = {"entry": entry, "reason": reason}
        return _object(self._wire.stream(f"{_API}/endpoints/{_part(endpoint)}/undo", body, on_progress))

    def approvals(self, *, state: str | None = None, limit: int | None = None) -> list[Json]:
        """What waits for a second person, and what became of it; the newest first."""
        return _list(self._wire.get(f"{_API}/approvals", state=state, limit=limit), "approvals")

    def approve(self, approval_id: str, *, reason: str = "", on_progress: Callable[[str], None] = _ignore) -> Json:
        """With the last yes that it needs it is done."""
        path = f"{_API}/approvals/{_part(approval_id)}/approve"
        return _object(self._wire.stream(path, {"reason": reason}, on_progress))

    def refuse(self, approval_id: str, *, reason: str = "") -> Json:
        return _object(self._wire.post(f"{_API}/approvals/{_part(approval_id)}/refuse", {"reason": reason}))

    def webhooks(self) -> list[Json]:
        return _list(self._wire.get(f"{_API}/webhooks"), "webhooks")

    def add_webhook(self, name: str, url: str, **more: Any) -> Json:
        """events, endpoints, secret_env. The answer's `secret` is shown this once."""
        return _object(self._wire.post(f"{_API}/webhooks", {"name": name, "url": url, **more}))

    def change_webhook(self, name: str, **changes: Any) -> Json:
        return _object(self._wire.patch(f"{_API}/webhooks/{_part(name)}", changes))

    def apply_webhooks(self, webhooks: list[Any], *, prune: bool = False) -> Json:
        return _object(self._wire.put(f"{_API}/webhooks", {"webhooks": webhooks, "prune": prune}))

    def remove_webhook(self, name: str) -> Json:
        return _object(self._wire.delete(f"{_API}/webhooks/{_part(name)}"))

    def test_webhook(self, name: str) -> Json:
        return _object(self._wire.post(f"{_API}/webhooks/{_part(name)}/test", {}))

    def rotate_webhook(self, name: str) -> Json:
        return _object(self._wire.post(f"{_API}/webhooks/{_part(name)}/rotate", {}))

    def deliveries(self, webhook: str, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/webhooks/{_part(webhook)}/deliveries", limit=limit), "deliveries")

    def retry_delivery(self, webhook: str, delivery: int) -> Json:
        return _object(self._wire.post(f"{_API}/webhooks/{_part(webhook)}/deliveries/{delivery}/retry", {}))

    def gateway(self) -> Json:
        """`gateway` as it may be applied again, its `version`, keys, and the names of secrets."""
        return _object(self._wire.get(f"{_API}/gateway"))

    def apply_gateway(self, gateway: Json, *, reason: str = "", version: int | None = None) -> Json:
        """Sections that are missing stay as they are. `version`: that this is a change of; Conflict if there is a newer
        one. New keys are in the answer this once."""
        body = {"gateway": gateway, "reason": reason} | ({} if version is None else {"version": version})
        return _object(self._wire.put(f"{_API}/gateway", body))

    def diff_gateway(self, gateway: Json) -> list[Json]:
        return _list(self._wire.post(f"{_API}/gateway/diff", {"gateway": gateway}), "lines")

    def gateway_versions(self, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return _list(self._wire.get(f"{_API}/gateway/versions", limit=limit), "versions")

    def roll_back_gateway(self, version: int, *, reason: str = "") -> Json:
        return _object(self._wire.post(f"{_API}/gateway/rollback", {"version": version, "reason": reason}))

    def import_litellm(self, config: Json) -> Json:
        return _object(self._wire.post(f"{_API}/gateway/import/litellm", {"gateway": config}))

    def keys(self) -> list[Json]:
        return _list(self._wire.get(f"{_API}/gateway/keys"), "keys")

    def create_key(self, **described: Any) -> Json:
        """name, workspace, team, user, models, scopes, trusted, user_secret, expires. `secret` is shown this once."""
        return _object(self._wire.post(f"{_API}/gateway/keys", described))

    def rotate_key(self, key: str, *, grace_seconds: float) -> Json:
        path = f"{_API}/gateway/keys/{_part(key)}/rotate"
        return _object(self._wire.post(path, {"grace_seconds": grace_seconds}))

    def revoke_key(self, key: str) -> Json:
        return _object(self._wire.delete(f"{_API}/gateway/keys/{_part(key)}"))

    def secrets(self) -> list[str]:
        """Their names."""
        return _list(self._wire.get(f"{_API}/gateway/secrets"), "secrets")

    def set_secret(self, name: str, value: str) -> Json:
        return _object(self._wire.put(f"{_API}/gateway/secrets/{_part(name)}", {"value": value}))

    def remove_secret(self, name: str) -> Json:
        return _object(self._wire.delete(f"{_API}/gateway/secrets/{_part(name)}"))

    def rotate_secrets(self) -> Json:
        return _object(self._wire.post(f"{_API}/gateway/secrets/rotate", {}))

    def spend(self, *, by: str = "", since: float | None = None, until: float | None = None) -> list[Json]:
        """What calls to language models used and cost, the dearest first; `by` such as team,model,day."""
        return _list(self._wire.get(f"{_API}/gateway/spend", by=by or None, since=since, until=until), "sums")

    def live(self, endpoint: str) -> Json:
        return _object(self._wire.get(f"{_API}/live", endpoint=endpoint))

    def models(self) -> list[Any]:
        return _list(self._wire.get("/models"), "models")

    def versions(self, model: str) -> list[Json]:
        return _list(self._wire.get(f"/models/{_part(model)}/versions"), "versions")

    def move_stage(self, model: str, version: int, stage: str, *, reason: str = "") -> Json:
        path = f"/models/{_part(model)}/stage"
        body = {"version": version, "stage": stage} | ({"reason": reason} if reason else {})
        return _object(self._wire.post(path, body))

    def export(self, write: Callable[[bytes], Any], **selection: Any) -> dict[str, str]:
        """The flywheel's data set, written piece by piece; answers the headers, which name the dataset version."""
        return dict(self._wire.download("/export", write, **selection))

    def _act(self, release_id: str, action: str, reason: str) -> Json:
        return _object(self._wire.post(f"{_API}/releases/{_part(release_id)}/{action}", {"reason": reason}))


def _part(name: str) -> str:
    return quote(name, safe="")


def _object(content: Any) -> Json:
    return content if isinstance(content, dict) else {"value": content}


def _list(content: Any, name: str) -> list[Any]:
    """A list, bare or under its name: `{"releases": […]}`."""
    found = content.get(name, []) if isinstance(content, dict) else content
    return list(found)
