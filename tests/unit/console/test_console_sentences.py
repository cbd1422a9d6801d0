"""The sentence on top says the state, in both languages, and what is most urgent first."""

from __future__ import annotations

from typing import Any

import pytest
from console_samples import NOW, endpoint, release, visit

from headrace.console.messages import Language
from headrace.console.parts.progress import step_views, stops
from headrace.console.sentences import (
    Traffic,
    current_share,
    reason_of,
    say_endpoint,
    say_overview,
    say_release,
    say_status,
    taken,
    upper_first,
)
from headrace.types.release import Event, Judgement, Phase, Verdict

BUSY = Traffic(calls=1200, errors=0, rate=21.44, p50_ms=1.2, p99_ms=18.42)


def judged(verdict: Verdict, reason: str) -> Judgement:
    return Judgement(verdict=verdict, reason=reason, time=NOW)


def test_overview_without_endpoints_says_so() -> None:
    assert say_overview(visit(), [], Traffic(), []).text == "Nothing is served yet."


def test_overview_counts_and_is_calm() -> None:
    said = say_overview(visit(), [endpoint(), endpoint("churn")], BUSY, [release()])
    assert said.text == (
        "2 endpoints answer 21.4 calls a second. Nothing failed in the last 5 minutes. 1 release is in flight."
    )
    assert said.tone == ""


def test_overview_names_failures() -> None:
    said = say_overview(visit(), [endpoint()], Traffic(calls=1200, errors=36, rate=4), [])
    assert "36 of 1,200 calls failed in the last 5 minutes (3.0 %)." in said.text
    assert said.tone == "bad"


def test_overview_asks_for_a_decision_before_anything_else() -> None:
    said = say_overview(visit(), [endpoint()], BUSY, [release(Phase.PAUSED)])
    assert said.text == "The release of digits v2 waits for a decision."
    assert said.tone == "bad"


def test_overview_tells_how_the_last_release_ended_while_it_is_news() -> None:
    ended = release(Phase.ROLLED_BACK, ended=NOW - 60)
    said = say_overview(visit(), [endpoint()], BUSY, [ended])
    assert said.text.endswith("The last release, digits v2, was rolled back.")
    old = release(Phase.PROMOTED, ended=NOW - 9e4)
    assert "last release" not in say_overview(visit(), [endpoint()], BUSY, [old]).text


def test_a_reason_begins_with_a_capital_and_a_variant_does_not() -> None:
    assert upper_first(release(), "no harm seen") == "No harm seen"
    assert upper_first(release(), "v2 is proven") == "v2 is proven"


def test_preparation_does_not_count() -> None:
    began = Event(time=NOW - 40, name="started", detail="", actor="ada", share=100)
    assert taken(release(history=(began,)), NOW) == 40
    assert taken(release(history=()), NOW) == 300


def test_endpoint_says_who_answers_whom() -> None:
    said = say_endpoint(visit(), endpoint(share=2500), BUSY, release())
    assert said.text.startswith("v2 answers 25 % of users, v1 the rest. 21.4 calls a second, p99 18.4 ms.")
    whole = say_endpoint(visit(), endpoint(), Traffic(), None)
    assert whole.text == "v1 answers everyone. Nobody called it in the last 5 minutes."


def test_release_with_too_few_users() -> None:
    said = say_release(visit(), release(), NOW)
    assert said.text == "v2 answers 5 % of users. Held: 12 users so far, 40 needed and 30 s of 1 min."


def test_release_that_is_too_young() -> None:
    said = say_release(visit(), release(step_units=41), NOW)
    assert said.text == "v2 answers 5 % of users. Held: 30 s of 1 min."


