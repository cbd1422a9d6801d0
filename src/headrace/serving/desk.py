"""Where a program's process gets its answers from language models: it asks here, over its only socket.

Called by runtimes/program.py and by programs/compile.py, each for the children it started. Decides which models a child
may ask, that it never sees an address or a key, how long an answer may take, and when a budget is used up. Counts
tokens and money by call. Ignores what is asked.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.compute.frames import Header, Message
from headrace.compute.host import HostProcess
from headrace.compute.upstream import Upstream
from headrace.serving.lm import Aliases, Route
from headrace.serving.paid import Paid
from headrace.serving.sse import Assembler
from headrace.types.errors import HeadraceError, TimedOut
from headrace.types.program import Budget, Usage
from headrace.types.step import Step, StepKind

Hear = Callable[[str], None]
CONNECTIONS = 256  # to one language model
STOPPED = 402  # what a child is told when the budget is used up: Payment Required
OK, UNKNOWN, BROKEN, AWAY, LATE = 200, 400, 502, 503, 504
PATH = "/chat/completions"
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
STEPS = 64  # of one call that are told
_QUOTED = 500  # characters of what a service said


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Message(msgspec.Struct):
    content: Any = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Told(msgspec.Struct):
    usage: _Tokens | None = None
    model: str | None = None
    choices: list[_Choice] | None = None


_told = msgspec.json.Decoder(_Told)
_asked = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STREAMED = {"stream": msgspec.Raw(b"true"), "stream_options": msgspec.Raw(b'{"include_usage":true}')}


@dataclass(slots=True)
class Account:
    """What one call of a child has asked so far. `within`: by question, the step of the program that asked it."""

    number: int
    deadline: float = math.inf  # on the loop's clock
    travels: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = Usage()
    began: float = 0.0  # by time.monotonic(); 0: its steps are not told
    steps: list[Step] = field(default_factory=list)
    within: list[str] = field(default_factory=list)
    asking: set[asyncio.Task[None]] = field(default_factory=set)

    def step(self, header: Header, alias: str, at: float, told: _Told, body: bytes, why: str) -> None:
        if not self.began or len(self.steps) >= STEPS:
            return
        tokens, choice = told.usage or _Tokens(), told.choices[0] if told.choices else None
        self.within.append(header.get("in") or "")
        self.steps.append(
            Step(
                kind=StepKind.LM,
                name=alias,
                at_ms=(at - self.began) * 1000,
                ms=(time.monotonic() - at) * 1000,
                model=told.model or "",
                input_tokens=tokens.prompt_tokens or 0,
                output_tokens=tokens.completion_tokens or 0,
                finish=(choice.finish_reason or "") if choice else "",
                error=why,
                input=_asked.decode(body).get("messages"),
                output=choice.message.content if choice else None,
            )
        )


class Desk:
    """`allowed`: aliases that the children may ask for; the first is meant when they name none. `budget`: of all calls
    together. `budget.seconds` is not ours to watch: who calls does. `paid`: answers that are not asked for again."""

    def __init__(
        self, aliases: Aliases, allowed: Sequence[str], budget: Budget | None = None, *, paid: Paid | None = None
    ) -> None:
        self.usage = Usage()
        self.stopped = ""
        self._aliases = aliases
        self._allowed = tuple(allowed)
        self._budget = budget
        self._paid = paid
        self._numbers = itertools.count(1)
        self._accounts: dict[int, Account] = {}
        self._services: dict[str, Upstream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0

    def attend(self, host: HostProcess) -> None:
        host.on_ask = self._asked

    def open(
        self, *, deadline: float = math.inf, travels: Mapping[str, str] | None = None, began: float = 0.0
    ) -> Account:
        account = Account(next(self._numbers), deadline, travels or {}, began=began)
        self._accounts[account.number] = account
        return account

    def end(self, account: Account) -> Usage:
        """No more is asked for it, and what is being asked is given up."""
        self._accounts.pop(account.number, None)
        for task in account.asking:
            task.cancel()
        return account.usage

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for service in self._services.values():
            await service.close()
        if self._paid is not None:
            self._paid.close()

    def _asked(self, host: HostProcess, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(host, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if (account := self._accounts.get(message[0].get("for", 0))) is not None:
            account.asking.add(task)
            task.add_done_callback(account.asking.discard)

    async def _answer(self, host: HostProcess, message: Message) -> None:
        header, blobs = message
        ask = header["ask"]

        def tell(text: str) -> None:
            host.tell({"op": "told", "ask": ask, "more": True, "text": text})

        told, body = await self.ask(header, bytes(blobs[0]), tell if header.get("stream") else None)
        host.tell({"op": "told", "ask": ask, **told}, [body])

    async def ask(self, header: Header, body: bytes, hear: Hear | None) -> tuple[Header, bytes]:
        """`header`: which account pays (`for`), which alias is asked (`lm`). Never raises for what a service does."""
        account = self._accounts.get(header.get("for", 0))
        alias = header.get("lm") or self._allowed[0]
        if account is None or alias not in self._allowed:
            why = "the call has ended" if account is None else f"this program does not declare {alias!r}"
            return {"status": UNKNOWN, "why": why}, b""
        if self._used_up():
            return {"status": STOPPED, "why": self.stopped}, b""
        self._begun += 1
        at, told = time.monotonic(), _Told()
        try:
            status, answer, told = await self._post(self._aliases.route(alias), account, body, hear)
        except HeadraceError as error:
            status, answer = (LATE if isinstance(error, TimedOut) else AWAY), error.sentence().encode()
        finally:
            self._begun -= 1
        why = "" if status == OK else f"the language model {alias!r} answered with status {status}: {_quoted(answer)}"
        account.step(header, alias, at, told, body, why)
        spent = self.usage if self._budget else account.usage
        return {"status": status, "why": why, "calls": spent.calls, "money": spent.money}, answer

    async def _post(self, route: Route, account: Account, body: bytes, hear: Hear | None) -> tuple[int, bytes, _Told]:
        left = account.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimedOut("the call is over its time")
        asked = _asked.decode(body)
        asked["model"] = msgspec.Raw(msgspec.json.encode(route.model))
        question = ""
        if self._paid is not None and hear is None:
            question = Paid.question(route.url, {**msgspec.json.decode(body), "model": route.model})
        if self._paid is not None and question and (known := self._paid.take(question)) is not None:
            return OK, known, self._count(route, account, OK, known)
        pieces: Assembler | None = None
        if hear is not None:
            asked |= _STREAMED
            pieces = Assembler(hear)
        service = self._services.get(route.url) or self._services.setdefault(
            route.url, Upstream(f"the language model at {route.url}", route.url, connections=CONNECTIONS)
        )
        headers = {**_HEADERS, **account.travels}
        if route.key:
            headers["authorization"] = f"Bearer {route.key.reveal()}"
        response = await service.post(
            PATH,
            headers,
            msgspec.json.encode(asked),
            seconds=min(route.seconds, left),
            hear=pieces.feed if pieces else None,
        )
        status, found = response.status, response.body
        if pieces is not None and status == OK:
            status, found = (BROKEN if pieces.failed else OK), pieces.body()
        if self._paid is not None and question and status == OK:
            self._paid.keep(question, found)
        return status, found, self._count(route, account, status, found)

    def _count(self, route: Route, account: Account, status: int, body: bytes) -> _Told:
        """Also an error costs a call; what does not say how many tokens it took counts none."""
        told = _Told()
        if status == OK:
            with suppress(msgspec.MsgspecError):  # what else it may be, the child will say
                told = _told.decode(body)
        tokens = told.usage or _Tokens()
        usage = route.priced(tokens.prompt_tokens or 0, tokens.completion_tokens or 0)
        account.usage += usage
        self.usage += usage
        return told

    def _used_up(self) -> bool:
        """Calls under way count as made. Money is known after a call: the last ones may go over by what they cost."""
        budget = self._budget
        if budget is None:
            return False
        calls = self.usage.calls + self._begun
        if budget.calls and calls >= budget.calls:
            self.stopped = f"the budget of {budget.calls} calls is used up"
        elif budget.money and self.usage.money >= budget.money:
            self.stopped = f"the budget of {budget.money:g} is used up: {self.usage.money:.4g} was spent"
        return bool(self.stopped)


def _quoted(body: bytes) -> str:
    return " ".join(body[:_QUOTED].decode("utf-8", "replace").split()) or "no words"
