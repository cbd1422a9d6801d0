"""Each gate on a played data plane: what passes, what fails, and that a failure names its row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.release import hook
from headrace.release.configure import configured
from headrace.release.gates import policy as policies
from headrace.release.gates.alike import same
from headrace.release.gates.answers import right
from headrace.release.gates.base import ORDER, Array, Asked, all_gates
from headrace.release.gates.run import check_gates, run_gates
from headrace.release.parts import Parts
from headrace.store.artifacts import Artifacts
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.types.endpoint import Endpoint, PlaneReport
from headrace.types.errors import BadInput, ModelFailed, ModelRefused, TimedOut
from headrace.types.gate import GateResult, Gates, Outcome
from headrace.types.model import Datatype, RuntimeKind, Signature, TensorSpec
from headrace.types.release import Phase
from headrace.types.traffic import Reason
from tests.unit.release.made import START, call, release, variant

SIGNATURE = Signature(
    inputs=(TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 2)),),
    outputs=(
        TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),
        TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 2)),
    ),
)
Model = Callable[[Array], Mapping[str, Array]]


def larger(rows: Array) -> dict[str, Array]:
    """Label 1 where the second input is larger; the scores are the inputs."""
    return {"label": (rows[:, 1] > rows[:, 0]).astype(np.int64), "scores": rows.astype(np.float32)}


class PlayedPlanes:
    """A data plane whose variants are functions."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {"v1": larger, "v2": larger}
        self.memory: int | None = 40
        self.ms = {"v1": 1.0, "v2": 1.0}
        self.asked: list[str] = []

    def ask(self, endpoint: str, name: str, arrays: Mapping[str, Array], *, specs: tuple[TensorSpec, ...]) -> Asked:
        assert endpoint == "digits"
        assert [spec.name for spec in specs] == ["input"]
        self.asked.append(name)
        try:
            return Asked(outputs=dict(self.models[name](arrays["input"])), ms=self.ms[name], trace_id="tr-1")
        except (ModelFailed, BadInput) as error:
            return Asked(outputs={}, error=error)

    def memory_mb(self, model: str, version: int) -> int | None:
        assert (model, version) == ("digits", 2)
        return self.memory


class World:
    def __init__(self, home: Path) -> None:
        self.planes = PlayedPlanes()
        self.clock = ManualClock(START)
        settings = Settings(home=home)
        settings.files_folder.mkdir(parents=True)
        self.files = settings.files_folder
        self.journal = Journal(settings.journal, "data", segment_bytes=4 << 20, segment_seconds=1e9, clock=self.clock)
        self.query = JournalQuery(settings.journal)
        self.parts = Parts(
            settings=settings,
            clock=self.clock,
            database=None,  # type: ignore[arg-type]  # gates read no tables
            registry=None,  # type: ignore[arg-type]
            artifacts=Artifacts(settings.artifacts),
            query=self.query,
            await_plan=lambda revision, seconds: PlaneReport(revision=revision, live=True),
            planes=self.planes,
        )
        old, new = (variant(number, shape=SIGNATURE) for number in (1, 2))
        self.endpoint = replace(
            Endpoint(name="digits", model="digits", variants=(old, new), policy=release_policy(), selectors={}),
            gates=Gates(),
        )
        self.told: list[str] = []

    def captured(self, *rows: list[float], **changes: Any) -> None:
        for row in rows:
            line = encode_call(call("ann", **({"input": [row], "reason": Reason.BUCKET} | changes)))
            assert self.journal.append(line)

    def wants(self, **gates: Any) -> None:
        self.endpoint = configured(self.endpoint, {"gates": gates})

    def run(self) -> dict[str, GateResult]:
        going = release(phase=Phase.PREPARING)
        results = run_gates(self.parts, going, self.endpoint, candidate="v2", progress=self.told.append)
        assert [r.endpoint for r in results] == ["digits"] * len(results)
        return {result.name: result for result in results}


