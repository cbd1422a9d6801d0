"""Chat endpoints in the gateway's document: refused with their place, compared, deployed, kept on record, undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.control.configuration import Configuration
from headrace.control.wanted import Wanted, in_order, read_wanted, written
from headrace.provision.service import Provision
from headrace.release.parts import Parts
from headrace.release.service import Releases
from headrace.release.services import Service
from headrace.store import endpoints, gateway, plans
from headrace.store.artifacts import Artifacts
from headrace.store.journal.query import JournalQuery
from headrace.store.secrets import Vault
from headrace.types.endpoint import Capture, Endpoint, Plan, PlaneReport
from headrace.types.errors import BadInput, Conflict, ModelRefused, NotFound
from headrace.types.gateway import Affinity, Balance, Chat, ChatCache, Guard, Retries, Way
from tests.control_samples import endpoint as predicting
from tests.control_samples import open_database

DOCUMENT = yaml.safe_load(
    """
providers:
  - {name: openai, kind: openai, url: "https://api.openai.com/v1"}
endpoints:
  - name: assistant
    version:
      prompt: Be brief.
      ways: [{provider: openai, model: gpt-5-mini}]
      guards: [{kind: judge, settings: {model: critic, rubric: Nothing rude.}}]
      cache: {ttl_seconds: 60}
    capture: masked
    limits: {timeout_ms: 20000}
  - {name: critic, kind: chat, version: {model: openai/gpt-5}}
