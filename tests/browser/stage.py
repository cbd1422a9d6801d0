"""A control plane's services around a console, with the life of a small shop in them: for Chromium tests and pictures.

The store, the journal, the live figures and the data are real (scikit-learn's digits, answered by a model trained on
them). What is played: the release service only moves phases, and `predict` answers from the model in this process.
`python -m tests.browser.stage` serves it until it is stopped.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastapi
import httpx
import uvicorn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from headrace.base.clock import Clock, SystemClock
from headrace.base.ids import TraceIds, keyed_hash
from headrace.base.settings import Settings
from headrace.console.mount import mount
from headrace.monitor.live import LiveStats
from headrace.store import audit, feedbacks, plans, releases, versions
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.store.migrate import migrate
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import Conflict, NotFound
from headrace.types.model import (
    Datatype,
    Layout,
    ModelVersion,
    Package,
    Parity,
    RuntimeKind,
    Signature,
    Stage,
    TensorSpec,
)
from headrace.types.release import (
    Event,
    Interval,
    Judgement,
    MetricEvidence,
    MetricKind,
    MetricSpec,
    Phase,
    Release,
    ReleasePlan,
    Step,
    Strategy,
    Verdict,
)
from headrace.types.traffic import Reason, TrafficPolicy

KEY = b"stage" * 4
PAST_SECONDS = 300
RATE = 24  # calls a second of digits
USERS = [f"user-{n}" for n in range(400)]


@dataclass(kw_only=True)
class StageServices:
    """The names that the console uses of control.services.Services."""

    settings: Settings
    clock: Clock
    database: Database
    query: JournalQuery
    live: LiveStats
    releases: PlayedReleases
    shop: Shop

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        return self.shop.predict(endpoint, inputs, user)

    def mlflow_link(self, trace_id: str) -> str | None:
        return f"/mlflow/#/experiments/1/traces?selectedEvaluationId={trace_id}"


class Shop:
    """Users who call, and the models that answer them."""

    def __init__(self, clock: Clock, journal: Journal, live: LiveStats) -> None:
        self.clock, self.journal, self.live = clock, journal, live
        self.random = random.Random(7)
        self.ids = TraceIds(KEY)
        digits = load_digits()
        self.rows, self.labels = digits.data.astype(int).tolist(), digits.target.tolist()
        self.model = LogisticRegression(max_iter=60, C=0.002).fit(digits.data[:1000], digits.target[:1000])
        self.share = 2500

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        variant = "v2" if endpoint == "digits" and _bucket(user) < self.share else {"churn": "v4"}.get(endpoint, "v1")
        call = self.call(endpoint, variant, user, inputs, now=self.clock.now())
        self.keep(call)
        return {
            "result": call.output, "trace_id": call.trace_id, "variant": variant,
            "model_version": str(call.version), "latency_ms": call.latency_ms,
        }  # fmt: skip

    def call(self, endpoint: str, variant: str, user: str, inputs: Any, *, now: float) -> Call:
        version = int(variant[1:])
        latency = self.random.lognormvariate(0.55 if variant == "v1" else 0.35, 0.35) + (variant == "v3") * 4
        status = CallStatus.OK
        if variant == "v3" and self.random.random() < 0.04:
            status = CallStatus.FAILED
        output: Any = None
        if status is CallStatus.OK:
            output = self.answer(endpoint, inputs)
        return Call(
            trace_id=self.ids.mint(now), time=now, endpoint=endpoint, variant=variant, version=version,
            unit=keyed_hash(KEY, user), sticky=True, counted=True, reason=Reason.BUCKET, status=status,
            latency_ms=round(latency, 3), run_ms=round(latency * 0.4, 3), revision=14, input=inputs, output=output,
            error="the model raised ValueError: negative pixel" if status is CallStatus.FAILED else "",
        )  # fmt: skip

    def answer(self, endpoint: str, inputs: Any) -> Any:
        if endpoint == "digits":
            scores = self.model.predict_proba([inputs[0]])[0]
            return {"label": [int(scores.argmax())], "probabilities": [[round(float(s), 4) for s in scores]]}
        return {"label": ["leaves" if inputs[0]["tickets"] > 3 else "stays"]}

    def keep(self, call: Call) -> None:
        self.journal.append(encode_call(call))
        self.live.feed([call])

    def second(self, at: float) -> list[Call]:
        """The calls of one second."""
        made = []
        wave = RATE * (1 + 0.25 * math.sin(at / 23)) + self.random.uniform(-3, 3)
        for n in range(max(int(wave), 1)):
            user = self.random.choice(USERS)
            variant = "v2" if _bucket(user) < self.share_at(at) else "v1"
            index = self.random.randrange(len(self.rows))
            made.append(self.call("digits", variant, user, [self.rows[index]], now=at + n / (wave + 1)))
        for n in range(self.random.randint(1, 4)):
            row = {"tenure": self.random.randint(1, 72), "plan": self.random.choice(["flat", "pay as you go", "business"]),
                   "tickets": self.random.randint(0, 6), "monthly": round(self.random.uniform(8, 90), 2)}  # fmt: skip
            made.append(self.call("churn", "v4", self.random.choice(USERS), [row], now=at + n / 5))
        if self.random.random() < 0.06:
            made.append(replace(made[0], trace_id=self.ids.mint(at), status=CallStatus.REJECTED, output=None,
                                error="inputs has shape (1, 63); digits takes (-1, 64)", counted=False))  # fmt: skip
        return made

    def share_at(self, at: float) -> int:
        past = self.clock.now() - at
        return 0 if past > 200 else 100 if past > 140 else 500 if past > 80 else self.share


def _bucket(user: str) -> int:
    return int(keyed_hash(KEY, user), 16) % 10_000


class PlayedReleases:
    """Moves phases as release.service does, without planes to wait for."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def pause(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PAUSED, "paused", actor=actor, reason=reason or "paused by hand")

    def resume(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PROGRESSING, "resumed", actor=actor, reason=reason)

    def promote(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PROMOTED, "promoted", actor=actor, reason=reason)

    def abort(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.ABORTED, "aborted", actor=actor, reason=reason)

    def _move(self, release_id: str, phase: Phase, name: str, *, actor: str, reason: str) -> Release:
        now = self._clock.now()
        with self._database.write() as conn:
            release = releases.get(conn, release_id)
            if release is None:
                raise NotFound(f"no release {release_id!r}")
            if release.phase.ended:
                raise Conflict(f"release {release_id!r} has ended: {release.phase}", hint="start another one")
            moved = replace(
                release,
                phase=phase,
                paused_reason=reason if phase is Phase.PAUSED else "",
                ended=now if phase.ended else 0.0,
                history=(*release.history, Event(time=now, name=name, detail=reason, actor=actor)),
            )
            releases.put(conn, moved)
            audit.append(
                conn, actor=actor, action=f"release.{name}", subject=f"release:{release_id}", detail=reason, now=now
            )
        return moved


