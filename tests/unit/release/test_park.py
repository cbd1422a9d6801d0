"""Load and unload on a real database; the registry and the data planes are played."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.release.park import batching_of
from headrace.store import audit, endpoints, plans, versions
from headrace.types.endpoint import Batching, Endpoint, PlaneReport, TimeoutAction
from headrace.types.errors import BadInput, Conflict, ModelRefused, NotFound
from headrace.types.model import Stage
from tests.unit.release.test_turn import World, started, world

__all__ = ["world"]


def digits(world: World) -> Endpoint:
    with world.parts.database.read() as conn:
        found = endpoints.get(conn, "digits")
    assert found is not None
    return found


def test_an_endpoint_is_unloaded_and_loaded_again_as_it_was(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    before = digits(world)
    service.unload("digits", actor="ann")
    assert digits(world).parked
    service.unload("digits", actor="ann")
    revision = world.revision()
    service.load("digits", actor="ann")
    after = digits(world)
    assert (after.policy, [v.package for v in after.variants]) == (before.policy, [v.package for v in before.variants])
    service.load("digits", actor="ann")
    assert world.revision() == revision + 1, "what is so already makes no plan"
    with world.parts.database.read() as conn:
        actions = [entry.action for entry in audit.entries(conn, subject="endpoint:digits")]
        latest = plans.latest(conn)
    assert actions[:2] == ["endpoint.load", "endpoint.unload"]
    assert latest is not None
    assert latest.reason == "digits: loaded"


def test_a_registered_model_gets_an_endpoint_with_its_production_version(world: World) -> None:
    service = world.service()
    with world.parts.database.write() as conn:
        for number, known in world.registry.known.items():
            versions.put(conn, replace(known, stage=Stage.PRODUCTION if number == 2 else Stage.NONE))
    service.load("digits", config={"max_batch_size": 4}, actor="ann")
    assert (digits(world).policy.baseline, digits(world).batching.max_batch_size) == ("v2", 4)


def test_without_a_production_version_it_is_the_latest(world: World) -> None:
    with world.parts.database.write() as conn:
        for known in world.registry.known.values():
            versions.put(conn, known)
    world.service().load("digits", actor="ann")
    assert digits(world).policy.baseline == "v3"


@pytest.mark.parametrize("name", ["../digits", "a/b", "", ".", "x" * 101, "digits\n", "%2e%2e"])
def test_a_name_is_never_a_path(world: World, name: str) -> None:
    with pytest.raises(BadInput):
        world.service().load(name, actor="ann")
    with pytest.raises(NotFound):
        world.service().unload(name, actor="ann")


def test_what_is_not_there_cannot_be_loaded(world: World) -> None:
    with pytest.raises(NotFound, match="there is no model 'odd'; there are: none yet"):
        world.service().load("odd", actor="ann")


def test_a_release_keeps_its_endpoint(world: World) -> None:
    service, _ = started(world)
    with pytest.raises(Conflict, match="is moving endpoint"):
        service.unload("digits", actor="ann")


def test_no_release_starts_on_what_is_unloaded(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    service.unload("digits", actor="ann")
    with pytest.raises(Conflict, match="is unloaded"):
        service.start("digits", "models:/digits/2", actor="ann")
    service.deploy("digits", "models:/digits/2", actor="ann")
    assert not digits(world).parked, "a deploy is a wish for traffic"


def test_the_registry_does_not_load_what_was_unloaded(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    service.sync()
    service.unload("digits", actor="ann")
    world.registry.set_stage("digits", 2, Stage.PRODUCTION)
    service.sync()
    assert (digits(world).parked, digits(world).policy.baseline) == (True, "v1")
    service.load("digits", actor="ann")
    service.sync()
    assert digits(world).policy.baseline == "v2"


def test_a_load_that_the_planes_refuse_leaves_it_unloaded(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    service.unload("digits", actor="ann")
    world.report = PlaneReport(revision=0, live=False, refused="its file has another sha256")
    with pytest.raises(ModelRefused, match="another sha256"):
        service.load("digits", actor="ann")
    assert digits(world).parked


def test_a_configuration_changes_the_batching_and_nothing_else() -> None:
    config = {
        "name": "digits",
        "backend": "onnxruntime",
        "max_batch_size": 16,
        "dynamic_batching": {
            "preferred_batch_size": [4, 8],
            "max_queue_delay_microseconds": 100,
            "default_queue_policy": {"timeout_action": "DELAY", "max_queue_size": 5},
        },
        "instance_group": [{"count": 2, "kind": "KIND_CPU"}, {}],
    }
    assert batching_of(config, Batching(priority_levels=3)) == Batching(
        max_batch_size=16,
        preferred_batch_size=(4, 8),
        max_queue_delay_microseconds=100,
        max_queue_size=5,
        timeout_action=TimeoutAction.DELAY,
        priority_levels=3,
        instances=3,
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"odd": 1}, "the configuration has 'odd'; allowed: backend"),
        ({"max_batch_size": "8"}, "Expected `int`"),
        ({"max_batch_size": -1}, "max_batch_size is -1"),
        ({"dynamic_batching": {"odd": 1}}, "allowed keys"),
        ({"dynamic_batching": 1}, "allowed keys"),
        ({"dynamic_batching": {"default_queue_policy": {"timeout_action": "SOON"}}}, "SOON"),
        ({"instance_group": [1]}, "instance_group is"),
        ({"instance_group": [{"count": "two"}]}, "instance_group is"),
    ],
)
def test_a_configuration_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        batching_of(config, Batching())
