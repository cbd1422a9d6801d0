"""Arrays survive the way to a model host and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.serving.wire import pack_arrays, unpack_arrays

numbers = st.sampled_from(["f4", "f8", "i1", "i8", "u2", "u8", "?"]).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0))
)
texts = hnp.arrays(object, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0), elements=st.text())


@given(st.dictionaries(st.text(max_size=8), numbers | texts, max_size=4))
def test_round_trip(arrays: dict[str, np.ndarray]) -> None:
    tensors, blobs = pack_arrays(arrays)
    found = unpack_arrays(tensors, [memoryview(bytes(blob)) for blob in blobs])
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f")


def test_nothing_is_pickled() -> None:
    with pytest.raises(TypeError):
        pack_arrays({"x": np.array([object()], dtype=object)})


def test_a_slice_is_sent_as_it_looks() -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2]
    tensors, blobs = pack_arrays({"x": array})
    assert unpack_arrays(tensors, [memoryview(b) for b in blobs])["x"].tolist() == array.tolist()