def build(folder: Path, *, empty: bool = False) -> StageServices:
    clock = SystemClock()
    settings = Settings(home=folder)
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    migrate(database)
    journal = Journal(settings.journal, "data-1", segment_bytes=64 << 20, segment_seconds=3600, clock=clock)
    live = LiveStats(clock)
    shop = Shop(clock, journal, live)
    services = StageServices(
        settings=settings, clock=clock, database=database, query=JournalQuery(settings.journal), live=live,
        releases=PlayedReleases(database, clock), shop=shop,
    )  # fmt: skip
    if not empty:
        _furnish(services)
    return services


def _furnish(services: StageServices) -> None:
    now, shop = services.clock.now(), services.shop
    calls = [call for second in range(PAST_SECONDS, 0, -1) for call in shop.second(now - second)]
    for call in calls:
        shop.keep(call)
    with services.database.write() as conn:
        for version in _models(now):
            versions.put(conn, version)
        plans.publish(conn, _endpoints(now), reason="candidate v2 of digits gets 25 %", now=now - 78)
        for release, looks in _releases(now):
            releases.put(conn, release)
            for interval, evalues, judgement in looks:
                releases.add_interval(conn, release.id, interval=interval, evalues=evalues, judgement=judgement)
        feedbacks.put(conn, _feedback(shop, calls))
        for back, actor, action, subject, detail in (
            (5400, "ada", "endpoint.deploy", "endpoint:churn", "churn serves churn 4"),
            (4000, "ada", "endpoint.deploy", "endpoint:digits", "digits serves digits 1"),
            (2400, "ada", "release.start", "release:rel_3m8x0k2v7q5c9d1f", "digits 3 as canary"),
            (2359, "system:release", "release.rolled_back", "release:rel_3m8x0k2v7q5c9d1f", "errors: e-value 71 ≥ 60"),
            (200, "ada", "release.start", "release:rel_7k2v9q5c1d8f3m0x", "digits 2 as canary"),
            (80, "system:release", "release.step", "release:rel_7k2v9q5c1d8f3m0x", "25 %"),
        ):
            audit.append(conn, actor=actor, action=action, subject=subject, detail=detail, now=now - back)


