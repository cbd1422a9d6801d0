"""DSPy's language model, without a network: each request goes over the line to who started us.

Made by host.py, compile.py and loader.py. Decides how DSPy's requests look on the wire, and what an error is called so
that DSPy knows whether to try again. Keys and addresses are not here: serving/desk.py has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy
import msgspec
from dspy.lm15 import (
    BillingError,
    InvalidRequestError,
    OpenAIChatLM,
    RateLimitError,
    Request,
    Response,
    ServerError,
    response_from_openai_chat,
)
from dspy.lm15 import TimeoutError as LateError

from headrace.compute.frames import Header, Message
from headrace.types.program import Program

Hear = Callable[[str], None]
NAME = "headrace"  # of the model, in DSPy's records; which one it is, the alias decides
CALL: ContextVar[int] = ContextVar("headrace_call", default=0)  # the account that pays
HEAR: ContextVar[Hear | None] = ContextVar("headrace_hear", default=None)  # who wants the text as it comes
# Chat completions as nearly every server reads them: max_tokens, and a JSON schema as response_format.
_CHAT = OpenAIChatLM(api_key="none", base_url="http://headrace/v1", compat="vllm")


class Asks(Protocol):
    """line.Line, or loader.Direct."""

    async def ask(self, header: Header, body: bytes, hear: Hear | None = None) -> Message: ...


@dataclass(slots=True)
class Purse:
    """What a phase of a compilation may still ask; the sum of all is kept by who started us."""

    calls: int = 0  # 0: no bound
    money: float = 0.0  # in all, not only in this phase
    asked: int = 0
    spent: float = 0.0  # in all, as we were told
    why: str = ""  # it is empty
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> None:
        """Raises BillingError, which DSPy does not try again."""
        if not self.why and self.calls and self.asked >= self.calls:
            self.end(f"the budget of {self.calls} calls is used up")
        if not self.why and self.money and self.spent >= self.money:
            self.end(f"the budget of {self.money:g} is used up")
        if self.why:
            raise BillingError(self.why)
        self.asked += 1

    def end(self, why: str) -> None:
        self.why = self.why or why
        self.ended.set()


class AsyncEngine:
    """`call`: the account that pays where no other is said, such as in the threads of an optimizer."""

    def __init__(self, line: Asks, *, alias: str = "", purse: Purse | None = None, call: int = 0) -> None:
        self._line = line
        self._alias = alias
        self._purse = purse
        self._call = call

    async def complete(self, request: Request) -> Response:
        if self._purse is not None:
            self._purse.take()
        body = _CHAT.build_request(request, stream=False).body
        header: Header = {"for": CALL.get() or self._call, "lm": self._alias}
        told, blobs = await self._line.ask(header, body, HEAR.get())
        if self._purse is not None:
            self._purse.spent = max(self._purse.spent, told.get("money", 0.0))
            if told["status"] == 402:
                self._purse.end(told["why"])
        if told["status"] != 200:
            raise _error(told["status"], told["why"])
        try:
            return response_from_openai_chat(msgspec.json.decode(blobs[0]), model=request.model)
        except msgspec.MsgspecError as error:
            raise ServerError(f"the language model's answer is no JSON: {error}") from error


class SyncEngine:
    """For programs and optimizers that run in threads: they wait for the loop's thread. DSPy asks this one what the
    model can."""

    supports_response_schema = True
    supported_params = frozenset({"max_tokens", "n", "response_format", "seed", "stop", "temperature", "top_p"})

    def __init__(self, engine: AsyncEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop

    def complete(self, request: Request) -> Response:
        call, hear = CALL.get(), HEAR.get()

        async def within() -> Response:
            CALL.set(call)
            HEAR.set(hear)
            return await self._engine.complete(request)

        try:
            return asyncio.run_coroutine_threadsafe(within(), self._loop).result()
        except CancelledError:
            raise ServerError("the process is ending") from None


def language_model(program: Program, engine: AsyncEngine, loop: asyncio.AbstractEventLoop, *, retries: int) -> dspy.LM:
    return dspy.LM(
        NAME,
        engine=SyncEngine(engine, loop),
        async_engine=engine,
        cache=False,
        num_retries=retries,
        temperature=program.temperature,
        max_tokens=program.max_tokens,
    )


def _error(status: int, why: str) -> Exception:
    kinds: dict[int, type[Exception]] = {402: BillingError, 429: RateLimitError, 504: LateError}
    kind: type[Exception] = kinds.get(status, ServerError if status >= 500 else InvalidRequestError)
    return kind(why)


def settings_of(lm: dspy.LM, adapter: dspy.Adapter) -> dict[str, Any]:
    """What every call runs under: nothing is kept, nobody else's settings leak in."""
    return {"lm": lm, "adapter": adapter, "disable_history": True, "track_usage": False, "max_trace_size": 0}
