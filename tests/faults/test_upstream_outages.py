"""What callers, the ledger and the operator see of each way in which an upstream can fail: a table of docs/gateway.md.

A data plane as a process, and an upstream that breaks as it is told.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from chat_plane import ASK, QUICK, chat_endpoint, over, publish_chats, spent_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.running import ROOT, free_port, wait_for
from bench.upstream import ASKED, FAULTS, LATER, WORDS, Upstream, running_upstream
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Breaker, Gateway, Provider, ProviderKind
from tests.integration.test_data_plane import RunningPlane

pytestmark = pytest.mark.process
KEY = "sk-canary-9f3a2c71d0"
AWAY, UNTRUSTED = "down", "tls"
ENDED, SAID = "in the middle", "boom inside"


@dataclass(frozen=True)
class Seen:
    """Status and words of a whole answer and of a stream; the failure that the operator is told, in both."""

    status: int
    words: str
    stream_status: int
    stream_words: str
    outcome: str
    stream_billed: int = 0  # tokens of its answer


def alike(status: int, words: str, outcome: str) -> Seen:
    return Seen(status, words, status, words, outcome)


LATE = "did not answer within 0.4 s"
TABLE = {
    "slow": Seen(200, "leads", 200, "[DONE]", "ok", len(WORDS)),
    AWAY: alike(502, "cannot be reached", "connect"),
    UNTRUSTED: alike(502, "certificate", "connect"),
    "hang": alike(504, LATE, "timeout"),
    "hang-middle": Seen(504, LATE, 200, LATE, "timeout", 2),
    "cut": alike(502, "without an answer", "broken"),
    "cut-middle": Seen(502, ENDED, 200, ENDED, "broken", 2),
    "429": alike(429, "slow down", "rate_limit"),
    "429-later": alike(429, "slow down", "rate_limit"),
    "500": alike(500, "boom", "server"),
    "in-band": alike(502, SAID, "broken"),
    "in-band-middle": Seen(502, SAID, 200, SAID, "broken", 2),
    "nonsense": alike(502, "not JSON", "broken"),
    "401": alike(502, "were refused (status 401)", "auth"),
    "echo": alike(422, "[key]", "caller"),
    "echo-middle": Seen(502, "[key]", 200, "[key]", "broken", 2),
}


@dataclass
class Storm:
    running: RunningPlane
    upstream: Upstream

    def ask(self, model: str, **more: Any) -> httpx.Response:
        return self.running.http.post("/v1/chat/completions", json={"model": model, **ASK, **more})

    def call(self, answer: httpx.Response) -> Call:
        """Its line in the journal."""
        trace = answer.headers["x-headrace-trace"]

        def found() -> Call | None:
            records = self.running.records()
            return next((r for r in records if isinstance(r, Call) and r.trace_id == trace), None)

        return wait_for(found, seconds=10, what=f"the line of {trace}")

    def health(self, provider: str) -> dict[str, Any]:
        found = self.running.http.get("/health").json()["upstreams"]
        return next(row for row in found if row["provider"] == provider)


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    running = RunningPlane(tmp_path_factory.mktemp("storm") / "home", log_level="debug")
    untrusted = certificate(running.home)
    with running_upstream() as upstream, running_upstream(untrusted) as closed, pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPSTREAM_CANARY_API_KEY", KEY)
        urls = {name: f"{upstream.url}/{name}/v1" for name in FAULTS}
        urls |= {AWAY: f"http://127.0.0.1:{free_port()}/v1", UNTRUSTED: f"{closed.url}/well/v1"}
        providers = tuple(
            Provider(name=name, kind=ProviderKind.OPENAI, url=url, private=True, secret="env:UPSTREAM_CANARY_API_KEY",
                     **QUICK)
            for name, url in urls.items()
        )  # fmt: skip
        patient = Breaker(failures=100)
        endpoints = [
            chat_endpoint(running.artifacts, running.home, name, over(*ways, breaker=patient))
            for fault in TABLE
            for name, ways in ((fault, (fault,)), (f"{fault}-else", (fault, "well")))
        ]
        for name in ("500", "hang"):  # with breakers, and providers of their own
            impatient = over(f"{name}-row", breaker=Breaker(failures=2, cooldown_seconds=60.0))
            endpoints.append(chat_endpoint(running.artifacts, running.home, f"{name}-row", impatient))
            more = Provider(name=f"{name}-row", kind=ProviderKind.OPENAI, url=urls[name], private=True, **QUICK)
            providers += (more,)
        try:
            revision = publish_chats(running.database, endpoints, Gateway(providers=providers))
            running.start().live(revision)
            yield Storm(running, upstream)
        finally:
            running.close()


@pytest.mark.parametrize("fault", [fault for fault in TABLE if fault != "429-later"])
def test_whole_answers(storm: Storm, fault: str) -> None:
    stated = TABLE[fault]
    answer = storm.ask(fault)
    assert (answer.status_code, stated.words in answer.text) == (stated.status, True), answer.text
    assert answer.json()
    call, good = storm.call(answer), stated.status == 200
    assert (call.status is CallStatus.OK) is good
    assert spent_of(call).usage.output == (len(WORDS) if good else 0)
    assert storm.health(fault)["calls"][stated.outcome]


@pytest.mark.parametrize("fault", [fault for fault in TABLE if fault != "429-later"])
def test_streams(storm: Storm, fault: str) -> None:
    stated = TABLE[fault]
    answer = storm.ask(fault, stream=True)
    assert (answer.status_code, stated.stream_words in answer.text) == (stated.stream_status, True), answer.text
    call = storm.call(answer)
    assert (call.status is CallStatus.OK) is (stated.outcome == "ok")
    usage = spent_of(call).usage
    assert usage.output == stated.stream_billed
    if stated.stream_status == 200:
        assert (usage.input > 0, usage.input == ASKED) == (True, stated.outcome == "ok")
        last = answer.text.rstrip().rpartition("\n\n")[2].removeprefix("data: ")
        assert last == "[DONE]" if stated.outcome == "ok" else "error" in json.loads(last)
    found = storm.health(fault)
    assert (found["calls"][stated.outcome] > 0, found["inside"]) == (True, 0)


@pytest.mark.parametrize("fault", [fault for fault, stated in TABLE.items() if stated.outcome not in ("ok", "caller")])
def test_another_way_answers_before_the_first_byte(storm: Storm, fault: str) -> None:
    answer = storm.ask(f"{fault}-else")
    assert (answer.status_code, answer.headers["x-headrace-upstream"]) == (200, "well/up")
    if TABLE[fault].stream_status != 200:
        assert "[DONE]" in storm.ask(f"{fault}-else", stream=True).text


def test_a_storm_with_a_time_is_kept_out_of_it(storm: Storm) -> None:
    """The first caller has the upstream's words and Retry-After, the others ours, and the upstream is left alone."""
    before = storm.upstream.came["429-later"]
    answers = [storm.ask("429-later", stream=bool(number % 2)) for number in range(5)]
    states = [answer.status_code for answer in answers]
    assert states in ([429, 503, 503, 503, 503], [503] * 5)  # the second: another test was first
    assert all(1 <= int(answer.headers["retry-after"]) <= LATER for answer in answers)
    assert storm.upstream.came["429-later"] - before == states.count(429)
    assert "left alone" in answers[-1].text
    assert storm.health("429-later")["left_alone"]
    assert storm.call(answers[-1]).status is CallStatus.SHED