def _models(now: float) -> list[ModelVersion]:
    def model(
        name: str, version: int, stage: Stage, back: float, aliases: tuple[str, ...] = (), **metrics: float
    ) -> ModelVersion:
        return ModelVersion(
            name=name, version=version, uri=f"models:/{name}/{version}", flavor="sklearn", stage=stage, aliases=aliases,
            sha256=keyed_hash(KEY, f"{name}{version}") * 4, run_id=keyed_hash(KEY, name), created=now - back,
            metrics=metrics,
        )  # fmt: skip

    return [
        model("digits", 1, Stage.PRODUCTION, 5000, ("champion",), accuracy=0.913, f1=0.911),
        model("digits", 2, Stage.STAGING, 3000, ("challenger",), accuracy=0.967, f1=0.966),
        model("digits", 3, Stage.NONE, 2600, (), accuracy=0.971, f1=0.970),
        model("churn", 4, Stage.PRODUCTION, 86_400 * 3, ("champion",), auc=0.842),
    ]


def _endpoints(now: float) -> list[Endpoint]:
    digits_in = Signature(
        inputs=(TensorSpec(name="image", datatype=Datatype.FP64, shape=(-1, 64)),),
        outputs=(
            TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),
            TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 10)),
        ),
    )
    churn_in = Signature(
        layout=Layout.COLUMNS,
        inputs=tuple(
            TensorSpec(name=name, datatype=kind, shape=(-1,))
            for name, kind in (
                ("tenure", Datatype.INT64),
                ("plan", Datatype.BYTES),
                ("tickets", Datatype.INT64),
                ("monthly", Datatype.FP64),
            )
        ),
        outputs=(TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,)),),
    )

    def variant(model: ModelVersion, signature: Signature, runtime: RuntimeKind, rows: int) -> Variant:
        parity = Parity(
            passed=True, rows=rows, split_rows=rows // 3, label_flips=0, max_difference=3e-7, tolerance=1e-5
        )
        package = Package(
            id=model.sha256, model=model.name, version=model.version, source_sha256=model.sha256, runtime=runtime,
            signature=signature, files=(), parity=parity if rows else None, created=now,
        )  # fmt: skip
        return Variant(name=f"v{model.version}", model=model, package=package)

    one, two, _, churn = _models(now)
    return [
        Endpoint(
            name="digits", model="digits",
            variants=(variant(one, digits_in, RuntimeKind.ONNX, 1797), variant(two, digits_in, RuntimeKind.ONNX, 1797)),
            policy=TrafficPolicy(baseline="v1", candidate="v2", share=2500, salt="digits"),
            selectors={"1": "v1", "2": "v2", "@champion": "v1"},
        ),
        Endpoint(
            name="churn", model="churn", variants=(variant(churn, churn_in, RuntimeKind.PYFUNC, 0),),
            policy=TrafficPolicy(baseline="v4", salt="churn"), selectors={"4": "v4", "@champion": "v4"},
        ),
    ]  # fmt: skip


