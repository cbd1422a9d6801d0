"""Which columns a model gets."""

from __future__ import annotations

import pytest

from headrace.batch.columns import Form, arrange
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, TensorSpec

LABEL = TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,))
SCORES = TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 2))
OUTPUTS = (LABEL, SCORES)


def tensor(*tail: int, name: str = "input") -> TensorSpec:
    return TensorSpec(name=name, datatype=Datatype.FP64, shape=(-1, *tail))


def test_a_table_model_takes_its_columns_and_the_others_are_carried_through() -> None:
    found = arrange((tensor(name="age"), tensor(name="height")), OUTPUTS, ("id", "height", "age", "note"))
    assert [(s.spec.name, s.form, s.names) for s in found.sources] == [
        ("age", Form.COLUMN, ("age",)),
        ("height", Form.COLUMN, ("height",)),
    ]
    assert found.kept(("id", "height", "age", "note")) == ("id", "note")
    assert list(found.results) == ["prediction", "scores"]


@pytest.mark.parametrize(
    ("columns", "chosen", "form", "names"),
    [
        (("a", "b", "c"), {}, Form.STACK, ("a", "b", "c")),
        (("id", "a", "b", "c"), {"keep": ("id",)}, Form.STACK, ("a", "b", "c")),
        (("id", "x_1", "x_2", "x_3"), {"features": ("x_*",)}, Form.STACK, ("x_1", "x_2", "x_3")),
        (("id", "input"), {}, Form.NESTED, ("input",)),
        (("id", "image"), {"features": ("image",)}, Form.NESTED, ("image",)),
        (("id", "image"), {"keep": ("id",)}, Form.NESTED, ("image",)),
    ],
)
def test_a_tensor_model_takes_as_many_columns_or_one_of_lists(
    columns: tuple[str, ...], chosen: dict[str, tuple[str, ...]], form: Form, names: tuple[str, ...]
) -> None:
    source = arrange((tensor(3),), OUTPUTS, columns, **chosen).sources[0]
    assert (source.form, source.names) == (form, names)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(BadInput, match="no column 'age'; it has: id"):
        arrange((tensor(name="age"),), OUTPUTS, ("id",))
    with pytest.raises(BadInput, match="takes 3 values a row for 'input'; the file has 4 columns") as error:
        arrange((tensor(3),), OUTPUTS, ("id", "a", "b", "c"))
    assert "--keep id" in str(error.value.hint)
    with pytest.raises(BadInput, match="no column is 'nope'"):
        arrange((tensor(3),), OUTPUTS, ("a", "b", "c"), keep=("nope",))


def test_a_column_may_not_have_a_results_name() -> None:
    columns = ("a", "b", "c", "prediction")
    found = arrange((tensor(3),), OUTPUTS, columns, features=("a", "b", "c"))
    with pytest.raises(BadInput, match="'prediction'"):
        found.kept(columns)
    assert arrange((tensor(3),), OUTPUTS, columns, features=("a", "b", "c"), keep=("none",)).kept(columns) == ()