@pytest.mark.parametrize("fault", ["500", "hang"])
def test_what_keeps_failing_is_left_alone(storm: Storm, fault: str) -> None:
    states = [storm.ask(f"{fault}-row").status_code for _ in range(4)]
    assert states == [TABLE[fault].status] * 2 + [503] * 2
    found = storm.health(f"{fault}-row")
    assert (found["failures_in_a_row"], found["left_alone"]) == (2, True)


def test_a_key_that_is_refused_is_the_operators_concern(storm: Storm) -> None:
    """Nobody is told to try another key, nor to try again, nor what the upstream said of ours."""
    before, answer = storm.upstream.came["401"], storm.ask("401")
    assert (answer.status_code, storm.upstream.came["401"] - before) == (502, 1)
    error = answer.json()["error"]
    assert (error["type"], error["code"], "upstream '401'" in error["message"]) == ("server_error", None, True)
    assert "sk-" not in answer.text
    told = answer.headers
    assert (told["x-should-retry"], "retry-after" in told, "www-authenticate" in told) == ("false", False, False)
    found = storm.health("401")
    assert (found["key_refused"], found["last_failure"]) == (True, "the gateway's key was refused (status 401)")
    assert not storm.health("500")["key_refused"]
    call = storm.call(answer)
    assert (call.status, "upstream '401' were refused" in call.error) == (CallStatus.FAILED, True)


def test_the_key_of_a_provider_is_nowhere(storm: Storm) -> None:
    """Also where an upstream says it back, in its body, its headers and the middle of a stream."""
    told = []
    for fault in ("echo", "echo-middle"):
        for stream in (False, True):
            answer = storm.ask(fault, stream=stream)
            told.append(answer.text + repr(answer.headers))
    told.append(storm.running.http.get("/health").text + storm.running.http.get("/metrics").text)
    assert KEY in storm.upstream.keys, "it was really sent"
    assert [text for text in told if KEY in text or KEY[:12] in text] == []
    written = [path for path in storm.running.home.rglob("*") if path.is_file()]
    assert [str(path) for path in written if KEY.encode() in path.read_bytes()] == []


def test_the_table_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "gateway.md").read_text()
    named = set(re.findall(r"^\| `([a-z0-9-]+)`", text, re.MULTILINE))
    assert named >= set(TABLE)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of an authority that nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
