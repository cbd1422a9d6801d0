"""A control plane's services around a console, with the life of a small shop in them: for Chromium tests and pictures.

The store, the journal, the live figures and the data are real (scikit-learn's digits, answered by a model trained on
them). What is played: the release service only moves phases, and `predict` answers from the model in this process.
`python -m tests.browser.stage FOLDER [--empty] [--still] [--theatre]` serves it until its standard input ends.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fastapi
import uvicorn
from nicegui import Client
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from headrace.base.clock import Clock, SystemClock
from headrace.base.ids import TraceIds, keyed_hash, new_id
from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.console.mount import mount
from headrace.control.configuration import Configuration
from headrace.control.gateway import GatewayLook
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.review import Reviews
from headrace.flywheel.turns import Turns
from headrace.monitor.live import LiveStats
from headrace.notify.hooks import Hooks
from headrace.notify.sender import Sender
from headrace.provision.service import Provision
from headrace.release import approvals as rules
from headrace.release import evalue
from headrace.release import undo as undoing
from headrace.release.advance import advance
from headrace.release.plans import plan_from
from headrace.release.record import seen
from headrace.release.story import Stories
from headrace.store import approvals, audit, endpoints, feedbacks, plans, releases, versions
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.store.migrate import migrate
from headrace.store.secrets import Vault
from headrace.types.approval import Approval, Deed
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.dataset import Recipe
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import Conflict, NotFound
from headrace.types.history import About, Holding
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
from headrace.types.release import Cohort, Event, Interval, Judgement, Phase, Release, Tally
from headrace.types.traffic import Reason, TrafficPolicy
from tests.browser import asked, hooked, shadowed, theatre, wheel
from tests.browser.written import PlayedPrograms

ROOT = Path(__file__).parents[2]
KEY = b"stage" * 4
PAST_SECONDS = 330
RATE = 24  # calls a second of digits
USERS = [f"user-{n}" for n in range(400)]


class PlayedPlanes:
    """None runs: chat endpoints are in talking.py."""

    url = "http://127.0.0.1:8000"

    def health(self) -> tuple[Any, ...]:
        return ()

    def limits(self) -> list[dict[str, Any]]:
        return []


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
    hooks: Hooks
    datasets: Datasets
    reviews: Reviews
    turns: Turns
    provision: Provision
    gateway: GatewayLook
    configuration: Configuration
    planes: Any
    programs: PlayedPrograms
    playground: Any = field(default_factory=asked.PlayedPlayground)
    trouble: str = ""  # what the data plane says about itself

    def status(self) -> dict[str, Any]:
        plane = {"url": self.planes.url, "ready": not self.trouble, "revision": 1, "error": self.trouble, "lost": 0}
        return {"planes": [plane], "mlflow": {"ok": True, "error": ""}, "failing": []}

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
        self.rows = digits.data.astype(int).tolist()
        model = LogisticRegression(max_iter=200, C=0.05).fit(digits.data[:1000] / 16, digits.target[:1000])
        scores = model.predict_proba(digits.data / 16).round(4).tolist()
        rows = zip(self.rows, scores, digits.target.tolist(), strict=True)
        self.known = {tuple(row): (scored, label) for row, scored, label in rows}
        self.told = 0  # the last second that was played
        self.shares: list[tuple[float, int]] = [(0.0, 0)]  # of v2 of digits, and since when

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        share = self.share_at(self.clock.now())
        variant = "v4" if endpoint == "churn" else "v2" if _bucket(user) < share else "v1"
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
            scores, _ = self.known[tuple(inputs[0])]
            return {"label": [scores.index(max(scores))], "probabilities": [scores]}
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
            row = {
                "tenure": self.random.randint(1, 72),
                "plan": self.random.choice(["flat", "pay as you go", "business"]),
                "tickets": self.random.randint(0, 6),
                "monthly": round(self.random.uniform(8, 90), 2),
            }
            made.append(self.call("churn", "v4", self.random.choice(USERS), [row], now=at + n / 5))
        if self.random.random() < 0.06:
            made.append(replace(made[0], trace_id=self.ids.mint(at), status=CallStatus.REJECTED, output=None,
                                error="inputs has shape (1, 63); digits takes (-1, 64)", counted=False))  # fmt: skip
        return made

    def share_at(self, at: float) -> int:
        return [share for since, share in self.shares if since <= at][-1]


def _bucket(user: str) -> int:
    return int(keyed_hash(KEY, user), 16) % 10_000


class PlayedReleases:
    """Moves phases as release.service does, without planes to wait for."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self.tell = Stories(database).tell

    def deploy(self, endpoint: str, uri: str, *, actor: str, reason: str) -> None:
        """Of a program: the endpoint becomes what the version is."""
        now, model = self._clock.now(), self._version(uri)
        variant = Variant(name=f"v{model.version}", model=model, package=_package(model, now))
        made = Endpoint(
            name=endpoint, model=model.name, variants=(variant,),
            policy=TrafficPolicy(baseline=variant.name, salt=endpoint), selectors={str(model.version): variant.name},
        )  # fmt: skip
        with self._database.write() as conn:
            others = [each for each in endpoints.all(conn) if each.name != endpoint]
            plans.publish(conn, [*others, made], reason="deployed", now=now)
            audit.append(
                conn, actor=actor, action="endpoint.deploy", subject=f"endpoint:{endpoint}", detail=reason, now=now
            )

    def start(self, endpoint: str, uri: str, *, actor: str) -> Release:
        now, model = self._clock.now(), self._version(uri)
        with self._database.write() as conn:
            there = endpoints.get(conn, endpoint)
            assert there is not None
            candidate = f"v{model.version}"
            began = replace(_new(new_id("rel"), endpoint, there.policy.baseline, candidate, at=now), candidate_uri=uri)
            releases.put(conn, began)
        return began

    def _version(self, uri: str) -> ModelVersion:
        name, _, number = uri.removeprefix("models:/").partition("/")
        with self._database.read() as conn:
            return next(each for each in versions.all(conn, name) if each.version == int(number))

    def pause(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PAUSED, "paused", actor=actor, reason=reason or "paused by hand")

    def resume(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PROGRESSING, "resumed", actor=actor, reason=reason, approved=True)

    def promote(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.PROMOTED, "promoted", actor=actor, reason=reason)

    def abort(self, release_id: str, *, actor: str, reason: str) -> Release:
        return self._move(release_id, Phase.ABORTED, "aborted", actor=actor, reason=reason)

    def approve(self, approval_id: str, *, actor: str, reason: str) -> Approval:
        return self._answer(approval_id, lambda r, now: rules.approved(r, actor=actor, reason=reason, now=now))

    def refuse(self, approval_id: str, *, actor: str, reason: str) -> Approval:
        return self._answer(approval_id, lambda r, now: rules.refused(r, now=now))

    def find_undo(self, endpoint: str) -> undoing.Undo:
        with self._database.read() as conn:
            return undoing.look(conn, endpoint)

    def undo(self, endpoint: str, *, actor: str, reason: str, entry: int) -> None:
        found, now = self.find_undo(endpoint), self._clock.now()
        assert found.entry.id == entry
        with self._database.write() as conn:
            there = endpoints.get(conn, endpoint)
            assert there is not None
            back = replace(there, policy=TrafficPolicy(baseline=found.to.variant, salt=endpoint))
            others = [each for each in endpoints.all(conn) if each.name != endpoint]
            plans.publish(conn, [*others, back], reason="undone", now=now)
            audit.append(
                conn, actor=actor, action="endpoint.undo", subject=f"endpoint:{endpoint}", detail=reason, now=now,
                about=About(
                    endpoint=endpoint, before=found.entry.about.after, after=(replace(found.to, share=10_000),),
                    undoes=entry,
                ),
            )  # fmt: skip

    def _answer(self, approval_id: str, answer: Any) -> Approval:
        with self._database.write() as conn:
            request = approvals.get(conn, approval_id)
            assert request is not None
            answered: Approval = answer(request, self._clock.now())
            approvals.put(conn, answered)
        return answered

    def _move(
        self, release_id: str, phase: Phase, name: str, *, actor: str, reason: str, approved: bool = False
    ) -> Release:
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
                approved=approved,
                paused_reason=reason if phase is Phase.PAUSED else "",
                ended=now if phase.ended else 0.0,
                history=(*release.history, Event(time=now, name=name, detail=reason, actor=actor)),
            )
            releases.put(conn, moved)
            subject = f"release:{release_id}"
            audit.append(conn, actor=actor, action=f"release.{name}", subject=subject, detail=reason, now=now)
        return moved


