"""What every runtime must do. A new one gets a row in CASES."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Case:
    kind: RuntimeKind
    signature: Signature
    save: Callable[[Path], None]
    inputs: Any
    expected: list[Any]
    vital: str  # the file without which it cannot load


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
    ),
    "pyfunc, a table with text": Case(
        RuntimeKind.PYFUNC,
        TEXT_TABLE,
        lambda f: save_pyfunc(f, Shout(), pd.DataFrame({"name": ["a"], "times": [1]})),
        [{"name": "ä", "times": 2}, {"name": "", "times": 1}],
        ["ÄÄ", ""],
        "model/MLmodel",
    ),
}
PYFUNC = CASES["pyfunc, an array"]


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
    """Those of a model host start a process that imports MLflow: seconds each."""
    marks = {RuntimeKind.PYFUNC: [pytest.mark.process]}
    found = [pytest.param(CASES[name], id=name, marks=marks.get(CASES[name].kind, [])) for name in names]
    return pytest.mark.parametrize("case", found)


ONE_OF_EACH = ("onnx, an array", "pyfunc, an array")


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


@cases("onnx, an array")
async def test_without_its_file_it_is_refused(
    case: Case, saved: Saved, surroundings: Surroundings, tmp_path: Path
) -> None:
    _, made = saved(case)
    with pytest.raises(ModelRefused):
        await build_runtimes(surroundings)[case.kind].load(tmp_path, made)


@cases(*ONE_OF_EACH)
async def test_a_damaged_file_is_refused(case: Case, saved: Saved, surroundings: Surroundings, tmp_path: Path) -> None:
    _, made = saved(case)
    (tmp_path / case.vital).parent.mkdir(exist_ok=True)
    (tmp_path / case.vital).write_bytes(b"\x00 not a model")
    with pytest.raises(ModelRefused):
        await build_runtimes(surroundings)[case.kind].load(tmp_path, made)


async def test_every_kind_is_registered(surroundings: Surroundings) -> None:
    assert set(build_runtimes(surroundings)) == set(RuntimeKind) == {case.kind for case in CASES.values()}


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
    from headrace.serving.runtimes import onnx

    folder, made = saved(CASES["onnx, an array"])
    async with loaded(build_runtimes(surroundings)[RuntimeKind.ONNX], folder, made) as model:
        inputs = Codec(made.signature, model.form).decode(msgspec.Raw(msgspec.json.encode(ROWS)))
        assert isinstance(model.run(inputs), asyncio.Future)  # its speed is not known yet
        await model.warm(inputs)
        monkeypatch.setattr(onnx, "INLINE_SECONDS", 10.0)
        assert isinstance(model.run(inputs), list)
        monkeypatch.setattr(onnx, "INLINE_SECONDS", 0.0)
        handed_over = model.run(inputs)
        assert isinstance(handed_over, asyncio.Future)
        assert (await handed_over)[0].tolist() == LABELS


async def test_a_graph_with_other_inputs_than_the_signature_is_refused(
    saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(CASES["onnx, a table column by column"])
    with pytest.raises(ModelRefused, match=r"1 inputs \(input\), the graph 3 \(a, b, c\)"):
        await build_runtimes(surroundings)[RuntimeKind.ONNX].load(folder, replace(made, signature=ROWS_OF_3))


@pytest.mark.process
async def test_a_pyfunc_that_raises_fails_its_call_and_one_that_dies_is_started_again(
    saved: Saved, surroundings: Surroundings
) -> None:
    folder, made = saved(PYFUNC)
    told: list[tuple[str, str]] = []
    listening = replace(surroundings, report=lambda name, detail: told.append((name, detail)))
    limits = HostLimits(first_pause=0.01, wait_seconds=60)
    async with loaded(HostedRuntime(listening, limits=limits), folder, made) as model:
        assert isinstance(model, HostedModel)
        with pytest.raises(ModelFailed, match="ZeroDivisionError: as it was told"):
            await ask(model, made, [[-1, 0, 0]])
        assert (await ask(model, made, ROWS))[0].tolist() == LABELS
        assert model.pool.hosts[0].restarts == 0
        with pytest.raises(ModelFailed, match="exit status 9"):
            await ask(model, made, [[-2, 0, 0]])
        assert (await ask(model, made, ROWS))[0].tolist() == LABELS
        assert model.pool.hosts[0].restarts == 1
        assert told[0][0] == "host.restarted"
