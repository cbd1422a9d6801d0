"""What every runtime must do. A new one gets a row in CASES.

The rows of torch need an interpreter with torch and Headrace in it, which is gigabytes; make one and run them there:

    pip install torch -e '.[control,convert,test]' && python -m pytest tests/contract/test_runtimes.py
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import shutil
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from plane_samples import NUMBERS_TABLE, ROWS_OF_3, onnx_file, package, spec

from headrace.compute.host import HostLimits
from headrace.serving.answer import Check
from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Model, Outputs, Runtime, Surroundings, build_runtimes
from headrace.serving.runtimes.hosted import HostedModel, HostedRuntime
from headrace.types.errors import HeadraceError, ModelFailed, ModelRefused
from headrace.types.model import Datatype, Layout, Package, PackageFile, RuntimeKind, Signature
from headrace.types.upstream import Legacy, Remote

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cloudpickle
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

ROWS = [[1.0, 5.0, 0.5], [0.5, 5.0, 1.0], [2.0, 0.0, 1.0]]
LABELS = [0, 1, 0]  # of ROWS: 1 when the third number outweighs the first
TEXT_TABLE = Signature(
    inputs=(spec("name", Datatype.BYTES), spec("times", Datatype.INT64)),
    outputs=(spec("shout", Datatype.BYTES),),
    layout=Layout.COLUMNS,
)


class Heavier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """The same rule as the ONNX graph, in Python, with ways to go wrong."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        rows = np.asarray(model_input)
        if rows[0, 0] == -1.0:
            raise ZeroDivisionError("as it was told")
        if rows[0, 0] == -2.0:
            import os

            os._exit(9)
        return {"label": (rows[:, 2] > rows[:, 0]).astype(np.int64), "scores": rows[:, [0, 2]].astype(np.float32)}