def build(folder: Path, *, empty: bool = False, staged: bool = False) -> StageServices:
    """`staged`: with the releases of theatre.py."""
    clock = SystemClock()
    settings, planes = Settings(home=folder), PlayedPlanes()
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    migrate(database)
    journal = Journal(settings.journal, "data-1", segment_bytes=64 << 20, segment_seconds=3600, clock=clock)
    live = LiveStats(clock)
    shop = Shop(clock, journal, live)
    query = JournalQuery(settings.journal)
    provision = Provision(
        database=database, vault=Vault(settings.keys, Secret("")), pepper=KEY, catalogue=lambda _: (), clock=clock
    )
    releases, packages = PlayedReleases(database, clock), Artifacts(settings.artifacts)
    look = GatewayLook(
        database=database, provision=provision, planes=planes, artifacts=packages, clock=clock,
        hashed=lambda user: keyed_hash(KEY, user),
    )  # fmt: skip
    services = StageServices(
        settings=settings, clock=clock, database=database, query=query, live=live,
        datasets=Datasets(database=database, query=query, folder=settings.artifacts / "datasets", clock=clock),
        reviews=Reviews(database=database, query=query, clock=clock),
        provision=provision, gateway=look, planes=planes, releases=releases, shop=shop,
        configuration=Configuration(provision, releases, database=database, packages=packages),
        trouble="no plan yet" if empty else "",
        hooks=Hooks(database=database, sender=Sender(KEY, clock, "stage"), clock=clock),
        turns=wheel.wheels(folder, database, JournalQuery(settings.journal), clock),
        programs=PlayedPrograms(folder, database, clock),
    )  # fmt: skip
    if empty:
        services.playground.names = ()
    else:
        _furnish(services)
    if staged:
        with database.write() as conn:
            theatre.furnish(conn, clock.now())
    return services


