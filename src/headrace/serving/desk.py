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
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec

from headrace.base.ids import traceparent
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


class _Question(NamedTuple):
    """`within`: the program's own part that asks. `span`: under which it is asked. `paid`: its name among those whose
    answers are kept, or empty."""

    alias: str
    body: bytes
    within: str
    at: float
    span: str
    paid: str = ""


@dataclass(slots=True)
class Account:
    """What one call of a child has asked so far. `within`: by question, the step of the program that asked it."""

    number: int
    deadline: float = math.inf  # on the loop's clock
    travels: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = Usage()
    began: float = 0.0  # by time.monotonic(); 0: its steps are not told
    trace: str = ""  # id of the call, if it has one: services are told
    steps: list[Step] = field(default_factory=list)
    within: list[str] = field(default_factory=list)
    asking: set[asyncio.Task[None]] = field(default_factory=set)

    def step(self, question: _Question, told: _Told, why: str) -> None:
        if not self.began or len(self.steps) >= STEPS:
            return
        tokens, choice = told.usage or _Tokens(), told.choices[0] if told.choices else None
        self.within.append(question.within)
        self.steps.append(
            Step(
                kind=StepKind.LM,
                name=question.alias,
                at_ms=(question.at - self.began) * 1000,
                ms=(time.monotonic() - question.at) * 1000,
                model=told.model or "",
                span=question.span,
                input_tokens=tokens.prompt_tokens or 0,
                output_tokens=tokens.completion_tokens or 0,
                finish=(choice.finish_reason or "") if choice else "",
                error=why,
                input=_asked.decode(question.body).get("messages"),
                output=choice.message.content if choice else None,
            )
        )


class Desk:
    """`allowed`: aliases that the children may ask for; the first is meant when they name none. `budget`: of all calls
    together. `budget.seconds` is not ours to watch: who calls does. `paid`: answers that are not asked for again."""

    def __init__(
        self, aliases: Aliases, allowed: Sequence[str], budget: Budget | None = None, *, paid: Paid | None = None
    ) -> None:
        self.usage = paid.usage if paid is not None else Usage()  # all that was sent, by those before us too
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
        self,
        *,
        deadline: float = math.inf,
        travels: Mapping[str, str] | None = None,
        began: float = 0.0,
        trace: str = "",
    ) -> Account:
        account = Account(next(self._numbers), deadline, travels or {}, began=began, trace=trace)
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
        span = token_hex(8) if account.trace else ""
        question, told = _Question(alias, body, header.get("in") or "", time.monotonic(), span), _Told()
        try:
            route = self._aliases.route(alias)
            if self._paid is not None and hear is None:
                question = question._replace(paid=_name(route, body))
            known = self._paid.take(question.paid) if self._paid is not None else None
            if known is None and self._used_up():
                return {"status": STOPPED, "why": self.stopped}, b""
            if known is not None:
                status, answer, (told, usage) = OK, known, _read(route, OK, known)
                account.usage += usage
            else:
                status, answer, told = await self._send(route, account, question, hear)
        except HeadraceError as error:
            status, answer = (LATE if isinstance(error, TimedOut) else AWAY), error.sentence().encode()
        why = "" if status == OK else f"the language model {alias!r} answered with status {status}: {_quoted(answer)}"
        account.step(question, told, why)
        return {"status": status, "why": why, "calls": account.usage.calls, "money": account.usage.money}, answer

    async def _send(
        self, route: Route, account: Account, question: _Question, hear: Hear | None
    ) -> tuple[int, bytes, _Told]:
        if self._paid is not None and question.paid:
            self._paid.send(question.paid)
        self._begun += 1
        try:
            status, answer = await self._post(route, account, question, hear)
        finally:
            self._begun -= 1
        told, usage = _read(route, status, answer)
        account.usage += usage
        self.usage += usage
        if self._paid is not None and question.paid and status == OK:
            self._paid.keep(question.paid, answer, usage)
        return status, answer, told

    async def _post(self, route: Route, account: Account, question: _Question, hear: Hear | None) -> tuple[int, bytes]:
        left = account.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimedOut("the call is over its time")
        asked = _asked.decode(question.body)
        asked["model"] = msgspec.Raw(msgspec.json.encode(route.model))
        pieces: Assembler | None = None
        if hear is not None:
            asked |= _STREAMED
            pieces = Assembler(hear)
        service = self._services.get(route.url) or self._services.setdefault(
            route.url, Upstream(f"the language model at {route.url}", route.url, connections=CONNECTIONS)
        )
        headers = {**_HEADERS, **account.travels}
        if question.span:
            headers["traceparent"] = traceparent(account.trace, question.span)
        if route.key:
            headers["authorization"] = f"Bearer {route.key.reveal()}"
        response = await service.post(
            PATH,
            headers,
            msgspec.json.encode(asked),
            seconds=min(route.seconds, left),
            hear=pieces.feed if pieces else None,
        )
        if pieces is not None and response.status == OK:
            return (BROKEN if pieces.failed else OK), pieces.body()
        return response.status, response.body

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


def _name(route: Route, body: bytes) -> str:
    return Paid.question(route.url, {**msgspec.json.decode(body), "model": route.model})


def _read(route: Route, status: int, body: bytes) -> tuple[_Told, Usage]:
    """Also an error costs a call; what does not say how many tokens it took counts none."""
    told = _Told()
    if status == OK:
        with suppress(msgspec.MsgspecError):  # what else it may be, the child will say
            told = _told.decode(body)
    tokens = told.usage or _Tokens()
    return told, route.priced(tokens.prompt_tokens or 0, tokens.completion_tokens or 0)


def _quoted(body: bytes) -> str:
    return " ".join(body[:_QUOTED].decode("utf-8", "replace").split()) or "no words"
