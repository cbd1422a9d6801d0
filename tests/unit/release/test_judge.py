"""A judge of texts: what it says decides, in the order of the pairs, and the release clock never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import EntryPoint
from typing import Any

import msgspec
import pytest

from headrace.release import hook
from headrace.release import judge as module
from headrace.release import pairs as pairing
from headrace.release.judge import TextJudge, judge_of
from headrace.release.pairs import Known, Pairs
from headrace.release.plans import plan_from
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.model import Datatype, TensorSpec
from headrace.types.pair import PairRules
from headrace.types.traffic import Shadow
from tests.unit.release.made import call, release
from tests.unit.release.test_pairs import nothing, shadow_of

TEXT = TensorSpec(name="answer", datatype=Datatype.BYTES, shape=(-1,))


def pairs_of(judge: TextJudge | None) -> Pairs:
    rules = PairRules(texts=("answer",), text_distance=0.1)
    return Pairs(
        release().members[0],
        Shadow(variant="v2"),
        rules,
        specs=(TEXT,),
        known=Known(),
        find=nothing,
        judge=judge,
    )


def say(pairs: Pairs, number: int, before: str, after: str) -> None:
    live = call(f"user-{number}", at=1.0 + number / 100, output=[before])
    pairs.observe([live, shadow_of(live, output=[after])])


def until(condition: Callable[[], bool]) -> None:
    """Threads answer when they do; a second of trying is far more than they need."""
    ticks = threading.Event()
    for _ in range(2_000):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("not within ten seconds")


class Waits:
    """A judge that answers when it is let; it says that texts with the same first letter mean the same."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[tuple[str, str]] = []

    def __call__(self, baseline: str, candidate: str) -> float | None:
        self.asked.append((baseline, candidate))
        self.go.wait(10)
        return float(baseline[0] != candidate[0])


def test_pairs_are_counted_in_their_order_once_the_judge_has_spoken() -> None:
    waits = Waits()
    judge = TextJudge("waits", waits)
    pairs = pairs_of(judge)
    say(pairs, 0, "yes", "yes")
    say(pairs, 1, "yes", "yes indeed")
    say(pairs, 2, "yes", "no")
    say(pairs, 3, "no", "no")
    first = pairs.close().tally
    assert (first.pairs, first.tested) == (1, 1), "the same texts after one that waits would prove what is not so"
    assert pairs.close().tally.pairs == 0
    waits.go.set()
    until(lambda: len(judge._known) == 2)
    assert sorted(waits.asked) == [("yes", "no"), ("yes", "yes indeed")], "both at a time, each once"
    rest = pairs.close().tally
    assert (rest.pairs, rest.tested, rest.differing, rest.flips) == (3, 3, 1, 1.0)


def test_when_too_many_wait_the_edits_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "UNJUDGED", 2)
    waits = Waits()
    pairs = pairs_of(TextJudge("waits", waits))
    for number in range(5):
        say(pairs, number, "yes", f"yes, {number}")
    told = pairs.close().tally
    assert (told.pairs, told.differing) == (3, 3)
    waits.go.set()


def test_a_judge_that_cannot_be_asked_cannot_say() -> None:
    def broken(_: str, __: str) -> float | None:
        raise UpstreamError("it is away")

    judge = TextJudge("broken", broken)
    pairs = pairs_of(judge)
    say(pairs, 0, "yes", "yes!")
    assert pairs.close().tally.pairs == 0
    until(lambda: bool(judge._known))
    told = pairs.close().tally
    assert (told.pairs, told.differing) == (1, 1), "one edit of four characters is above a tenth"


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any], dict[str, bytes]]]:
    asked: list[Any] = []
    says = {"body": b'{"distance": 0.0}'}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.send_header("content-length", str(len(says["body"])))
            self.end_headers()
            self.wfile.write(says["body"])

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/same?strict=1", asked, says
        running.shutdown()
        thread.join()


def test_a_judge_at_a_url(server: tuple[str, list[Any], dict[str, bytes]]) -> None:
    url, asked, says = server
    judge = judge_of(url)
    assert judge is not None
    judge("yes", "indeed")
    until(lambda: ("yes", "indeed") in judge._known)
    assert judge("yes", "indeed") == 0.0
    assert asked == [("/same?strict=1", {"baseline": "yes", "candidate": "indeed"})]
    for body, told in ((b'{"distance": null}', None), (b'{"distance": 7}', 1.0), (b"<html>", None)):
        says["body"] = body
        judge("no", str(body))
        until(lambda body=body: ("no", str(body)) in judge._known)  # type: ignore[misc]
        assert judge("no", str(body)) == told


def same_length(baseline: str, candidate: str) -> float | None:
    if not candidate:
        raise KeyError("candidate")
    return abs(len(baseline) - len(candidate)) / 10


def test_a_judge_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="lengths", value=f"{__name__}:same_length", group=module.GROUP)
    monkeypatch.setattr(hook, "entry_points", lambda **_: [point])
    plan = plan_from({"strategy": "shadow", "pairs": {"texts": ["answer"], "judge": "lengths"}})
    judge = judge_of(plan.pairs.judge)
    assert judge is not None
    for after, told in (("ab", 0.1), ("", None)):
        judge("a", after)
        until(lambda after=after: ("a", after) in judge._known)  # type: ignore[misc]
        assert judge("a", after) == told


def test_what_may_be_a_judge() -> None:
    assert judge_of("") is None
    for rules, said in (
        ({"texts": ["answer"], "judge": "nobody"}, "pairs.judge is 'nobody'; allowed: a URL, or an entry point"),
        ({"texts": ["answer"], "judge": "http://user:pw@host/"}, "without a user or a password"),
        ({"judge": "http://127.0.0.1:9/"}, "name the outputs that are text in pairs.texts"),
    ):
        with pytest.raises(BadInput, match=said):
            plan_from({"strategy": "shadow", "pairs": rules})
