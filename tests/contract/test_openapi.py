"""What the data plane says of itself in OpenAPI, held against what it does: schemathesis makes the requests."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from headrace.api.http.openapi import description
from tests.contract.conftest import V2Plane

pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore")]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api(v2: V2Plane) -> Any:
    """With a model's name where a model is asked for: names that are made up all end in the same 404."""
    described: dict[str, Any] = description()
    for path, operations in described["paths"].items():
        control = path.startswith("/v2/repository")
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "model":
                    parameter["schema"] = {"enum": ["identity_int16" if control else "identity_fp32", "odd"]}
                elif parameter["name"] == "version":
                    parameter["schema"] = {"enum": ["1", "9"]}
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=v2.running.url)
    return schema


OPERATIONS = [
    (path, method)
    for path, methods in description()["paths"].items()
    for method in methods
    if path.startswith(("/v2", "/predict", "/feedback", "/health", "/metrics"))
]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    try:
        cases = api[path][method].as_strategy(generation_mode=mode)
    except Unsatisfiable:
        pytest.skip("nothing can be wrong")

    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def hold(case: Any) -> None:
        response = case.call()
        if response.status_code != 503:  # documented: not there right now
            case.validate_response(response, checks=[not_a_server_error])
        case.validate_response(response, checks=CHECKS)

    try:
        hold()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "nothing can be asked"