METRICS = (
    MetricSpec(name="errors", kind=MetricKind.ERRORS, required=True, tolerance=0.01),
    MetricSpec(name="slow_p50", kind=MetricKind.SLOW, quantile=0.5, critical=False),
    MetricSpec(name="slow_p99", kind=MetricKind.SLOW, quantile=0.99),
    MetricSpec(name="feedback", kind=MetricKind.FEEDBACK, required=True),
)
Look = tuple[Interval, dict[str, float], Judgement]


def _plan() -> ReleasePlan:
    steps = tuple(Step(share=share, min_seconds=90, min_units=60) for share in (100, 500, 2500, 5000, 10_000))
    return ReleasePlan(strategy=Strategy.CANARY, steps=steps, metrics=METRICS)


def _releases(now: float) -> Iterator[tuple[Release, list[Look]]]:
    yield (
        _going(now),
        _looks(now - 200, now, {"errors": -0.004, "slow_p50": -0.01, "slow_p99": 0.004, "feedback": -0.012}),
    )
    yield (
        _rolled_back(now),
        _looks(now - 2400, now - 2359, {"errors": 0.104, "slow_p50": 0.05, "slow_p99": 0.03, "feedback": 0.02}),
    )
    yield (
        _promoted(now),
        _looks(now - 90_000, now - 89_000, {"errors": -0.002, "slow_p50": 0.0, "slow_p99": -0.002, "feedback": -0.003}),
    )


def _evidence(scale: float, bad: float) -> dict[str, MetricEvidence]:
    def seen(base: float, cand: float) -> MetricEvidence:
        units = int(380 * scale), int(96 * scale)
        return MetricEvidence(
            baseline_units=units[0], candidate_units=units[1],
            baseline_events=round(units[0] * base), candidate_events=round(units[1] * cand),
        )  # fmt: skip

    return {
        "errors": seen(0.004, bad),
        "slow_p50": seen(0.31, 0.29),
        "slow_p99": seen(0.012, 0.018),
        "feedback": seen(0.06, 0.035),
    }


def _going(now: float) -> Release:
    return Release(
        id="rel_7k2v9q5c1d8f3m0x", endpoint="digits", baseline="v1", candidate="v2", candidate_uri="models:/digits/2",
        plan=_plan(), phase=Phase.PROGRESSING, created=now - 200, actor="ada", step=2, step_started=now - 78, step_units=96,
        evidence=_evidence(1, 0.0),
        judgement=Judgement(
            verdict=Verdict.HOLD, time=now - 1, metric="feedback",
            reason="no harm seen; 25 % needs 12 s more before the next step",
        ),
        history=(
            Event(time=now - 200, name="started", detail="canary 1 → 5 → 25 → 50 → 100 %", actor="ada"),
            Event(time=now - 199, name="step", detail="first users", actor="system:release", share=100),
            Event(time=now - 140, name="step", detail="61 users, nothing speaks against v2", actor="system:release", share=500),
            Event(time=now - 80, name="step", detail="74 users, nothing speaks against v2", actor="system:release", share=2500),
        ),
    )  # fmt: skip


def _rolled_back(now: float) -> Release:
    reason = "errors fell on v3 far more often than its share of users explains: 9 of 41 failed, v1 1 of 212; e-value 71 ≥ 60"
    return Release(
        id="rel_3m8x0k2v7q5c9d1f", endpoint="digits", baseline="v1", candidate="v3", candidate_uri="models:/digits/3",
        plan=_plan(), phase=Phase.ROLLED_BACK, created=now - 2400, ended=now - 2359, actor="ada", step=1, step_started=now - 2380,
        step_units=41, failures_in_row=2, evidence=_evidence(0.55, 0.17),
        judgement=Judgement(verdict=Verdict.ROLL_BACK, time=now - 2359, metric="errors", reason=reason),
        history=(
            Event(time=now - 2400, name="started", detail="canary 1 → 5 → 25 → 50 → 100 %", actor="ada"),
            Event(time=now - 2399, name="step", detail="first users", actor="system:release", share=100),
            Event(time=now - 2380, name="step", detail="20 users, nothing speaks against v3", actor="system:release", share=500),
            Event(time=now - 2359, name="rolled_back", detail=reason, actor="system:release"),
        ),
    )  # fmt: skip


