"""CPU per request of the whole path beside the peers: same model files, same rows, one session.

Called by `python -m bench serving`. Decides the order: all servers of a model run, and are measured in turn and in
rounds, forwards and backwards, so that a drift of the machine's speed meets all; a point is the median round by CPU.
Who does not install, start or answer rightly is in the table with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from sklearn.datasets import load_digits

from bench.cost import Cost, generator, measure
from bench.models import magika_rows, mlp_rows
from bench.options import Options, say
from bench.peers.base import Files, Peer, PeerFailed, Running, installed, running
from bench.peers.floors import NGINX
from bench.peers.registry import chosen
from bench.running import Platform
from bench.wire import Request, Sample, Wire, agrees, ask, infer, predict, prepare

OUTPUTS = {"digits": "label", "forest": "label", "mlp": "logits", "magika": "target_label"}
ABOUT = {
    "digits": "logistic regression on 64 pixels",
    "forest": "100 trees on 64 pixels",
    "mlp": "784-2048-2048-10, 23 MB",
    "magika": "the file-type net of the package magika, 2,048 bytes in, 214 scores out",
}
OURS = {Wire.JSON: "headrace /predict", Wire.BINARY: "headrace V2"}
MAGIKA = "magika==1.0.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    server: str
    wire: Wire
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model's table. `absent`: server → why it has no rows."""

    model: str
    costs: dict[Point, Cost]
    absent: dict[str, str]
    runs: dict[str, str]  # server → which file


def serving(platform: Platform, home: Path, options: Options) -> list[str]:
    lines = [
        "One row per request, whole path: key check, route, sticky user, journal and metrics on. CPU is of the",
        "server's whole process tree; the load generator is another process. Everybody gets the same rows and the same",
        "files: the ONNX file is the one that Headrace serves, converted by itself where the model is scikit-learn's.",
        f"Rounds in turn: {options.rounds} of {options.seconds:g} s each after a warm-up; the median by CPU.",
        f"Load: {generator()}, 1,000 users.",
        "",
    ]
    for model in options.models:
        lines += table(compare(platform, home, model, options))
    return [*lines, *versions(chosen(options.peers))]


def compare(platform: Platform, home: Path, model: str, options: Options) -> Measured:
    say(f"{model}: train and deploy")
    files = prepare_model(platform, home, model)
    sample = sample_of(files)
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        servers = list(ours(platform))
        for peer in chosen(options.peers, model):
            folder = home / "peers" / f"{peer.name}-{model}".replace(" ", "-").replace("/", "-")
            say(f"{model}: {peer.name}")
            try:
                server = stack.enter_context(running(peer, files, folder))
                verify(server, sample)
            except PeerFailed as error:
                absent[peer.name] = str(error)
                say(f"  not measured: {error}")
            else:
                servers.append(server)
        costs = rounds(servers, sample, home, options)
    runs = {peer.name: peer.runs(files) for peer in chosen(options.peers, model)}
    return Measured(model=model, costs=costs, absent=absent, runs=runs)


def prepare_model(platform: Platform, home: Path, model: str) -> Files:
    magika = ""
    if model == "magika":
        site = installed("magika", (MAGIKA,), alone=True).parents[1]
        magika = str(next(site.glob("lib/python3*/site-packages/magika/models/standard_v3_3/model.onnx")))
    keep = home / "models"
    platform.train(model, f"--keep={keep}", *((f"--magika={magika}",) if magika else ()))
    platform.run("deploy", f"models:/{model}/1", "--endpoint", model)
    packages = (platform.home / "artifacts" / "packages").glob("*/manifest.json")
    served = next(file for file in packages if json.loads(file.read_text())["model"] == model)
    joblib = keep / model / "model.joblib"
    return Files(
        name=model,
        onnx=served.with_name("model.onnx"),
        mlflow=keep / model / "mlflow",
        sklearn=joblib if joblib.exists() else None,
    )


def sample_of(files: Files) -> Sample:
    """The expected answer is ONNX Runtime's own, outside any server."""
    rows = {"mlp": mlp_rows, "magika": magika_rows}.get(files.name, lambda: load_digits().data[:1].astype(np.float32))
    row = rows()[:1]
    session = ort.InferenceSession(str(files.onnx))
    name, output = session.get_inputs()[0].name, OUTPUTS[files.name]
    expected = session.run([output], {name: row})[0].ravel().tolist()
    return Sample(name=files.name, input=name, output=output, row=row, expected=tuple(map(float, expected)))