def _furnish(services: StageServices) -> None:
    now, shop = services.clock.now(), services.shop
    played = list(_releases(now))
    going = played[0][0]
    shop.shares += [(event.time, event.share) for event in going.history]
    shop.told = int(now) - 1
    calls = [call for second in range(PAST_SECONDS) for call in shop.second(shop.told - PAST_SECONDS + 1 + second)]
    for call in calls:
        shop.keep(call)
    with services.database.write() as conn:
        for version in _models(now):
            versions.put(conn, version)
        plans.publish(conn, _endpoints(now, shop.share_at(now)), reason="digits: v2 gets more", now=now - 50)
        for release, looks in played:
            releases.put(conn, release)
            for interval, evalues, judgement in looks:
                releases.add_interval(conn, release.id, interval=interval, evalues=evalues, judgement=judgement)
        changes = [(event, release) for release, _ in played for event in release.history]
        for event, release in sorted(changes, key=lambda change: change[0].time):
            audit.append(
                conn, actor=event.actor, action=f"release.{event.name}", subject=f"release:{release.id}",
                detail=event.detail, now=event.time, about=_about(release, event),
            )  # fmt: skip
        approvals.put(conn, _waiting(now))
        feedbacks.put(conn, _feedback(shop, calls))
        shadowed.furnish(conn, now)
        wheel.furnish(conn, services.settings.home, now)
        hooked.furnish(conn, now, position=audit.newest_id(conn))
    services.datasets.make(Recipe(model="digits", until=now - 60))
    services.datasets.make(Recipe(model="digits"))
    services.reviews.draw("digits", 40)
    for number, case in enumerate(services.reviews.cases("grace", limit=30)):
        services.reviews.label(case.item.trace_id, case.output, "grace")
        if number % 3 == 0:
            services.reviews.label(case.item.trace_id, case.output if number % 2 else 3, "linus")


def _about(release: Release, event: Event) -> About:
    """With the traffic that the event gave, and at the end what was known."""

    def held(share: int) -> tuple[Holding, ...]:
        parts = ((release.baseline, 10_000 - share), (release.candidate, share))
        return tuple(
            Holding(variant=name, uri=f"models:/digits/{name[1:]}", share=part) for name, part in parts if part
        )

    earlier = [e.share for e in release.history if e.time < event.time]
    share = {"promoted": 10_000, "rolled_back": 0, "aborted": 0}.get(event.name, event.share)
    known = seen(release) if event is release.history[-1] else ()
    return About(
        endpoint=release.endpoint, release=release.id, before=held(earlier[-1] if earlier else 0), after=held(share),
        evidence=known,
    )  # fmt: skip


