"""What a model URI means, and what a person is told when it means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.store.reference import Listed, Reference, choose, read_reference, stage_named
from headrace.types.errors import BadInput, NotFound
from headrace.types.model import Stage

names = st.text(st.characters(exclude_characters="/@:", categories=("L", "N", "P", "Zs")), min_size=1).filter(
    lambda text: text == text.strip("/") and not text.startswith(" ")
)
LISTED = [
    Listed(version=1, stage=Stage.ARCHIVED),
    Listed(version=2, stage=Stage.PRODUCTION),
    Listed(version=3, stage=Stage.STAGING),
    Listed(version=4, stage=Stage.STAGING),
]
ALIASES = {"champion": 2, "rival": 4}


@given(names, st.integers(0, 10**6))
def test_a_number_is_read_back(name: str, version: int) -> None:
    assert read_reference(f"models:/{name}/{version}") == Reference(name=name, version=version)


@given(names, st.sampled_from(Stage), st.sampled_from([str.upper, str.lower, str.title]))
def test_a_stage_is_read_in_any_case(name: str, stage: Stage, case: object) -> None:
    assert callable(case)
    assert read_reference(f"models:/{name}/{case(stage.value)}") == Reference(name=name, stage=stage)


def test_an_alias_and_latest() -> None:
    assert read_reference("models:/digits@champion") == Reference(name="digits", alias="champion")
    assert read_reference("models:/digits/Latest") == Reference(name="digits", latest=True)


@pytest.mark.parametrize(
    "uri", ["digits", "models:/", "models:/digits", "models:/a/b/3", "runs:/1/model", "models:/@x", ""]
)
def test_anything_else_is_bad_input_that_names_the_forms(uri: str) -> None:
    with pytest.raises(BadInput, match="allowed: models:/NAME/3") as caught:
        read_reference(uri)
    assert repr(uri) in caught.value.message
    assert caught.value.field == "model"


def test_a_logged_model_is_told_to_be_registered() -> None:
    with pytest.raises(BadInput) as caught:
        read_reference("models:/m-0123456789abcdef")
    assert caught.value.hint == "register the logged model first"


def test_an_unknown_stage_lists_the_stages_and_thinks_of_an_alias() -> None:
    with pytest.raises(NotFound, match="stages: None, Staging, Production, Archived") as caught:
        read_reference("models:/digits/champion")
    assert "models:/digits@champion" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("uri", "version"),
    [
        ("models:/digits/3", 3),
        ("models:/digits/production", 2),
        ("models:/digits/STAGING", 4),
        ("models:/digits@champion", 2),
        ("models:/digits/latest", 4),
    ],
)
def test_choose(uri: str, version: int) -> None:
    assert choose(read_reference(uri), LISTED, ALIASES) == version


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models:/digits/7", "no version 7; there is: 1, 2, 3, 4"),
        ("models:/digits/0", "no version 0; there is: 1, 2, 3, 4"),
        ("models:/digits@king", "no alias 'king'; there is: champion, rival"),
        ("models:/digits/None", "no version in stage 'None'; there is: v1 is in Archived, v2 is in Production"),
    ],
)
def test_what_is_not_there_lists_what_is(uri: str, told: str) -> None:
    with pytest.raises(NotFound) as caught:
        choose(read_reference(uri), LISTED, ALIASES)
    assert told in caught.value.message


def test_a_model_without_versions() -> None:
    with pytest.raises(NotFound, match="there is: none"):
        choose(read_reference("models:/digits/latest"), [], {})


def test_stage_named() -> None:
    assert stage_named("pRoDuCtIoN") is Stage.PRODUCTION
    assert stage_named("prod") is None