def release_policy() -> Any:
    from headrace.types.traffic import TrafficPolicy

    return TrafficPolicy(baseline="v1", candidate="v2", salt="s")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()
    made.query.close()


ROWS = [[0.0, 1.0], [3.0, 2.0], [5.0, 6.0], [1.0, 0.5]]


def test_a_sound_candidate_passes_every_gate_that_has_something_to_judge(world: World) -> None:
    world.captured(*ROWS)
    found = world.run()
    assert tuple(found) == ORDER
    outcomes = {name: result.outcome for name, result in found.items()}
    assert outcomes == dict.fromkeys(ORDER, Outcome.PASSED) | {
        "answers": Outcome.SKIPPED,
        "policy": Outcome.SKIPPED,
    }
    check_gates(found.values())
    assert "4 rows" in found["latency"].detail
    assert world.told[0].startswith("gate data: passed")


def test_each_row_is_asked_alone_once_however_many_gates_look(world: World) -> None:
    world.captured(*ROWS)
    world.run()
    # alone, again for determinism, all in one; the live version once each
    assert world.planes.asked.count("v2") == len(ROWS) * 2 + 1
    assert world.planes.asked.count("v1") == len(ROWS)


def test_nothing_captured_and_nothing_brought_along_is_no_proof_and_no_failure(world: World) -> None:
    found = world.run()
    assert {found[name].outcome for name in ("data", "shapes", "finite", "parity")} == {Outcome.SKIPPED}
    assert world.planes.asked == []


def test_calls_of_gates_and_shadows_are_no_sample(world: World) -> None:
    world.captured([0.0, 1.0], reason=Reason.GATE)
    world.captured([0.0, 1.0], shadow_of="tr-2")
    assert world.run()["data"].outcome is Outcome.SKIPPED


def test_a_row_that_would_be_refused_names_itself(world: World) -> None:
    world.captured([1.0, 2.0])
    world.captured([1.0, 2.0, 3.0])
    found = world.run()["data"]
    assert found.outcome is Outcome.FAILED
    assert "inputs has shape" in found.detail
    with pytest.raises(ModelRefused, match="gate 'data' failed, no traffic has changed"):
        check_gates([found])


def failing_on(value: float, error: str) -> Model:
    def behave(rows: Array) -> Mapping[str, Array]:
        if (rows == value).any():
            raise ModelFailed(error)
        return larger(rows)

    return behave


def test_a_row_without_an_answer_is_named(world: World) -> None:
    world.captured(*ROWS)
    world.planes.models["v2"] = failing_on(3.0, "division by zero")
    found = world.run()
    assert found["shapes"].outcome is Outcome.FAILED
    assert "division by zero" in found["shapes"].detail
    assert msgspec.json.decode(found["shapes"].row) == [3.0, 2.0]
    assert found["finite"].outcome is Outcome.PASSED
    with pytest.raises(ModelRefused, match=r"the row: \[3\.0,2\.0\]"):
        check_gates(found.values())


def test_what_the_data_plane_refused_as_not_finite_is_the_finite_gate(world: World) -> None:
    world.captured(*ROWS)
    world.planes.models["v2"] = failing_on(3.0, "output 'scores' has 1 values that are NaN or infinite")
    found = world.run()
    assert found["shapes"].passed
    assert found["finite"].outcome is Outcome.FAILED
    assert msgspec.json.decode(found["finite"].row) == [3.0, 2.0]


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ({"label": np.zeros(1, np.int64)}, "'scores' is missing"),
        ({"label": np.zeros((1, 3), np.int64), "scores": np.zeros((1, 2), np.float32)}, "'label' has shape [1, 3]"),
        ({"label": np.array(["a"], object), "scores": np.zeros((1, 2), np.float32)}, "'label' is object"),
    ],
)
def test_an_answer_outside_the_signature_is_named(world: World, outputs: dict[str, Array], why: str) -> None:
    world.captured(ROWS[0])
    world.planes.models["v2"] = lambda rows: outputs
    found = world.run()["shapes"]
    assert found.outcome is Outcome.FAILED
    assert why in found.detail