"""
)


class NoRegistry:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the registry was asked: {name}")


class Rig:
    def __init__(self, folder: Path, database: Any) -> None:
        home, clock = Settings(home=folder), ManualClock(1000.0)
        self.query, self.database = JournalQuery(home.journal), database
        self.refused = ""
        artifacts = Artifacts(home.artifacts)
        self.releases = Releases(
            Parts(
                settings=home,
                clock=clock,
                database=database,
                registry=NoRegistry(),  # type: ignore[arg-type]
                artifacts=artifacts,
                query=self.query,
                await_plan=lambda revision, _: PlaneReport(
                    revision=revision, live=not self.refused, refused=self.refused
                ),
            )
        )
        self.provision = Provision(
            database=database,
            vault=Vault(folder / "keys", Secret("")),
            pepper=b"p" * 32,
            catalogue=lambda _: (),
            clock=clock,
        )
        self.configuration = Configuration(self.provision, self.releases, database=database, packages=artifacts)

    def apply(self, document: Any = DOCUMENT, **more: Any) -> list[str]:
        return [line.words() for line in self.configuration.apply(document, actor="ann", **more).lines]

    def plan(self) -> Plan:
        with self.database.read() as conn:
            found = plans.latest(conn)
        assert found is not None
        return found

    def live(self, name: str = "assistant") -> Endpoint:
        with self.database.read() as conn:
            found = endpoints.get(conn, name)
        assert found is not None
        return found

    def uri(self, name: str = "assistant") -> str:
        found = self.live(name)
        variant = found.variant(found.policy.baseline)
        assert variant is not None
        return variant.model.uri


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_database(tmp_path) as database:
        made = Rig(tmp_path, database)
        yield made
        made.query.close()


def changed(**version: Any) -> dict[str, Any]:
    first, second = DOCUMENT["endpoints"]
    return {**DOCUMENT, "endpoints": [{**first, "version": {**first["version"], **version}}, second]}


def test_a_document_makes_providers_and_endpoints_at_once(rig: Rig) -> None:
    looked = [line.words() for line in rig.configuration.compare(DOCUMENT)]
    assert looked == ["add provider openai", "add endpoint assistant", "add endpoint critic"]
    assert rig.apply(reason="first") == looked
    live = rig.live()
    assert (live.capture, live.limits.timeout_ms) == (Capture.MASKED, 20_000)
    assert rig.live("critic").capture is Capture.FULL
    assert rig.apply() == [], "the same again changes nothing"
    assert rig.configuration.compare(rig.configuration.document()) == (), "what is shown may be applied"
    again = yaml.safe_load(yaml.safe_dump(rig.configuration.document()))
    assert again["endpoints"][0]["version"]["guards"] == DOCUMENT["endpoints"][0]["version"]["guards"]
    with rig.database.read() as conn:
        assert gateway.number(conn) == 1, "one version"
        plan = plans.latest(conn)
    assert plan is not None
    assert plan.gateway.endpoints == (), "data planes have endpoints of their own"


def test_a_change_is_told_field_by_field_and_is_a_new_version(rig: Rig) -> None:
    rig.apply()
    before = rig.uri()
    said = changed(prompt="Be very brief.", cache={"ttl_seconds": 5})
    (told,) = [line.words() for line in rig.configuration.compare(said)]
    assert told.startswith("change endpoint assistant: prompt 'Be brief.' → 'Be very brief.', cache {")
    assert rig.uri() == before, "a look changes nothing"
    assert rig.apply(said) == [told]
    assert rig.uri() != before
    assert rig.apply({"endpoints": [{"name": "assistant", "capture": "none"}]}) == [
        "change endpoint assistant: capture masked → none"
    ]
    assert rig.live().limits.timeout_ms == 20_000, "what is not said stays"


def test_going_back_takes_endpoints_along(rig: Rig) -> None:
    rig.apply()
    first = rig.uri()
    rig.apply({**changed(prompt="Be very brief."), "limits": [{"level": "all", "counted": "concurrency", "amount": 5}]})
    rig.apply({"endpoints": [{"name": "assistant", "capture": "none"}]})
    done = rig.configuration.roll_back(1, actor="bob")
    assert [(line.section, line.deed) for line in done.lines] == [("limit", "remove"), ("endpoint", "change")]
    assert rig.uri() == first
    assert rig.live().capture is Capture.MASKED
    with pytest.raises(NotFound):
        rig.configuration.roll_back(99, actor="bob")


def test_what_was_released_meanwhile_is_not_moved_by_going_back(rig: Rig) -> None:
    rig.apply()
    rig.apply(changed(prompt="Be very brief."))
    other = Service(name="assistant", what=Chat(ways=(Way(provider="openai", model="gpt-6"),)))
    rig.releases.deploy("assistant", other, actor="eve")
    released = rig.uri()
    (line,) = rig.configuration.roll_back(1, actor="bob").lines
    assert (line.deed, line.name) == ("keep", "assistant")
    assert rig.uri() == released
    assert "change endpoint assistant" in rig.apply()[0], "but a file that is applied says what is to be"


def test_while_a_release_moves_an_endpoint_nothing_of_the_document_is_applied(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.apply()

    def busy(conn: Any, name: str) -> None:
        raise Conflict(f"release rel_1 is moving endpoint {name!r}", field="endpoint")

    monkeypatch.setattr("headrace.control.configuration.check_free", busy)
    with pytest.raises(Conflict):
        rig.apply({**changed(prompt="No."), "limits": []})
    with rig.database.read() as conn:
        assert gateway.number(conn) == 1
    assert rig.apply({"limits": [{"level": "all", "counted": "concurrency", "amount": 5}]}), "the rest may change"


def test_all_of_a_file_is_in_force_with_one_plan(rig: Rig) -> None:
    rig.apply({"providers": DOCUMENT["providers"]})
    before = rig.plan()
    rig.apply({**DOCUMENT, "limits": [{"level": "all", "counted": "concurrency", "amount": 5}]})
    after = rig.plan()
    assert after.revision == before.revision + 1
    assert {each.name for each in after.endpoints} == {"assistant", "critic"}
    assert len(after.gateway.limits) == 1
    rig.apply({**changed(prompt="Be very brief."), "limits": []})
    rig.configuration.roll_back(2, actor="bob")
    back = rig.plan()
    assert back.revision == after.revision + 2
    assert back.gateway.limits == after.gateway.limits
    assert rig.uri() == after.endpoints[0].variants[0].model.uri


def test_what_data_planes_refuse_is_taken_back_as_a_whole_and_may_be_applied_again(rig: Rig) -> None:
    rig.apply()
    before = rig.plan()
    rig.refused = "no way"
    limits = [{"level": "all", "counted": "concurrency", "amount": 5}]
    more = {**changed(prompt="No."), "limits": limits, "keys": [{"name": "app"}]}
    more["endpoints"] = [*more["endpoints"], {"name": "third", "version": {"model": "openai/m"}}]
    with pytest.raises(ModelRefused, match="nothing has changed: no way"):
        rig.apply(more)
    after = rig.plan()
    assert after.revision == before.revision + 2
    assert after.gateway == before.gateway, "also the key, which nobody has seen"
    assert [replace(each, revision=0) for each in after.endpoints] == [
        replace(each, revision=0) for each in before.endpoints
    ]
    rig.refused = ""
    assert "change endpoint assistant: prompt 'Be brief.' → 'No.'" in rig.apply(more)
    assert rig.live("third").model == "third"


@pytest.mark.parametrize(
    ("entry", "field", "told"),
    [
        ("x", "endpoints[0]", "not fields by name"),
        ({"name": "a b"}, "endpoint", "allowed"),
        ({"name": "a", "model": "b"}, "endpoints[0].model", "there are: name, kind, version"),
        ({"name": "a", "kind": "onnx"}, "endpoints[0].kind", "allowed: chat"),
        ({"name": "a"}, "endpoints[0].version", "needs a version"),
        ({"name": "a", "version": 7}, "endpoints[0].version", "a description"),
        ({"name": "a", "version": {"ways": []}}, "endpoints[0].version.ways", "nobody would answer"),
        ({"name": "a", "version": {"model": "nobody/m"}}, "endpoints[0].version.ways", "there are: headrace, openai"),
        ({"name": "a", "version": {"model": "openai/m", "wieght": 1}}, None, "not known"),
        (
            {"name": "a", "version": {"model": "openai/m", "guards": [{"kind": "magic"}]}},
            "endpoints[0].version.guards",
            "allowed: pii",
        ),
        (
            {
                "name": "a",
                "version": {
                    "model": "openai/m",
                    "guards": [{"kind": "judge", "settings": {"model": "b", "rubric": "r"}}],
                },
            },
            "guards",
            "no chat endpoint 'b'",
        ),
        ({"name": "a", "version": {"model": "openai/m"}, "capture": "some"}, "capture", "allowed: full"),
        ({"name": "a", "version": {"model": "openai/m"}, "limits": {"timeout_ms": 0}}, "limits.timeout_ms", "allowed"),
        ({"name": "digits", "version": {"model": "openai/m"}}, "endpoints[0].name", "no chat endpoint"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(rig: Rig, entry: Any, field: str | None, told: str) -> None:
    with rig.database.write() as conn:
        endpoints.replace_all(conn, [predicting("digits", "digits", 1)])
    with pytest.raises(BadInput, match=told) as caught:
        rig.apply({"providers": DOCUMENT["providers"], "endpoints": [entry]})
    assert field is None or caught.value.field == field
    with rig.database.read() as conn:
        assert gateway.number(conn) == 0


def test_two_of_one_name_and_a_list_that_is_none(rig: Rig) -> None:
    with pytest.raises(BadInput, match="two of endpoints"):
        rig.apply({"endpoints": [{"name": "a"}, {"name": "a"}]})
    with pytest.raises(BadInput, match="endpoints is a list"):
        rig.apply({"endpoints": {}})


def test_who_judges_comes_first() -> None:
    wanted = read_wanted(DOCUMENT["endpoints"])
    assert [each.name for each in in_order(wanted)] == ["critic", "assistant"]
    back = {"kind": "judge", "settings": {"model": "assistant", "rubric": "r"}}
    circle = read_wanted([DOCUMENT["endpoints"][0], {"name": "critic", "version": {"model": "a/b", "guards": [back]}}])
    assert len(in_order(circle)) == 2


_CHATS = st.builds(
    Chat,
    ways=st.lists(
        st.builds(
            Way,
            provider=st.just("openai"),
            model=st.sampled_from(["a", "b"]),
            weight=st.floats(0.1, 9),
            tier=st.integers(0, 3),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    prompt=st.text(max_size=20),
    parameters=st.dictionaries(st.sampled_from(["temperature", "top_p"]), st.floats(0, 1)),
    balance=st.sampled_from(Balance),
    affinity=st.sampled_from(Affinity),
    retries=st.builds(Retries, attempts=st.integers(1, 3), budget=st.floats(0, 1)),
    guards=st.sampled_from([(), (Guard(kind="pii", after=False),)]),
    cache=st.builds(ChatCache, ttl_seconds=st.floats(0, 100), shared=st.booleans()),
)


@settings(max_examples=25)
@given(_CHATS)
def test_what_is_written_reads_as_the_same(chat: Chat) -> None:
    entry = written(replace(predicting("a", "a", 1)), chat)
    (read,) = read_wanted([yaml.safe_load(yaml.safe_dump(entry))])
    assert isinstance(read, Wanted)
    assert read.chat == chat