def ours(platform: Platform) -> Iterable[Running]:
    def plain(sample: Sample, wire: Wire) -> Request | None:
        return predict(sample) if wire is Wire.JSON else None

    pid, beside = platform.pid("data"), (platform.pid("control"),)
    yield Running(name="headrace /predict", pid=pid, port=platform.port, ask=plain, beside=beside)
    yield Running(name="headrace V2", pid=pid, port=platform.port, ask=infer, beside=beside)


def verify(server: Running, sample: Sample) -> None:
    """One request of each wire, before anything is measured. A floor that computes nothing has nothing to verify."""
    for wire in Wire:
        request = server.ask(sample, wire)
        if request is None or server.name == NGINX:
            continue
        try:
            _, values = ask(server.port, request)
        except (OSError, ValueError, LookupError) as error:
            raise PeerFailed(f"{wire}: {error}") from error
        if not agrees(values, sample):
            raise PeerFailed(f"{wire}: answers {values[:3]}, the model says {sample.expected[:3]}")


def rounds(servers: list[Running], sample: Sample, home: Path, options: Options) -> dict[Point, Cost]:
    plan = [
        (Point(server=server.name, wire=wire, concurrency=c), server, request)
        for c in options.levels(sample.name)
        for wire in options.wires
        for server in servers
        if (request := server.ask(sample, wire)) is not None
    ]
    seen: dict[Point, list[Cost]] = {}
    for number in range(options.rounds):
        for point, server, request in plan if number % 2 == 0 else plan[::-1]:
            file = prepare(home / "requests", [request])
            cost = measure(
                server.pid,
                server.port,
                file,
                concurrency=point.concurrency,
                seconds=options.seconds,
                beside=server.beside,
            )
            seen.setdefault(point, []).append(cost)
            say(
                f"  {number + 1}/{options.rounds} {point.server}, {point.wire}, c={point.concurrency}:"
                f" {cost.cpu_ms:.3f} ms, {cost.per_second:,.0f}/s"
            )
    # Of two the lower: what disturbs a round only ever adds.
    return {point: sorted(seen[point], key=lambda c: c.cpu_ms)[(len(seen[point]) - 1) // 2] for point, *_ in plan}


def table(measured: Measured) -> list[str]:
    lines = [f"### {measured.model}: {ABOUT[measured.model]}", ""]
    for wire in Wire:
        levels = sorted({point.concurrency for point in measured.costs if point.wire is wire})
        if levels:
            lines += [
                f"{'JSON' if wire is Wire.JSON else 'Binary tensors'}; the ratio is to {OURS[wire]!r}.",
                "",
                "| server | file | c | CPU-ms/request | ratio | requests/s | p50 ms | p99 ms | RSS MB | failed |",
                "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
                *(row(measured, point) for point in measured.costs if point.wire is wire),
                *(f"| {name} | | | not measured: {why} | | | | | | |" for name, why in _absent(measured, wire)),
                "",
            ]
    for point, cost in measured.costs.items():
        if point.server == OURS[Wire.JSON] and point.wire is Wire.JSON:
            lines.append(
                f"Beside it, at c={point.concurrency}, the control plane spent {cost.beside_ms:.3f} ms per request of"
                f" {point.server} on reading the journal."
            )
    return [*lines, ""]


def _absent(measured: Measured, wire: Wire) -> list[tuple[str, str]]:
    """Told once: in the table that everybody could be in."""
    return [(n, why.replace("|", "/")) for n, why in measured.absent.items()] if wire is Wire.JSON else []


def row(measured: Measured, point: Point) -> str:
    cost = measured.costs[point]
    reference = measured.costs.get(Point(server=OURS[point.wire], wire=point.wire, concurrency=point.concurrency))
    ratio = f"{cost.cpu_ms / reference.cpu_ms:.2f}" if reference else ""
    return (
        f"| {point.server} | {measured.runs.get(point.server, 'ONNX')} | {point.concurrency} | **{cost.cpu_ms:.3f}** |"
        f" {ratio} | {cost.per_second:,.0f} | {cost.p50_ms:.2f} | {cost.p99_ms:.2f} | {cost.rss_mb:.0f} |"
        f" {cost.failed} |"
    )


def versions(peers: Iterable[Peer]) -> list[str]:
    """What their environments were made for."""
    made = {peer.environment: ", ".join(r.replace("==", " ") for r in peer.requires) for peer in peers if peer.requires}
    return ["Environments of the peers: " + "; ".join(made.values()) + "."] if made else []