def test_an_answer_that_changes_from_call_to_call_fails(world: World) -> None:
    world.captured(*ROWS)
    drawn = np.random.default_rng(1)
    world.planes.models["v2"] = lambda rows: larger(rows) | {"scores": drawn.random(rows.shape, np.float32)}
    found = world.run()["determinism"]
    assert found.outcome is Outcome.FAILED
    assert "got two answers: scores" in found.detail
    assert found.row


def test_an_answer_that_depends_on_its_company_fails(world: World) -> None:
    world.captured(*ROWS)
    world.planes.models["v2"] = lambda rows: larger(rows - rows.mean(axis=0) * (len(rows) > 1))
    found = world.run()
    assert found["batch"].outcome is Outcome.FAILED
    assert "among 4 rows than alone" in found["batch"].detail
    assert found["determinism"].passed


def test_a_retrained_model_may_differ_and_says_how_much(world: World) -> None:
    world.captured(*ROWS)
    world.planes.models["v2"] = lambda rows: larger(rows[:, ::-1])
    found = world.run()["parity"]
    assert found.outcome is Outcome.NOTED
    assert "4 of 4 rows get another label" in found.detail
    assert found.passed


def test_parity_can_be_demanded_up_to_a_share_of_flips(world: World) -> None:
    world.captured(*ROWS)
    world.planes.models["v2"] = lambda rows: larger(rows) | {"label": (rows[:, 1] > 5.0).astype(np.int64)}
    world.wants(may_differ=False)
    failed = world.run()["parity"]
    assert failed.outcome is Outcome.FAILED
    assert "1 of 4 rows get another label" in failed.detail
    assert msgspec.json.decode(failed.row) == [0.0, 1.0]
    world.wants(max_flips=0.25)
    assert world.run()["parity"].outcome is Outcome.NOTED


def test_the_latency_budget_names_the_slowest_row(world: World) -> None:
    world.captured(*ROWS)
    world.planes.ms["v2"] = 30.0
    assert world.run()["latency"].passed
    world.wants(max_p99_ms=20)
    found = world.run()["latency"]
    assert found.outcome is Outcome.FAILED
    assert "p99 30 ms" in found.detail
    assert "(v1: 1 ms, 1 ms)" in found.detail
    assert found.row


def test_the_memory_budget(world: World) -> None:
    world.wants(max_memory_mb=64)
    assert world.run()["memory"].outcome is Outcome.PASSED
    world.planes.memory = 65
    assert world.run()["memory"].outcome is Outcome.FAILED
    world.planes.memory = None
    assert world.run()["memory"].outcome is Outcome.SKIPPED


