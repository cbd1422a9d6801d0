"""The control plane's services in one container: what the admin API and the console may call.

Built by app/control.py. A page or a route takes what it needs from here and constructs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace import __version__
from headrace.base.clock import Clock
from headrace.base.settings import Settings
from headrace.batch.jobs import Jobs
from headrace.chat.collect import ChatRatings
from headrace.control.configuration import Configuration
from headrace.control.gateway import GatewayLook
from headrace.control.loops import Loops
from headrace.control.planes import PlaneHealth, Planes
from headrace.control.playground import Playground
from headrace.flywheel.collect import Collector
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.export import Exporter
from headrace.flywheel.review import Reviews
from headrace.flywheel.stream import Streamer
from headrace.flywheel.turns import Turns
from headrace.monitor.live import LiveStats
from headrace.monitor.mirror import Mirror
from headrace.notify.hooks import Hooks
from headrace.programs.service import Programs
from headrace.provision.service import Provision
from headrace.release.service import Releases
from headrace.store import cursors, plans
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.reader import earliest
from headrace.store.registry import Registry
from headrace.store.traces import TraceSink
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import HeadraceError
from headrace.types.journal import Position

# Who must have read a journal segment before it goes. A release's own cursor joins them while it runs.
CONSUMERS = ("mirror", "collect", "ledger")
SETTLE_SECONDS = 5.0


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
    streamer: Streamer
    datasets: Datasets
    reviews: Reviews
    collector: Collector
    jobs: Jobs
    turns: Turns
    programs: Programs
    mirror: Mirror
    chat: ChatRatings
    links: TraceSink  # impatient: for pages that a person waits for
    hooks: Hooks
    provision: Provision
    configuration: Configuration
    gateway: GatewayLook
    planes: Planes
    playground: Playground
    loops: Loops
    started: float

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        """A call through the data plane, as any application makes it."""
        return self.planes.predict(endpoint, inputs, user)

    def mlflow_link(self, trace_id: str) -> str | None:
        """Where MLflow shows this trace; None when it has not got it (it keeps a sample), or does not answer."""
        try:
            return f"/mlflow{self.links.page(trace_id)}" if self.links.has(trace_id) else None
        except HeadraceError:
            return None

    def follow_registry(self) -> None:
        """The registry as it is now, in force for the next request. Raises UpstreamError while MLflow is away."""
        self.releases.sync()
        self.settle()

    def settle(self) -> int:
        """Wait a moment until the data planes run the newest plan. Its revision."""
        return self.in_force().revision

    def in_force(self) -> PlaneReport:
        """The same, and whether they do."""
        return in_force(self.database, self.planes)

    def status(self) -> dict[str, Any]:
        """Answers within a second or so whatever is down: what the loops met last is as good as asking again."""
        with self.database.read() as conn:
            revision = plans.revision(conn)
        loops = {state.name: state for state in self.loops.states()}
        registry = loops.get("registry")
        return {
            "version": __version__,
            "started": self.started,
            "uptime_seconds": round(self.clock.now() - self.started, 1),
            "revision": revision,
            "planes": [self._plane(plane) for plane in self.planes.health()],
            "mlflow": {
                "url": "/mlflow/",
                "ok": registry is not None and registry.turns > 0 and not registry.failing,
                "error": registry.error if registry else "",
            },
            "mirror": self.mirror.state,
            "feedback": {"collected": self.collector.collected},
            "loops": list(loops.values()),
            "failing": [state.name for state in loops.values() if state.failing],
        }

    def _plane(self, plane: PlaneHealth) -> dict[str, Any]:
        health = plane.told
        named = {"name": plane.name, "url": self.planes.url}
        if health is None:
            silent = "is not running" if plane.down else "does not answer"
            error = f"the data plane {plane.name} at {self.planes.url} {silent}; headrace status"
            return named | {"ready": False, "revision": 0, "error": error, "lost": 0}
        return named | {
            "ready": health.get("status") == "ready",
            "revision": health.get("revision", 0),
            "error": (health.get("plan") or {}).get("error") or "",
            "lost": (health.get("journal") or {}).get("lost", 0),
        }


def keep_until(database: Database) -> Position:
    """Up to where the archive may delete: one of CONSUMERS that has kept no cursor yet has read nothing."""
    with database.read() as conn:
        kept = cursors.all(conn)
    return earliest([*kept.values(), *(Position() for name in CONSUMERS if name not in kept)])


def in_force(database: Database, planes: Planes) -> PlaneReport:
    """The newest plan, waited for a moment. Where no plane is up nobody is waited for: they start with it."""
    with database.read() as conn:
        revision = plans.revision(conn)
    if not revision or not planes.up():
        return PlaneReport(revision=revision, live=False)
    return planes.await_plan(revision, SETTLE_SECONDS)