@pytest.mark.parametrize(
    ("phase", "text", "tone"),
    [
        (Phase.PROMOTED, "v2 took over from v1 in 3 min 20 s.", "good"),
        (Phase.ROLLED_BACK, "v2 was rolled back after 3 min 20 s: 9 of 41 failed.", "bad"),
        (Phase.ABORTED, "v2 was aborted after 3 min 20 s; v1 answers everyone.", ""),
        (Phase.FAILED, "v2 never got traffic: 9 of 41 failed.", "bad"),
    ],
)
def test_release_that_ended(phase: Phase, text: str, tone: str) -> None:
    ended = release(phase, ended=NOW - 100, judgement=judged(Verdict.ROLL_BACK, "9 of 41 failed."))
    said = say_release(visit(), ended, NOW)
    assert (said.text, said.tone) == (text, tone)


def test_release_paused_says_why_and_what_to_do() -> None:
    said = say_release(visit(), release(Phase.PAUSED, paused_reason="by ada"), NOW)
    assert said.text == "v2 is paused at 5 %: by ada. Resume, promote or abort it."
    assert said.tone == "bad"


def test_release_that_cannot_be_seen_is_no_failure_of_the_candidate() -> None:
    blind = release(judgement=judged(Verdict.ERROR, "the journal does not answer"))
    assert "cannot be read (the journal does not answer)" in say_release(visit(), blind, NOW).text


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("language", Language)
def test_every_phase_can_be_said_in_every_language(phase: Phase, language: Language) -> None:
    said = say_release(visit(language), release(phase, ended=NOW if phase.ended else 0.0), NOW)
    assert said.text
    assert "{" not in said.text


def test_the_reason_of_an_ended_release_is_that_of_its_end() -> None:
    history = (Event(time=NOW, name="aborted", detail="wrong model", actor="ada"),)
    ended = release(Phase.ABORTED, history=history, judgement=judged(Verdict.HOLD, "no harm seen"))
    assert reason_of(ended) == "wrong model"


@pytest.mark.parametrize(
    ("phase", "share"),
    [(Phase.PREPARING, 0), (Phase.PROGRESSING, 500), (Phase.PAUSED, 500), (Phase.PROMOTED, 10_000), (Phase.ABORTED, 0)],
)
def test_current_share(phase: Phase, share: int) -> None:
    assert current_share(release(phase)) == share


def test_steps_say_what_they_wait_for_and_end_with_all_traffic() -> None:
    views = step_views(visit(), release(), NOW)
    assert [view.state for view in views] == ["done", "now", "next", "next"]
    assert len(views) == stops(release())
    assert views[1].words == "12 users so far, 40 needed · 30 s of 1 min"
    assert views[1].part == pytest.approx(0.3)
    assert (views[-1].title, views[-1].words) == ("100 %", "all traffic, once proven")


@pytest.mark.parametrize(
    ("phase", "states"),
    [
        (Phase.PREPARING, ["done", "next", "next", "next"]),
        (Phase.PROMOTED, ["done"] * 4),
        (Phase.ROLLED_BACK, ["done", "failed", "next", "next"]),
        (Phase.PAUSED, ["done", "now", "next", "next"]),
    ],
)
def test_steps_of_each_phase(phase: Phase, states: list[str]) -> None:
    assert [view.state for view in step_views(visit(), release(phase), NOW)] == states


def status(**changes: Any) -> dict[str, Any]:
    plane = {"url": "http://127.0.0.1:8000", "ready": True, "revision": 4, "error": "", "lost": 0}
    return {"planes": [plane | changes.pop("plane", {})], "mlflow": {"ok": True, "error": ""}, "failing": []} | changes


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (status(), []),
        (status(mlflow={"ok": False, "error": ""}), []),  # not asked yet
        (status(plane={"ready": False}), ["The data plane at http://127.0.0.1:8000 is not ready: it starts or stops."]),
        (
            status(plane={"error": "no such file"}),
            ["The data plane keeps the plan before the latest one: no such file."],
        ),
        (status(plane={"lost": 3}), ["3 calls could not be recorded."]),
        (status(failing=["mirror", "registry"]), ["These parts of the control plane fail: mirror."]),
    ],
)
def test_what_does_not_work_is_said(state: dict[str, Any], said: list[str]) -> None:
    assert say_status(visit(), state) == said