def test_known_answers_must_be_right(world: World) -> None:
    lines = [{"inputs": row, "label": int(row[1] > row[0])} for row in ROWS]
    (world.files / "golden.jsonl").write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    world.wants(answers="golden.jsonl")
    assert world.run()["answers"].detail == "4 of 4 known answers are right"
    world.planes.models["v2"] = lambda rows: larger(rows) | {"label": np.zeros(len(rows), np.int64)}
    found = world.run()["answers"]
    assert found.outcome is Outcome.FAILED
    assert "2 of 4 known answers are right" in found.detail
    assert msgspec.json.decode(found.row) == [0.0, 1.0]
    world.wants(min_right=0.5)
    assert world.run()["answers"].passed


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("none.jsonl", None, "there is no file"),
        ("../secret.jsonl", None, "there is no file"),
        ("empty.jsonl", b"", "it has no rows"),
        ("text.txt", b"1", "is none of"),
        ("half.jsonl", b'{"inputs": [1, 2]}', "it needs inputs and one of"),
        ("long.jsonl", b'{"inputs": [1, 2, 3], "label": 1}', "row 1: inputs has shape"),
        ("two.jsonl", b'{"inputs": [[1, 2], [3, 4]], "label": 1}', "has 2 rows in inputs"),
        ("broken.jsonl", b'{"inputs": [1, 2], "label": 1}\nnonsense', "row 2"),
    ],
)
def test_a_file_of_known_answers_that_cannot_be_used_fails(
    world: World, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (world.files / name).write_bytes(content)
    world.wants(answers=name)
    found = world.run()["answers"]
    assert found.outcome is Outcome.FAILED
    assert why in found.detail


def test_a_csv_of_known_answers_is_read_as_json(world: World) -> None:
    (world.files / "golden.csv").write_text('inputs,label\n"[0, 1]",1\n"[1, 0]",0\n')
    world.wants(answers="golden.csv")
    assert world.run()["answers"].detail == "2 of 2 known answers are right"


def test_gates_that_run_out_of_time_fail(world: World) -> None:
    world.captured(*ROWS)

    def slow(rows: Array) -> Mapping[str, Array]:
        world.clock.move(60)
        return larger(rows)

    world.planes.models["v2"] = slow
    found = world.run()["shapes"]
    assert found.outcome is Outcome.FAILED
    assert "not done after 120 s" in found.detail


def test_a_service_elsewhere_is_not_asked(world: World) -> None:
    world.captured(*ROWS)
    old, new = world.endpoint.variants
    new = replace(new, package=replace(new.package, runtime=RuntimeKind.LEGACY))
    world.endpoint = replace(world.endpoint, variants=(old, new))
    found = world.run()
    assert "may cost or change something" in found["shapes"].detail
    assert world.planes.asked == []


def test_without_a_data_plane_to_ask_gates_say_so(world: World) -> None:
    world.captured(*ROWS)
    world.parts = replace(world.parts, planes=None)
    found = world.run()
    assert found["shapes"].detail == "no data plane can be asked"
    assert found["data"].passed


def test_gates_can_be_skipped_or_switched_off(world: World) -> None:
    world.wants(skip="parity")
    assert world.run()["parity"].detail == "the endpoint skips it"
    world.wants(skip=["parity", "batch"])
    assert world.run()["batch"].outcome is Outcome.SKIPPED
    world.wants(skip="")
    assert world.endpoint.gates.skip == ()
    world.wants(enabled=False)
    assert world.run() == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"skip": ["luck"]}, "gates.skip names 'luck'; there are: data, shapes"),
        ({"rows": 0}, "gates.rows is 0; allowed: 1 to 1,000"),
        ({"policy": "nobody"}, "gates.policy is 'nobody'; allowed: a URL, or an entry point"),
        ({"policy": "http://user:pw@host/"}, "without a user or a password"),
        ({"speed": 1}, "there is no setting gates.speed"),
    ],
)
def test_settings_are_checked(world: World, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput) as caught:
        world.wants(**changes)
    assert why in caught.value.message


def test_a_gate_of_a_package_that_cannot_do_its_work_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> GateResult:
        raise TimedOut("nobody there")

    monkeypatch.setattr("headrace.release.gates.run.all_gates", lambda: {"mine": broken})
    assert world.run()["mine"].detail == "it could not do its work: nobody there"


# --- policies


@pytest.fixture
def judge() -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """A policy on a port: what it was asked, and what it says."""
    asked: list[Any] = []
    says: dict[str, Any] = {"status": 200, "body": b'{"allow": true, "reason": "the model card is signed"}'}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(says["status"])
            self.send_header("content-length", str(len(says["body"])))
            self.end_headers()
            self.wfile.write(says["body"])

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/may?team=ml", asked, says
        server.shutdown()
        thread.join()