def _waiting(now: float) -> Approval:
    deed = Deed(kind="stage", model="digits", arguments={"version": 3, "stage": "Production", "leaves": ["None"]})
    return Approval(
        id="apr_4k2m8q", deed=deed, sentence="digits version 3 moves to Production", actor="ada",
        reason="better on odd digits", created=now - 400, expires=now + 80_000, people=1,
    )  # fmt: skip


def _package(model: ModelVersion, now: float) -> Package:
    column = {"datatype": Datatype.BYTES, "shape": (-1,)}
    signature = Signature(
        inputs=(TensorSpec(name="text", **column),), outputs=(TensorSpec(name="team", **column),), layout=Layout.COLUMNS
    )
    return Package(
        id=model.uri, model=model.name, version=model.version, source_sha256="", runtime=RuntimeKind.PROGRAM,
        signature=signature, files=(), created=now,
    )  # fmt: skip


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


def _endpoints(now: float, share: int) -> list[Endpoint]:
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
            policy=TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="digits"),
            selectors={"1": "v1", "2": "v2", "@champion": "v1"},
        ),
        Endpoint(
            name="churn", model="churn", variants=(variant(churn, churn_in, RuntimeKind.PYFUNC, 0),),
            policy=TrafficPolicy(baseline="v4", salt="churn"), selectors={"4": "v4", "@champion": "v4"},
        ),
    ]  # fmt: skip


Look = tuple[Interval, dict[str, float], Judgement]
Rates = dict[str, tuple[float, float]]  # by metric: how often baseline's and candidate's users have the bad event
FAIR: Rates = {
    "errors": (0.002, 0.002),
    "feedback": (0.03, 0.02),
    "slow_p99": (0.01, 0.01),
    "slow_p90": (0.1, 0.09),
    "slow_p50": (0.12, 0.1),
}
WORSE: Rates = {
    "errors": (0.002, 0.02),
    "feedback": (0.03, 0.5),
    "slow_p99": (0.01, 0.03),
    "slow_p90": (0.1, 0.2),
    "slow_p50": (0.12, 0.2),
}
GOING, BACK, DONE = "rel_7k2v9q5c1d8f3m0x", "rel_3m8x0k2v7q5c9d1f", "rel_1d8f3m0x7k2v9q5c"


def _releases(now: float) -> Iterator[tuple[Release, list[Look]]]:
    """Judged by the real judge on played tallies: one going on, one rolled back, one promoted."""
    yield _judge(_new(GOING, "digits", "v1", "v2", at=now - 290), FAIR, until=now, seed=5)
    yield _judge(_new(BACK, "digits", "v1", "v3", at=now - 2400), WORSE, until=now - 1800, seed=3)
    yield _judge(_new(DONE, "churn", "v3", "v4", at=now - 90_000), FAIR, until=now - 80_000, seed=2)


def _new(release_id: str, endpoint: str, baseline: str, candidate: str, *, at: float) -> Release:
    plan = plan_from({"min_seconds": 120, "min_units": 40})
    steps = (*plan.steps[:2], replace(plan.steps[2], min_units=480 if release_id == GOING else 40), *plan.steps[3:])
    plan = replace(plan, steps=steps)
    started = Event(time=at, name="started", detail="canary 1 → 5 → 25 → 50 → 100 %", actor="ada", share=100)
    return Release(
        id=release_id, endpoint=endpoint, baseline=baseline, candidate=candidate, plan=plan, phase=Phase.PROGRESSING,
        candidate_uri=f"models:/{endpoint}/{candidate[1:]}", created=at, step_started=at, actor="ada",
        history=(started,),
    )  # fmt: skip


