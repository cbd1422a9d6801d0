"""Memory is set aside before a version is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plane_samples import package

from headrace.serving.reserve import BASE, FACTOR, MARGIN, Reservations, available_memory
from headrace.types.errors import ModelRefused
from headrace.types.model import Package, PackageFile

SIZE = 100 << 20
NEED = BASE + FACTOR * SIZE


def big() -> Package:
    return replace(package(1), files=(PackageFile(path="model.onnx", sha256="", size=SIZE),))


def test_what_fits_is_loaded_and_loads_in_progress_count() -> None:
    memory = Reservations(lambda: 2 * NEED + MARGIN)
    with memory.reserve(big()), memory.reserve(big()):
        with pytest.raises(ModelRefused, match=f"toy/1 needs about {NEED >> 20} MiB") as caught, memory.reserve(big()):
            pass
        assert "unload" in caught.value.sentence()
    with memory.reserve(big()):
        pass


def test_a_load_that_fails_gives_back() -> None:
    memory = Reservations(lambda: NEED + MARGIN)
    with pytest.raises(ZeroDivisionError), memory.reserve(big()):
        raise ZeroDivisionError
    with memory.reserve(big()):
        pass


def test_where_nobody_knows_everything_fits() -> None:
    with Reservations(lambda: None).reserve(big()):
        pass


def test_this_machine_has_some() -> None:
    found = available_memory()
    assert found is None or found > 0
