"""The control plane's services in one container: what the admin API and the console may call.

Built by app/control.py. A page or a route takes what it needs from here and constructs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace import __version__
from headrace.base.clock import Clock
from headrace.base.settings import Settings
from headrace.control.loops import Loops
from headrace.control.planes import Planes
from headrace.flywheel.collect import Collector
from headrace.flywheel.export import Exporter
from headrace.monitor.live import LiveStats
from headrace.monitor.mirror import Mirror
from headrace.release.service import Releases
from headrace.store import plans
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.registry import Registry
from headrace.store.traces import TraceSink
from headrace.types.errors import Unavailable, UpstreamError


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    clock: Clock
    database: Database
    query: JournalQuery
    registry: Registry
    releases: Releases
    live: LiveStats
    exporter: Exporter
    collector: Collector
    mirror: Mirror
    sink: TraceSink
    planes: Planes
    loops: Loops

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        """A call through the data plane, as any application makes it."""
        return self.planes.predict(endpoint, inputs, user)

    def mlflow_link(self, trace_id: str) -> str | None:
        """Where MLflow shows this trace; None when it has not got it (it keeps a sample), or does not answer."""
        try:
            return f"/mlflow{self.sink.page(trace_id)}" if self.sink.has(trace_id) else None
        except UpstreamError:
            return None

    def status(self) -> dict[str, Any]:
        with self.database.read() as conn:
            revision = plans.revision(conn)
        return {
            "version": __version__,
            "revision": revision,
            "planes": [{"url": self.planes.url, **self._plane()}],
            "mlflow": {"url": "/mlflow/", "ok": self.registry.alive()},
            "mirror": self.mirror.state,
            "loops": self.loops.states(),
        }

    def _plane(self) -> dict[str, Any]:
        try:
            health = self.planes.health()
        except Unavailable as error:
            return {"ready": False, "revision": 0, "error": error.sentence()}
        refused = (health.get("plan") or {}).get("error") or ""
        return {"ready": health.get("status") == "ready", "revision": health.get("revision", 0), "error": refused}