class Shout(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return [name.upper() * times for name, times in zip(model_input["name"], model_input["times"], strict=True)]


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a model host has no tests folder


def save_pyfunc(folder: Path, model: Any, example: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's advice on whole numbers and on pickles
        signature = infer_signature(example)
        mlflow.pyfunc.save_model(
            str(folder / "model"), python_model=model, signature=signature, pip_requirements=["numpy"]
        )


NET = """
import os
import torch

class Net(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor([factor]))

    def forward(self, input):
        if not torch.compiler.is_exporting() and input[0, 0] == -1.0:
            raise ZeroDivisionError("as it was told")
        if not torch.compiler.is_exporting() and input[0, 0] == -2.0:
            os._exit(9)
        return self.rule(input)

    def rule(self, input):
        return (input[:, 2] > input[:, 0] * self.factor).long(), input[:, 0::2].float() * self.factor

class Script(Net):
    def forward(self, input: torch.Tensor):
        return (input[:, 2] > input[:, 0] * self.factor).long(), input[:, 0::2].float() * self.factor
"""


def net(folder: Path) -> Any:
    """The classes above, from the package's own code."""
    code = folder / "code"
    code.mkdir()
    (code / "net_of_the_contract.py").write_text(NET)
    sys.path.insert(0, str(code))
    try:
        return importlib.import_module("net_of_the_contract")
    finally:
        sys.path.remove(str(code))


def save_weights(folder: Path) -> None:
    import torch

    torch.save(net(folder).Net(1.0).state_dict(), folder / "state_dict.pt")
    described = {"class": "net_of_the_contract:Net", "arguments": {"factor": 1.0}}
    (folder / "torch.json").write_bytes(msgspec.json.encode(described))


def save_module(folder: Path) -> None:
    import torch

    torch.save(net(folder).Net(1.0), folder / "module.pt")


def save_exported(folder: Path) -> None:
    import torch

    (folder / "model" / "data").mkdir(parents=True)
    shapes = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(net(folder).Net(1.0), (torch.tensor(ROWS).double(),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "model" / "data" / "model.pt2")


def save_script(folder: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and in use
        torch.jit.save(torch.jit.script(net(folder).Script(1.0)), folder / "model.pt")


def save_ir(folder: Path) -> None:
    import openvino

    onnx_file(folder / "other.onnx")
    openvino.save_model(openvino.Core().read_model(folder / "other.onnx"), folder / "model.xml", compress_to_fp16=False)
    (folder / "other.onnx").unlink()


class Service(ThreadingHTTPServer):
    """The same rule behind HTTP: V2 with bytes and with JSON, and a JSON of its own."""

    daemon_threads = True
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        given = self.headers.get("inference-header-content-length")
        head = json.loads(body[: int(given)] if given else body)
        headers, answer = {}, b""
        if self.path == "/rows/score":
            rows = np.array(head["table"]["rows"])
            label, scores = rule(rows)
            found = [{"label": a, "scores": b} for a, b in zip(label.tolist(), scores.tolist(), strict=True)]
            answer = json.dumps({"result": found}).encode()
        elif self.path == "/one/score":
            label, scores = rule(np.array([[head["a"], head["b"], head["c"]]]))
            answer = json.dumps({"result": {"label": label.tolist()[0], "scores": scores.tolist()[0]}}).encode()
        else:
            shape = head["inputs"][0]["shape"]
            data = np.frombuffer(body[int(given) :], "<f8") if given else np.array(head["inputs"][0]["data"])
            headers, answer = v2_answer(*rule(data.reshape(shape)), binary=bool(given))
        self.send_response(200)
        for name, value in {"content-length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        pass


def rule(rows: Any) -> tuple[Any, Any]:
    return (rows[:, 2] > rows[:, 0]).astype(np.int64), rows[:, [0, 2]].astype(np.float32)


def v2_answer(label: Any, scores: Any, *, binary: bool) -> tuple[dict[str, str], bytes]:
    outputs: list[dict[str, Any]] = []
    for name, datatype, array in (("label", "INT64", label), ("scores", "FP32", scores)):
        output = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        more = {"parameters": {"binary_data_size": array.nbytes}} if binary else {"data": array.ravel().tolist()}
        outputs.append(output | more)
    head = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    if not binary:
        return {}, head
    return {"inference-header-content-length": str(len(head))}, head + label.tobytes() + scores.tobytes()


@cache
def service() -> Service:
    """Not made on import: a worker that runs other files imports this one too, and would leave the socket open."""
    return Service(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module", autouse=True)
def serving() -> Iterator[None]:
    found = service()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield
    found.shutdown()
    found.server_close()
    thread.join()


def save_remote(folder: Path, *, binary: bool) -> None:
    url = f"http://127.0.0.1:{service().server_port}"
    (folder / "remote.json").write_bytes(msgspec.json.encode(Remote(url=url, model="m", binary=binary)))


def save_legacy(folder: Path, path: str, request: Any, response: dict[str, str], **more: Any) -> None:
    url = f"http://127.0.0.1:{service().server_port}{path}"
    what = Legacy(url=url, request=request, response=response, inputs=(), outputs=(), **more)
    (folder / "legacy.json").write_bytes(msgspec.json.encode(what))


@dataclass(frozen=True)
class Case:
    kind: RuntimeKind
    signature: Signature
    save: Callable[[Path], None]
    inputs: Any
    expected: list[Any]
    vital: str  # the file without which it cannot load
    raises: Any = None  # inputs on which the model's code raises
    dies: Any = None  # inputs that end its process


CASES = {
    "onnx, an array": Case(
        RuntimeKind.ONNX, ROWS_OF_3, lambda f: onnx_file(f / "model.onnx"), ROWS, LABELS, "model.onnx"
    ),
    "onnx, a table as one matrix": Case(
        RuntimeKind.ONNX,
        NUMBERS_TABLE,
        lambda f: onnx_file(f / "model.onnx"),
        [dict(zip("abc", row, strict=True)) for row in ROWS],
        LABELS,
        "model.onnx",
    ),
    "onnx, a table column by column": Case(
        RuntimeKind.ONNX,
        NUMBERS_TABLE,
        lambda f: onnx_file(f / "model.onnx", columns=3),
        {name: [row[i] for row in ROWS] for i, name in enumerate("abc")},
        LABELS,
        "model.onnx",
    ),
    "pyfunc, an array": Case(
        RuntimeKind.PYFUNC,
        ROWS_OF_3,
        lambda f: save_pyfunc(f, Heavier(), np.array(ROWS)),
        ROWS,
        LABELS,
        "model/MLmodel",
        raises=[[-1, 0, 0]],
        dies=[[-2, 0, 0]],
    ),
    "pyfunc, a table with text": Case(
        RuntimeKind.PYFUNC,
        TEXT_TABLE,
        lambda f: save_pyfunc(f, Shout(), pd.DataFrame({"name": ["a"], "times": [1]})),
        [{"name": "ä", "times": 2}, {"name": "", "times": 1}],
        ["ÄÄ", ""],
        "model/MLmodel",
    ),
    "openvino, an array": Case(
        RuntimeKind.OPENVINO, ROWS_OF_3, lambda f: onnx_file(f / "model.onnx"), ROWS, LABELS, "model.onnx"
    ),
    "openvino, its own format": Case(RuntimeKind.OPENVINO, ROWS_OF_3, save_ir, ROWS, LABELS, "model.xml"),
    "openvino, a table as one matrix": Case(
        RuntimeKind.OPENVINO,
        NUMBERS_TABLE,
        lambda f: onnx_file(f / "model.onnx"),
        [dict(zip("abc", row, strict=True)) for row in ROWS],
        LABELS,
        "model.onnx",
    ),
    "openvino, a table column by column": Case(
        RuntimeKind.OPENVINO,
        NUMBERS_TABLE,
        lambda f: onnx_file(f / "model.onnx", columns=3),
        {name: [row[i] for row in ROWS] for i, name in enumerate("abc")},
        LABELS,
        "model.onnx",
    ),
    "torch, weights and a class": Case(
        RuntimeKind.TORCH,
        ROWS_OF_3,
        save_weights,
        ROWS,
        LABELS,
        "state_dict.pt",
        raises=[[-1, 0, 0]],
        dies=[[-2, 0, 0]],
    ),
    "torch, a module": Case(RuntimeKind.TORCH, ROWS_OF_3, save_module, ROWS, LABELS, "module.pt"),
    "torch, an exported program": Case(
        RuntimeKind.TORCH, ROWS_OF_3, save_exported, ROWS, LABELS, "model/data/model.pt2"
    ),
    "remote, bytes": Case(
        RuntimeKind.REMOTE, ROWS_OF_3, lambda f: save_remote(f, binary=True), ROWS, LABELS, "remote.json"
    ),
    "remote, JSON": Case(
        RuntimeKind.REMOTE, ROWS_OF_3, lambda f: save_remote(f, binary=False), ROWS, LABELS, "remote.json"
    ),
    "legacy, all rows at once": Case(
        RuntimeKind.LEGACY,
        ROWS_OF_3,
        lambda f: save_legacy(
            f,
            "/rows/score",
            {"table": {"rows": "$rows"}},
            {"label": "result[].label", "scores": "result[].scores"},
        ),
        ROWS,
        LABELS,
        "legacy.json",
    ),
    "legacy, row by row": Case(
        RuntimeKind.LEGACY,
        NUMBERS_TABLE,
        lambda f: save_legacy(
            f,
            "/one/score",
            {"a": "$row.a", "b": "$row.b", "c": "$row.c"},
            {"label": "result.label", "scores": "result.scores"},
            each=True,
        ),
        [dict(zip("abc", row, strict=True)) for row in ROWS],
        LABELS,
        "legacy.json",
    ),
    "torchscript, an archive": Case(RuntimeKind.TORCHSCRIPT, ROWS_OF_3, save_script, ROWS, LABELS, "model.pt"),
}
HOSTED = (RuntimeKind.PYFUNC, RuntimeKind.TORCH, RuntimeKind.TORCHSCRIPT)
TORCH = importlib.util.find_spec("torch") is not None
WITHOUT_TORCH = pytest.mark.skipif(not TORCH, reason="no torch here; the first lines of this file say how to run it")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], tuple[Path, Package]]:
    """Each case's package folder, made once."""
    made: dict[int, tuple[Path, Package]] = {}

    def get(case: Case) -> tuple[Path, Package]:
        if id(case) not in made:
            folder = tmp_path_factory.mktemp("package")
            case.save(folder)
            files = tuple(
                PackageFile(path=p.relative_to(folder).as_posix(), sha256="", size=0)
                for p in folder.rglob("*")
                if p.is_file()
            )
            made[id(case)] = folder, replace(package(signature=case.signature, runtime=case.kind), files=files)
        return made[id(case)]

    return get


Saved = Callable[[Case], tuple[Path, Package]]


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(run=tmp_path / "run", logs=tmp_path / "logs", report=lambda name, detail: None)


@asynccontextmanager
async def loaded(runtime: Runtime, folder: Path, made: Package) -> AsyncIterator[Model]:
    model = await runtime.load(folder, made)
    try:
        yield model
    finally:
        await model.close()
        await runtime.close()


async def ask(model: Model, made: Package, inputs: Any) -> Outputs:
    codec = Codec(made.signature, model.form)
    decoded = codec.decode(msgspec.Raw(msgspec.json.encode(inputs)))
    found = model.run(decoded)
    return Check(made.signature)(found if isinstance(found, list) else await found, decoded.rows)


def cases(*names: str) -> pytest.MarkDecorator:
    """Those of a model host start a process that imports a framework: seconds each."""
    found = []
    for name in names:
        kind = CASES[name].kind
        marks = [pytest.mark.process] if kind in HOSTED else []
        marks += [WITHOUT_TORCH] if kind in (RuntimeKind.TORCH, RuntimeKind.TORCHSCRIPT) else []
        found.append(pytest.param(CASES[name], id=name, marks=marks))
    return pytest.mark.parametrize("case", found)


ONE_OF_EACH = tuple({case.kind: name for name, case in reversed(CASES.items())}.values())


@cases(*CASES)
async def test_it_answers_by_its_signature_until_it_is_closed(
    case: Case, saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(case)
    async with loaded(build_runtimes(surroundings)[case.kind], folder, made) as model:
        codec = Codec(made.signature, model.form)
        inputs = codec.decode(msgspec.Raw(msgspec.json.encode(case.inputs)))
        assert (await model.warm(inputs))[0].tolist() == case.expected
        outputs = await ask(model, made, case.inputs)
        assert [len(output) for output in outputs] == [len(case.expected)] * len(made.signature.outputs)
        assert outputs[0].tolist() == case.expected
        many = await asyncio.gather(*(ask(model, made, case.inputs) for _ in range(8)))
        assert all(outputs[0].tolist() == case.expected for outputs in many)
        await model.close()
        with pytest.raises(HeadraceError):
            await ask(model, made, case.inputs)


@cases(*ONE_OF_EACH)
async def test_an_answer_outside_its_signature_is_the_models_failure(
    case: Case, saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(case)
    first = case.signature.outputs[0]
    shaped = replace(first, shape=(-1, 7))
    typed = replace(first, datatype=Datatype.BOOL)
    async with loaded(build_runtimes(surroundings)[case.kind], folder, made) as model:
        for wrong in (shaped, typed):
            signature = replace(case.signature, outputs=(wrong, *case.signature.outputs[1:]))
            with pytest.raises(ModelFailed, match=repr(first.name)):
                await ask(model, replace(made, signature=signature), case.inputs)


@cases(*ONE_OF_EACH)
async def test_closing_it_under_calls_ends_them_all(case: Case, saved: Saved, surroundings: Surroundings) -> None:
    folder, made = saved(case)
    async with loaded(build_runtimes(surroundings)[case.kind], folder, made) as model:
        under_way = [asyncio.create_task(ask(model, made, case.inputs)) for _ in range(16)]
        await asyncio.sleep(0)
        await model.close()
        ended = await asyncio.wait_for(asyncio.gather(*under_way, return_exceptions=True), 30)
        for end in ended:
            assert isinstance(end, HeadraceError) or end[0].tolist() == case.expected


@cases(*ONE_OF_EACH)
async def test_it_is_scaled_under_calls(case: Case, saved: Saved, surroundings: Surroundings) -> None:
    folder, made = saved(case)
    async with loaded(build_runtimes(surroundings)[case.kind], folder, made) as model:
        before = model.instances
        for instances in (2, 1, 0):
            scaling = asyncio.create_task(model.scale(instances))
            many = await asyncio.gather(*(ask(model, made, case.inputs) for _ in range(8)))
            await scaling
            assert all(outputs[0].tolist() == case.expected for outputs in many)
            assert model.instances == ((instances or 1) if case.kind in HOSTED else before)


@cases(*ONE_OF_EACH)
async def test_without_its_file_it_is_refused(
    case: Case, saved: Saved, surroundings: Surroundings, tmp_path: Path
) -> None:
    _, made = saved(case)
    with pytest.raises(ModelRefused):
        await build_runtimes(surroundings)[case.kind].load(tmp_path, made)


@cases(*ONE_OF_EACH)
async def test_a_damaged_file_is_refused(case: Case, saved: Saved, surroundings: Surroundings, tmp_path: Path) -> None:
    folder, made = saved(case)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / case.vital).write_bytes(b"\x00 not a model")
    with pytest.raises(ModelRefused):
        await build_runtimes(surroundings)[case.kind].load(tmp_path / "copy", made)


@cases(*(name for name, case in CASES.items() if case.dies))
async def test_one_that_raises_fails_its_call_and_one_that_dies_is_started_again(
    case: Case, saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(case)
    told: list[tuple[str, str]] = []
    listening = replace(surroundings, report=lambda name, detail: told.append((name, detail)))
    limits = HostLimits(first_pause=0.01, wait_seconds=60)
    async with loaded(HostedRuntime(listening, limits=limits), folder, made) as model:
        assert isinstance(model, HostedModel)
        with pytest.raises(ModelFailed, match="ZeroDivisionError: as it was told"):
            await ask(model, made, case.raises)
        assert (await ask(model, made, case.inputs))[0].tolist() == case.expected
        assert model.pool.hosts[0].restarts == 0
        with pytest.raises(ModelFailed, match="exit status 9"):
            await ask(model, made, case.dies)
        assert (await ask(model, made, case.inputs))[0].tolist() == case.expected
        assert model.pool.hosts[0].restarts == 1
        assert told[0][0] == "host.restarted"


async def test_every_kind_is_registered(surroundings: Surroundings) -> None:
    kinds = set(RuntimeKind) - {RuntimeKind.CHAT}  # which the gateway asks
    assert set(build_runtimes(surroundings)) == kinds
    # A program needs a language model to answer at all: tests/unit/programs and tests/integration/test_programs.py.
    assert {case.kind for case in CASES.values()} == kinds - {RuntimeKind.PROGRAM}


# what only one of them must do


@pytest.mark.parametrize("path", ["model.pkl", "code/thing.JOBLIB", "weights.pt"])
async def test_onnx_refuses_to_unpickle_in_the_data_plane(path: str, saved: Saved, surroundings: Surroundings) -> None:
    folder, made = saved(CASES["onnx, an array"])
    carrying = replace(made, files=(*made.files, PackageFile(path=path, sha256="", size=0)))
    with pytest.raises(ModelRefused, match="needs unpickling"):
        await build_runtimes(surroundings)[RuntimeKind.ONNX].load(folder, carrying)


async def test_onnx_runs_small_calls_at_once_and_large_ones_in_a_thread(
    saved: Saved, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.serving.runtimes import graph

    folder, made = saved(CASES["onnx, an array"])
    async with loaded(build_runtimes(surroundings)[RuntimeKind.ONNX], folder, made) as model:
        inputs = Codec(made.signature, model.form).decode(msgspec.Raw(msgspec.json.encode(ROWS)))
        assert isinstance(model.run(inputs), asyncio.Future)  # its speed is not known yet
        await model.warm(inputs)
        monkeypatch.setattr(graph, "INLINE_SECONDS", 10.0)
        assert isinstance(model.run(inputs), list)
        monkeypatch.setattr(graph, "INLINE_SECONDS", 0.0)
        handed_over = model.run(inputs)
        assert isinstance(handed_over, asyncio.Future)
        assert (await handed_over)[0].tolist() == LABELS


async def test_a_graph_with_other_inputs_than_the_signature_is_refused(
    saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(CASES["onnx, a table column by column"])
    with pytest.raises(ModelRefused, match=r"1 inputs \(input\), the graph 3 \(a, b, c\)"):
        await build_runtimes(surroundings)[RuntimeKind.ONNX].load(folder, replace(made, signature=ROWS_OF_3))
