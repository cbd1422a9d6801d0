"""A package is there whole or not at all, and a byte that changed is found."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.store.artifacts import Artifacts
from headrace.types.errors import ModelRefused
from headrace.types.model import Datatype, Hosting, Package, RuntimeKind, Signature, TensorSpec

SPEC = TensorSpec(name="input", datatype=Datatype.FP32, shape=(-1, 4))
DRAFT = Package(
    id="",
    model="digits",
    version=3,
    source_sha256="ab" * 32,
    runtime=RuntimeKind.ONNX,
    signature=Signature(inputs=(SPEC,), outputs=(SPEC,)),
    files=(),
    warmup="deep/warmup.npy",
    created=5.0,
)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "deep" / "warmup.npy").write_bytes(b"rows")
    return folder


def test_what_was_added_is_verified_and_read_back(artifacts: Artifacts, source: Path) -> None:
    package = artifacts.add(source, DRAFT)
    assert [(file.path, file.size) for file in package.files] == [("deep/warmup.npy", 4), ("model.onnx", 5)]
    assert artifacts.read(package.id) == package
    folder = artifacts.verify(package)
    assert folder == artifacts.path(package.id)
    assert (folder / "model.onnx").read_bytes() == b"graph"
    assert sorted(p.name for p in source.iterdir()) == ["deep", "model.onnx"]


def test_the_id_follows_from_the_content(artifacts: Artifacts, source: Path) -> None:
    package = artifacts.add(source, DRAFT)
    assert artifacts.add(source, replace(DRAFT, created=9.0)) == package
    assert artifacts.add(source, replace(DRAFT, version=4)).id != package.id
    assert artifacts.add(source, replace(DRAFT, hosting=Hosting(network=True))).id != package.id
    (source / "model.onnx").write_bytes(b"grapH")
    assert artifacts.add(source, DRAFT).id != package.id


def test_a_package_from_before_hosting_was_known_keeps_its_id(artifacts: Artifacts, source: Path) -> None:
    assert artifacts.add(source, DRAFT).id == "8287524d09320612bd61522c7e245ed86c40bb23293e5743e6cdc13ed53941fd"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"grapH"), "file 'model.onnx' has sha256"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"graph!"), "file 'model.onnx' has 6 bytes instead of 5"),
        (lambda folder: (folder / "deep" / "warmup.npy").unlink(), "file 'deep/warmup.npy' is missing"),
        (lambda folder: (folder / "extra.py").write_text("evil"), "file 'extra.py' does not belong to it"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "file 'link' does not belong to it"),
        (lambda folder: folder.rename(folder.with_name("gone")), "is missing"),
    ],
)
def test_a_damaged_package_is_refused_naming_the_file(
    artifacts: Artifacts, source: Path, harm: object, told: str
) -> None:
    package = artifacts.add(source, DRAFT)
    assert callable(harm)
    harm(artifacts.path(package.id))
    with pytest.raises(ModelRefused) as caught:
        artifacts.verify(package)
    assert told in caught.value.message
    assert "digits v3" in caught.value.message


def test_a_file_replaced_by_a_link_to_the_same_bytes_is_refused(artifacts: Artifacts, source: Path) -> None:
    package = artifacts.add(source, DRAFT)
    file = artifacts.path(package.id) / "model.onnx"
    file.unlink()
    file.symlink_to(source / "model.onnx")
    with pytest.raises(ModelRefused, match="not a plain file"):
        artifacts.verify(package)


def test_a_description_that_was_changed_is_refused(artifacts: Artifacts, source: Path) -> None:
    package = artifacts.add(source, DRAFT)
    with pytest.raises(ModelRefused, match="description was changed"):
        artifacts.verify(replace(package, runtime=RuntimeKind.PYFUNC))


def test_adding_again_repairs_a_damaged_package(artifacts: Artifacts, source: Path) -> None:
    package = artifacts.add(source, DRAFT)
    (artifacts.path(package.id) / "model.onnx").write_bytes(b"grapH")
    assert artifacts.add(source, DRAFT).id == package.id
    artifacts.verify(package)


def test_made_finds_by_key_and_forgets_what_is_damaged(artifacts: Artifacts, source: Path) -> None:
    assert artifacts.made("key") is None
    package = artifacts.add(source, DRAFT, key="key")
    assert artifacts.made("key") == package
    (artifacts.path(package.id) / "model.onnx").unlink()
    assert artifacts.made("key") is None


def test_a_source_with_a_link_is_refused(artifacts: Artifacts, source: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ModelRefused, match="'link' is not a plain file"):
        artifacts.add(source, DRAFT)


def test_several_that_add_the_same_at_once_agree(artifacts: Artifacts, source: Path) -> None:
    found: list[Package] = []
    threads = [threading.Thread(target=lambda: found.append(artifacts.add(source, DRAFT, key="k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({package.id for package in found}) == 1
    artifacts.verify(found[0])


def test_what_a_crash_left_behind_is_swept_after_a_day(tmp_path: Path, artifacts: Artifacts, source: Path) -> None:
    artifacts.add(source, DRAFT)
    incoming = tmp_path / "artifacts" / "incoming"
    assert list(incoming.iterdir()) == []
    for name in ("old", "new"):
        (incoming / name).mkdir()
    os.utime(incoming / "old", (time.time() - 100_000,) * 2)
    artifacts.add(source, replace(DRAFT, version=9))
    assert [path.name for path in incoming.iterdir()] == ["new"]


def test_a_data_plane_pays_little_for_this_module() -> None:
    heavy = ("mlflow", "sqlalchemy", "numpy", "pyarrow", "yaml")
    code = f"import sys, headrace.store.artifacts; print(*[m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
