"""What an artifact says of itself, read without MLflow and without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.base.files import tree_sha256
from headrace.store.mlmodel import check_sha256, flavor_of, frameworks_of, read_mlmodel, wishes_of
from headrace.types.errors import ModelRefused
from headrace.types.model import Hosting, ModelVersion, RuntimeKind

SKLEARN = "flavors:\n  python_function:\n    python_version: 3.11.7\n  sklearn:\n    sklearn_version: 1.9.1\n"


def test_flavour_is_the_native_one() -> None:
    assert flavor_of(read_mlmodel(SKLEARN)) == "sklearn"
    assert flavor_of(read_mlmodel("flavors: {python_function: {}}")) == "pyfunc"


@pytest.mark.parametrize("text", ["", "a: 1", "flavors: []", "flavors: {}", "- 1", "flavors: {a: ["])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ModelRefused, match="MLmodel"):
        read_mlmodel(text)


def test_a_description_runs_no_code() -> None:
    with pytest.raises(ModelRefused, match="not YAML"):
        read_mlmodel("flavors: !!python/object/apply:os.system ['true']")


def test_frameworks_are_the_pinned_requirements_and_python() -> None:
    text = (
        "mlflow==3.17.2\n# comment\nscikit-learn == 1.9.1 ; python_version > '3'\nnumpy>=2\nPyYAML[x]==6.0.3 # note\n"
    )
    assert frameworks_of(read_mlmodel(SKLEARN), text) == {
        "python": "3.11.7",
        "mlflow": "3.17.2",
        "scikit-learn": "1.9.1",
        "pyyaml": "6.0.3",
    }


def test_the_hash_is_compared_when_one_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(SKLEARN)
    digest = tree_sha256(tmp_path)
    version = ModelVersion(name="digits", version=3, uri="models:/digits/3")
    assert check_sha256(version, tmp_path) == digest
    recorded = ModelVersion(name="digits", version=3, uri="models:/digits/3", sha256="0" * 64)
    with pytest.raises(ModelRefused) as caught:
        check_sha256(recorded, tmp_path)
    assert f"sha256 {digest[:12]}…, but 000000000000… was recorded" in caught.value.message
    assert digest not in caught.value.message


def test_what_a_model_asks_for_is_what_its_author_declared() -> None:
    declared = {"flavors": {"sklearn": {}}, "metadata": {"headrace": {"network": True, "memory_mb": 512, "threads": 2}}}
    assert wishes_of(declared) == (Hosting(network=True, memory_mb=512, threads=2), None)
    declared["metadata"] = {"headrace": {"runtime": "openvino"}, "mine": 1}
    assert wishes_of(declared) == (Hosting(), RuntimeKind.OPENVINO)
    assert wishes_of({"flavors": {}, "metadata": None}) == (Hosting(), None)


@pytest.mark.parametrize(
    "wish", [{"network": "yes"}, {"memory_mb": 1}, {"threads": 0}, {"gpu": True}, {"runtime": "remote"}, 3]
)
def test_a_wish_that_cannot_be_granted_is_refused_with_what_can(wish: object) -> None:
    with pytest.raises(ModelRefused, match=r"metadata\.headrace") as refused:
        wishes_of({"flavors": {}, "metadata": {"headrace": wish}})
    assert "memory_mb (256 to 1048576)" in str(refused.value.hint)
