"""Production traffic for the demo: held-out rows, sent by users with stable ids, who later say what they think.

Called by the demo's spine. Threads with one keep-alive connection each, paced to `rate`; feedback waits in a heap until
it is due. Every answer counts: a status other than 200 is a failed request.
"""

from __future__ import annotations

import heapq
import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 30.0  # seconds until an unanswered request counts as failed
OPINIONS = 4  # people who speak at the same moment
PLEASED, UNHAPPY = 0.1, 0.8  # share of right and of wrong answers that somebody says something about


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What production sends, and the truth that the users know."""

    pixels: list[list[float]]
    labels: list[int]


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the users saw. `latencies` in milliseconds; `versions` counts answers by model version."""

    requests: int = 0
    failed: int = 0
    wrong: int = 0
    feedback: int = 0
    corrections: int = 0
    failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    trace: str = ""  # the first call that somebody corrected
    first: dict[str, float] = field(default_factory=dict)  # version → when it first answered
    last: dict[str, float] = field(default_factory=dict)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[int(q * (len(ordered) - 1))] if ordered else 0.0


# So many that one per cent of them, whoever that is, are some thirty: of a few hundred users it may be nobody, and a
# release then waits for the first for ever.
USERS = 3000


class Replay:
    """`with Replay(...)` runs until the block ends. `seen` may be read at any time."""

    def __init__(
        self, host: str, port: int, rows: Rows, *, users: int = USERS, rate: float = 200, threads: int = 8
    ) -> None:
        self.address = (host, port)
        self.rows, self.users, self.rate = rows, users, rate
        self.seen = Seen()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._random = random.Random(11)  # noqa: S311 - a reproducible story, not a secret
        self._due: list[tuple[float, int, dict[str, Any]]] = []
        self._sent = 0
        self._threads = [threading.Thread(target=self._user, daemon=True) for _ in range(threads)]
        # An opinion is answered once it is on disk; several at a time share one sync.
        self._threads += [threading.Thread(target=self._opinions, daemon=True) for _ in range(OPINIONS)]

    def __enter__(self) -> Replay:
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def wait(self, requests: int, *, seconds: float) -> bool:
        """Until so many more requests were answered; False when the time is up."""
        goal, deadline = self.seen.requests + requests, time.monotonic() + seconds
        while self.seen.requests < goal and time.monotonic() < deadline:
            self._stop.wait(0.05)
        return self.seen.requests >= goal

    # --- a user asks

    def _user(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        while not self._stop.is_set():
            with self._lock:
                number, self._sent = self._sent, self._sent + 1
                row = self._random.randrange(len(self.rows.labels))
                user = f"user-{self._random.randrange(self.users)}"
            self._stop.wait(max(0.0, self._start + number / self.rate - time.monotonic()))
            self._ask(connection, row, user)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, row: int, user: str) -> None:
        body = {"model": "digits", "inputs": [self.rows.pixels[row]]}
        sent = time.monotonic()
        status, answer = _post(connection, "/predict", body, user)
        took = (time.monotonic() - sent) * 1000
        with self._lock:
            self.seen.requests += 1
            if status != 200:
                self.seen.failed += 1
                self.seen.failures.append(f"{status}: {answer}"[:300])
                return
            version = str(answer["model_version"])
            self.seen.latencies.append(took)
            self.seen.versions[version] += 1
            self.seen.first.setdefault(version, time.time())
            self.seen.last[version] = time.time()
            self._judge(answer, self.rows.labels[row], user)

    def _judge(self, answer: dict[str, Any], truth: int, user: str) -> None:
        """Most whose digit was misread say so, half of them with the right one; a fifth of the others is pleased."""
        right = answer["result"][0] == truth
        self.seen.wrong += not right
        if self._random.random() > (PLEASED if right else UNHAPPY):
            return
        opinion: dict[str, Any] = {"trace_id": answer["trace_id"], "rater": user, "user_rating": right}
        if not right and self._random.random() < 0.5:
            opinion["corrected_output"] = truth
        heapq.heappush(self._due, (time.monotonic() + self._random.uniform(0.5, 2.5), self.seen.requests, opinion))

    # --- and says, later, what was wrong

    def _opinions(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        while not (self._stop.is_set() and not self._due):
            with self._lock:
                due = self._due and (self._stop.is_set() or self._due[0][0] <= time.monotonic())
                opinion = heapq.heappop(self._due)[2] if due else None
            if opinion is None:
                self._stop.wait(0.02)
                continue
            status, answer = _post(connection, "/feedback", opinion, opinion["rater"])
            with self._lock:
                if status == 200:
                    self.seen.feedback += 1
                    self.seen.corrections += "corrected_output" in opinion
                    if "corrected_output" in opinion and not self.seen.trace:
                        self.seen.trace = opinion["trace_id"]
                else:
                    self.seen.failed += 1
                    self.seen.failures.append(f"feedback {status}: {answer}"[:300])
        connection.close()


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any], user: str) -> tuple[int, Any]:
    """Status and decoded answer; status 0 and the reason when there was no answer."""
    try:
        connection.request(
            "POST", path, json.dumps(body), headers={"content-type": "application/json", "x-user-id": user}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        return 0, f"{type(error).__name__}: {error}"
