"""DSPy's language model, without a network: each request goes over the line to who started us.

Made by host.py, compile.py and loader.py. Decides how DSPy's requests look on the wire, and what an error is called so
that DSPy knows whether to try again. Keys and addresses are not here: serving/desk.py has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy
import msgspec
from dspy.dsp.utils.settings import settings
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
from dspy.utils.callback import ACTIVE_CALL_ID
from dspy.utils.exceptions import LMBillingError, LMInvalidRequestError, LMServerError, LMTimeoutError

from headrace.compute.frames import Header, Message
from headrace.types.program import Program

Hear = Callable[[str], None]
NAME = "headrace"  # of the model, in DSPy's records; which one it is, the alias decides
CALL: ContextVar[int] = ContextVar("headrace_call", default=0)  # the account that pays
# Who wants the text as it comes: made anew for each question, since each writes its answer from the beginning.
HEAR: ContextVar[Callable[[], Hear] | None] = ContextVar("headrace_hear", default=None)
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
        answer = await self.told(_CHAT.build_request(request, stream=False).body)
        try:
            return response_from_openai_chat(msgspec.json.decode(answer), model=request.model)
        except msgspec.MsgspecError as error:
            raise ServerError(f"the language model's answer is no JSON: {error}") from error

    async def told(self, body: bytes) -> memoryview:
        """The answer's body. Raises one of DSPy's errors of engines."""
        if self._purse is not None:
            self._purse.take()
        header: Header = {"for": CALL.get() or self._call, "lm": self._alias}
        if within := ACTIVE_CALL_ID.get():
            header["in"] = within
        hear = HEAR.get()
        told, blobs = await self._line.ask(header, body, None if hear is None else hear())
        if self._purse is not None:
            self._purse.spent = max(self._purse.spent, told.get("money", 0.0))
            if told["status"] == 402:
                self._purse.end(told["why"])
        if told["status"] != 200:
            raise _error(told["status"], told["why"])
        return blobs[0]


class SyncEngine:
    """For programs and optimizers that run in threads: they wait for the loop's thread. DSPy asks this one what the
    model can."""

    supports_response_schema = True
    supported_params = frozenset({"max_tokens", "n", "response_format", "seed", "stop", "temperature", "top_p"})

    def __init__(self, engine: AsyncEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self.loop = loop

    def complete(self, request: Request) -> Response:
        carry = _carried()

        async def within() -> Response:
            carry()
            return await self._engine.complete(request)

        try:
            return asyncio.run_coroutine_threadsafe(within(), self.loop).result()
        except CancelledError:
            raise ServerError("the process is ending") from None


class LM(dspy.LM):  # type: ignore[misc]
    """DSPy's own, with a short way for the questions that its adapters ask: text messages in, text out. DSPy's way
    turns each into its own nouns and back, in two threads, which is most of what a call costs it. Whatever is not plain
    goes that way still."""

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        asked = {**self.kwargs, **kwargs}
        if messages is None or prompt is not None or not _plain(asked) or settings.usage_tracker or self.callbacks:
            return await super().acall(prompt, messages=messages, **kwargs)
        body = {name: value for name, value in asked.items() if name in _SENT and value is not None}
        text = msgspec.json.encode({"model": NAME, "messages": messages, **body})
        for attempt in range(self.num_retries + 1):
            try:
                found = _chat.decode(await self._async_engine_spec.told(text))
                return [found.choices[0].message.content or ""]
            except (msgspec.MsgspecError, IndexError) as error:
                raise LMServerError(f"the language model's answer is none: {error}", model=NAME) from error
            except (ServerError, RateLimitError) as error:
                if attempt == self.num_retries:
                    raise LMServerError(str(error), model=NAME) from error
                await asyncio.sleep(2**attempt)
            except (BillingError, LateError, InvalidRequestError) as error:
                kind = {BillingError: LMBillingError, LateError: LMTimeoutError}.get(type(error), LMInvalidRequestError)
                raise kind(str(error), model=NAME) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """In a thread; the loop's own does the asking."""
        carry = _carried()

        async def within() -> Any:
            carry()
            return await self.acall(prompt, messages=messages, **kwargs)

        if messages is None or prompt is not None or not _plain({**self.kwargs, **kwargs}):
            return super().__call__(prompt, messages=messages, **kwargs)
        return asyncio.run_coroutine_threadsafe(within(), self.engine.loop).result()


def _carried() -> Callable[[], None]:
    """Sets in the loop's thread what this one knows of its call."""
    call, hear, active = CALL.get(), HEAR.get(), ACTIVE_CALL_ID.get()

    def carry() -> None:
        CALL.set(call)
        HEAR.set(hear)
        ACTIVE_CALL_ID.set(active)

    return carry


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _Chat(msgspec.Struct):
    choices: list[_Choice]


_chat = msgspec.json.Decoder(_Chat)
_SENT = ("max_tokens", "response_format", "seed", "stop", "temperature", "top_p")
_KNOWN = {*_SENT, "n", "rollout_id", "cache"}


def _plain(asked: Mapping[str, Any]) -> bool:
    """One answer of text, by nothing but what every server knows."""
    given = {name for name, value in asked.items() if value is not None}
    return given <= _KNOWN and asked.get("n") in (None, 1) and isinstance(asked.get("response_format") or {}, dict)


def language_model(program: Program, engine: AsyncEngine, loop: asyncio.AbstractEventLoop, *, retries: int) -> dspy.LM:
    return LM(
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