def _judge(release: Release, rates: Rates, *, until: float, seed: int) -> tuple[Release, list[Look]]:
    """Intervals of two seconds until the release ends or the time is over."""
    rng, looks, at, units, called = random.Random(seed), [], release.created, 0, (0, 0)
    while at + 2 <= until and not release.phase.ended:
        at, step = at + 2, release.step
        part = max(release.plan.steps[step].share / 10_000, 0.05)
        units = units + 2 + round(part * 30) if looks and looks[-1][0].step == step else 2
        tallies = {name: _tally(rng, part, *rate) for name, rate in rates.items()}
        said = tallies.pop("feedback")
        called = called[0] + said.baseline_units, called[1] + said.candidate_units
        interval = Interval(
            start=at - 2, end=at, step=step, candidate_units=units, failures_in_row=0, release=tallies,
            step_wise=tallies, late=(Cohort(step=step, release=said, step_wise=said),), called=called,
            cuts={"slow_p99": 6.4, "slow_p90": 4.1, "slow_p50": 3.8},
        )  # fmt: skip
        decision = advance(release, interval, at)
        release = decision.release
        evalues = {name: evalue.harm(found) for name, found in (release.evidence or {}).items()}
        looks.append((interval, evalues, decision.judgement))
    return release, looks


def _tally(rng: random.Random, part: float, base: float, cand: float) -> Tally:
    candidate = max(round(part * 12), 1)
    baseline = 12 - candidate
    return Tally(
        baseline_units=baseline, candidate_units=candidate,
        baseline_events=sum(rng.random() < base for _ in range(baseline)),
        candidate_events=sum(rng.random() < cand for _ in range(candidate)),
    )  # fmt: skip


def _feedback(shop: Shop, calls: list[Call]) -> list[Feedback]:
    """Who got a wrong answer says so; one in twelve of the others says thanks."""
    made = []
    for number, call in enumerate(calls):
        if call.endpoint != "digits" or call.status is not CallStatus.OK:
            continue
        _, truth = shop.known[tuple(call.input[0])]
        right = call.output["label"][0] == truth
        base = {"trace_id": call.trace_id, "rater": call.unit, "time": call.time + 1}
        if not right or not number % 12:
            made.append(Feedback(id=f"fb_{call.trace_id}_r", name=FeedbackName.RATING, value=right, **base))
        if not right:
            words = "The loop is open at the top."
            made.append(Feedback(id=f"fb_{call.trace_id}_c", name=FeedbackName.CORRECTION, value=truth, **base))
            made.append(Feedback(id=f"fb_{call.trace_id}_t", name=FeedbackName.COMMENT, value=words, **base))
    return made


@contextmanager
def running(services: StageServices, *, live: bool = True) -> Iterator[str]:
    """The console of `services` on a free port of this machine; with `live`, users go on calling. Once a process."""
    app = fastapi.FastAPI()

    @app.get("/health")
    def health() -> dict[str, int]:
        """How many page loads the console still holds."""
        return {"clients": len(Client.instances)}

    @app.post("/api/told")
    def told() -> dict[str, bool]:
        """A receiver of webhooks."""
        return {"ok": True}

    mount(app, services)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.run, name="console"),
        threading.Thread(target=_go_on, args=(services, stop, live), name="users"),
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{port}"
        time.sleep(0.02)
    raise TimeoutError("the console did not start")


def _go_on(services: StageServices, stop: threading.Event, live: bool) -> None:
    """Second by second, also those that were missed while the machine was busy; then people say what they think."""
    shop = services.shop
    told = shop.told or int(shop.clock.now()) - 1
    while live and not stop.wait(0.25):
        while told < int(shop.clock.now()) - 1:
            told += 1
            calls = shop.second(told)
            for call in calls:
                shop.keep(call)
            with services.database.write() as conn:
                feedbacks.put(conn, _feedback(shop, calls))


@contextmanager
def spawned(home: Path, *flags: str) -> Iterator[str]:
    """The stage in a process of its own, as it would be served. Its address."""
    argv = [sys.executable, "-m", "tests.browser.stage", str(home), *flags]
    env = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }  # NiceGUI looks at these
    with (home.parent / f"{home.name}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=env)
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode().strip()
            assert line.startswith("http"), (home.parent / f"{home.name}.log").read_text()
            yield line
        finally:
            process.communicate(timeout=30)  # it ends with its standard input


def main() -> None:
    home, flags = Path(sys.argv[1]), sys.argv[2:]
    with running(
        build(home, empty="--empty" in flags, staged="--theatre" in flags), live="--still" not in flags
    ) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