def test_a_policy_hears_the_facts_and_decides(world: World, judge: tuple[str, list[Any], dict[str, Any]]) -> None:
    url, asked, says = judge
    world.wants(policy=url)
    found = world.run()["policy"]
    assert found.outcome is Outcome.PASSED
    assert "the model card is signed" in found.detail
    path, facts = asked[0]
    assert path == "/may?team=ml"
    assert (facts["endpoint"], facts["candidate"]["version"], facts["baseline"]["version"]) == ("digits", 2, 1)
    assert [gate["name"] for gate in facts["gates"]] == list(ORDER[:-1])
    says["body"] = b'{"allow": false, "reason": "freeze until Monday"}'
    refused = world.run()["policy"]
    assert refused.outcome is Outcome.FAILED
    assert refused.detail.endswith("says no: freeze until Monday")


def test_a_policy_that_cannot_be_understood_says_no(world: World, judge: tuple[str, list[Any], dict[str, Any]]) -> None:
    url, _, says = judge
    world.wants(policy=url)
    for status, body in ((500, b"{}"), (200, b'{"allow": "maybe"}'), (200, b"<html>")):
        says |= {"status": status, "body": body}
        found = world.run()["policy"]
        assert found.outcome is Outcome.FAILED
        assert "cannot be asked" in found.detail


def test_a_policy_that_is_away_says_no(world: World) -> None:
    world.wants(policy="http://127.0.0.1:9/")
    assert world.run()["policy"].outcome is Outcome.FAILED


def only_on_mondays(facts: dict[str, Any]) -> tuple[bool, str]:
    if facts["endpoint"] != "digits":
        raise KeyError("endpoint")
    return facts["candidate"]["version"] < 3, "it is Monday"


def test_a_policy_of_a_package(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="mondays", value=f"{__name__}:only_on_mondays", group=policies.GROUP)

    def points(**wanted: str) -> list[EntryPoint]:
        return [point] if wanted.get("name", "mondays") == "mondays" else []

    monkeypatch.setattr(hook, "entry_points", points)
    world.wants(policy="mondays")
    assert world.run()["policy"].detail == "mondays says yes: it is Monday"
    world.endpoint = replace(world.endpoint, name="other")
    world.planes.models = {}
    failing = policies.policy  # asked with facts that it cannot read
    assert failing
    monkeypatch.setattr(hook, "entry_points", lambda **_: [])
    world.endpoint = replace(world.endpoint, name="digits")
    found = world.run()["policy"]
    assert "no package registers 'mondays'" in found.detail


# --- what is the same


@given(st.floats(-1e6, 1e6), st.sampled_from(list(Datatype)))
def test_an_answer_is_the_same_as_itself(value: float, datatype: Datatype) -> None:
    array = np.array([value])
    assert same(array, array.copy(), datatype)
    assert not same(array, np.array([value + 1000.0 + abs(value)]), datatype)


@pytest.mark.parametrize(
    ("given_", "expected", "datatype", "is_right"),
    [
        (np.int64(7), 7, Datatype.INT64, True),
        (np.int64(7), [7], Datatype.INT64, True),
        (np.int64(7), "7", Datatype.INT64, True),
        (np.int64(7), 8, Datatype.INT64, False),
        (np.array("cat", object), "cat", Datatype.BYTES, True),
        (np.float32(0.1), 0.1, Datatype.FP32, True),
        (np.float32(0.1), 0.2, Datatype.FP32, False),
        (np.float32(0.1), "much", Datatype.FP32, False),
        (np.array([0.1, 0.9]), [0.1, 0.9], Datatype.FP32, True),
        (np.array([0.1, 0.9]), [0.1, 0.8, 0.1], Datatype.FP32, False),
    ],
)
def test_right(given_: Any, expected: Any, datatype: Datatype, is_right: bool) -> None:
    assert right(given_, expected, datatype) is is_right


def test_the_policy_is_the_last_to_be_asked() -> None:
    assert list(all_gates())[-1] == "policy"