def _promoted(now: float) -> Release:
    return Release(
        id="rel_1d8f3m0x7k2v9q5c", endpoint="churn", baseline="v3", candidate="v4", candidate_uri="models:/churn/4",
        plan=_plan(), phase=Phase.PROMOTED, created=now - 90_000, ended=now - 89_000, actor="grace", step=4,
        step_started=now - 89_100, step_units=310, evidence=_evidence(4, 0.004),
        judgement=Judgement(verdict=Verdict.ADVANCE, time=now - 89_000, reason="no harm in any metric, errors and feedback proven"),
        history=(
            Event(time=now - 90_000, name="started", detail="canary", actor="grace"),
            Event(time=now - 89_000, name="promoted", detail="v3 archived", actor="system:release", share=10_000),
        ),
    )  # fmt: skip


def _looks(start: float, end: float, drift: dict[str, float]) -> list[Look]:
    walk, rng, looks = dict.fromkeys(drift, 0.0), random.Random(3), []
    count = 120
    for n in range(count):
        for name, push in drift.items():
            walk[name] += push * 41 / count * 3.1 * (1 + n / count) / 3 + rng.gauss(0, 0.035)
        at = start + (end - start) * (n + 1) / count
        interval = Interval(start=at - (end - start) / count, end=at, step=min(n // 40, 2), candidate_units=n, failures_in_row=0,
                            release={}, step_wise={})  # fmt: skip
        looks.append((interval, dict(walk), Judgement(verdict=Verdict.HOLD, reason="no harm seen", time=at)))
    return looks


def _feedback(shop: Shop, calls: list[Call]) -> list[Feedback]:
    made = []
    digits = [call for call in calls if call.endpoint == "digits" and call.status is CallStatus.OK]
    for call in digits[-400::9]:
        truth = shop.labels[shop.rows.index(call.input[0])]
        right = call.output["label"][0] == truth
        base = {"trace_id": call.trace_id, "rater": call.unit, "time": call.time + 2}
        made.append(Feedback(id=f"fb_{call.trace_id}_r", name=FeedbackName.RATING, value=right, **base))
        if not right:
            made.append(Feedback(id=f"fb_{call.trace_id}_c", name=FeedbackName.CORRECTION, value=truth, **base))
            made.append(
                Feedback(
                    id=f"fb_{call.trace_id}_t", name=FeedbackName.COMMENT, value="The loop is open at the top.", **base
                )
            )
    return made


@contextmanager
def running(services: StageServices, *, live: bool = True) -> Iterator[str]:
    """The console of `services` on a free port of this machine; with `live`, users go on calling."""
    app = fastapi.FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    mount(app, services)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.run, name="console"),
        threading.Thread(target=_go_on, args=(services.shop, stop, live)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield _address(server)
    finally:
        stop.set()
        server.should_exit = True
        for thread in threads:
            thread.join(timeout=10)


def _address(server: uvicorn.Server) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return url
        time.sleep(0.02)
    raise TimeoutError("the console did not start")


def _go_on(shop: Shop, stop: threading.Event, live: bool) -> None:
    while live and not stop.wait(1.0):
        for call in shop.second(shop.clock.now() - 1):
            shop.keep(call)


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as home, running(build(Path(home))) as url:
        sys.stdout.write(f"{json.dumps({'url': url})}\n")
        sys.stdout.flush()
        threading.Event().wait()
