"""Calls to language models and programs in the words of OpenTelemetry's conventions for generative AI. Pure.

Called by traces.py. The one place that knows these names. They are in development, and moved to a repository of their
own (semantic-conventions-genai) after the version below: a change of names is a change here, and of VERSION. What
MLflow names otherwise, or adds, stands beside it. What was said goes into MLflow's inputs and outputs alone, in the
form that its pages draw as messages; the conventions' own attributes for it would be the same text once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Attempt, Spent, Usage, Wire
from headrace.types.step import Step, StepKind

VERSION = "1.44.0"
SCHEMA = f"https://opentelemetry.io/schemas/{VERSION}"

OPERATION, PROVIDER = "gen_ai.operation.name", "gen_ai.provider.name"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
FINISH = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"  # seconds
CONVERSATION = "gen_ai.conversation.id"
INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"  # with all that is counted by itself too
CACHE_READ, CACHE_WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
REASONING = "gen_ai.usage.reasoning.output_tokens"
TOOL = "gen_ai.tool.name"
STATUS, RESENT = "http.response.status_code", "http.request.resend_count"
ERROR = "error.type"
USER, SESSION = "user.id", "session.id"
# MLflow's own.
INPUTS, OUTPUTS, TYPE = "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType"
TOKENS, COST, FORMAT = "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.message.format"
MESSAGES = "mlflow.chat.messages"

OPERATIONS: dict[str, str] = {
    Wire.CHAT: "chat",
    Wire.RESPONSES: "chat",
    Wire.MESSAGES: "chat",
    Wire.COMPLETIONS: "text_completion",
    Wire.EMBEDDINGS: "embeddings",
    Wire.GEMINI: "generate_content",
}
_TYPES = {"chat": "CHAT_MODEL", "text_completion": "LLM", "embeddings": "EMBEDDING", "generate_content": "LLM"}

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]


def of_call(call: Call) -> Attributes:
    """What a call's line says more than a prediction's. Nothing for one that no language model had a part in."""
    spent = call.spent
    if spent is None:
        return {}
    operation = OPERATIONS.get(call.protocol)
    found: Attributes = {"headrace.attempts": spent.attempts, **_usage(spent.usage), COST: _json(_cost(spent))}
    program = operation is None or bool(spent.steps)  # whoever asked it, and how
    found[TYPE] = "CHAIN" if program else _TYPES[operation or ""]
    if operation is not None:
        found |= {OPERATION: operation, **_named(spent, call.endpoint)}
    if call.status is not CallStatus.OK:
        found[ERROR] = call.status.value
    return found | _told(call)


def of_step(step: Step) -> tuple[str, Attributes]:
    """Its name, and what it was."""
    found: Attributes = {ERROR: "error"} if step.error else {}
    if step.kind is StepKind.MODULE:
        return step.name, found | {TYPE: "CHAIN"} | _content(step.input, step.output)
    if step.kind is StepKind.TOOL:
        found |= {TYPE: "TOOL", OPERATION: "execute_tool", TOOL: step.name}
        return f"execute_tool {step.name}", found | _content(step.input, step.output)
    found |= {TYPE: "CHAT_MODEL", OPERATION: "chat", REQUEST_MODEL: step.name, FORMAT: "openai"}
    found |= _usage(Usage(input=step.input_tokens, output=step.output_tokens))
    if step.model:
        found[RESPONSE_MODEL] = step.model
    if step.finish:
        found[FINISH] = (step.finish,)
    asked = None if step.input is None else {"messages": step.input}
    answered = None if step.output is None else _answer(step.output, step.finish)
    return f"chat {step.name}", found | _content(asked, answered)


def of_attempt(attempt: Attempt, place: int, protocol: str) -> tuple[str, Attributes]:
    """Its name, and what came of it. `place`: 0 is the first."""
    operation = OPERATIONS.get(protocol, "chat")
    found: Attributes = {TYPE: _TYPES[operation], OPERATION: operation, REQUEST_MODEL: attempt.model}
    found |= {PROVIDER: attempt.provider, "headrace.outcome": attempt.outcome}
    if attempt.status:
        found[STATUS] = attempt.status
    if place:
        found[RESENT] = place
    if attempt.first_ms:
        found[FIRST_CHUNK] = attempt.first_ms / 1000
    if attempt.outcome != "ok":
        found[ERROR] = attempt.outcome
    return f"{operation} {attempt.model}", found


def _named(spent: Spent, endpoint: str) -> Attributes:
    found: Attributes = {REQUEST_MODEL: endpoint}
    texts = {PROVIDER: spent.provider, RESPONSE_MODEL: spent.model, CONVERSATION: spent.conversation}
    texts |= {SESSION: spent.conversation, "headrace.cached": spent.cached, "mlflow.traceTag.task": spent.task}
    found |= {name: text for name, text in texts.items() if text}
    if spent.finish:
        found[FINISH] = (spent.finish,)
    if spent.first_ms:
        found[FIRST_CHUNK] = spent.first_ms / 1000
    return found


def _usage(usage: Usage) -> Attributes:
    """Our buckets are disjoint; theirs have the whole, and parts of it."""
    given = usage.input + usage.cache_read + usage.cache_write + usage.audio
    made = usage.output + usage.reasoning
    told = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    found: Attributes = {INPUT: given, OUTPUT: made}
    if usage.cache_read:
        found[CACHE_READ] = told["cache_read_input_tokens"] = usage.cache_read
    if usage.cache_write:
        found[CACHE_WRITE] = told["cache_creation_input_tokens"] = usage.cache_write
    if usage.reasoning:
        found[REASONING] = usage.reasoning
    return found | {TOKENS: _json(told)}


def _cost(spent: Spent) -> dict[str, float]:
    """Told also when it is nothing: else MLflow would guess it by the model's name. Its parts we do not know."""
    return {"total_cost": spent.cost}


def _told(call: Call) -> Attributes:
    """A chat as messages. What a program was asked stays in its own words, and its pages draw the messages beside."""
    if OPERATIONS.get(call.protocol) != "chat":
        return _content(call.input, call.output)
    spent = call.spent
    finish = spent.finish if spent else ""
    if isinstance(call.input, dict):
        spoken = [*_as_messages(call.input), *_spoken_back(call.output)]
        return _content(call.input, call.output) | {MESSAGES: _json(spoken)}
    asked = [{"role": "user", "content": call.input}] if isinstance(call.input, str) else call.input
    found = _content({"messages": asked} if asked is not None else None, _answered(call.output, finish))
    return found | {FORMAT: "openai"}


def _as_messages(inputs: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """serving/talk.py says which input is what."""
    if isinstance(whole := inputs.get("messages"), str):
        with suppress(msgspec.DecodeError):  # as a mask has left it
            yield from msgspec.json.decode(whole, type=list[dict[str, Any]])
        return
    if system := inputs.get("system"):
        yield {"role": "system", "content": system}
    for name, text in inputs.items():
        if name not in ("system", "history"):
            yield {"role": "user", "content": text[0] if isinstance(text, list) else text}


def _spoken_back(output: Any) -> Iterable[dict[str, Any]]:
    if isinstance(output, list) and output:
        first = output[0][0] if isinstance(output[0], list) else output[0]
        yield {"role": "assistant", "content": first}


def _answered(output: Any, finish: str) -> dict[str, Any] | None:
    """As the journal keeps it: a text, or {"text": …, "tools": […]}."""
    if output is None:
        return None
    if not isinstance(output, dict):
        return _answer(output, finish)
    calls = [
        {
            "id": tool.get("id"),
            "type": "function",
            "function": {"name": tool.get("name"), "arguments": tool.get("arguments")},
        }
        for tool in output.get("tools") or ()
    ]
    return _answer(output.get("text") or None, finish, calls)


def _answer(text: Any, finish: str, calls: Sequence[Any] = ()) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish or None}]}


def _content(given: Any, answered: Any) -> Attributes:
    """MLflow reads both as JSON text."""
    told = {INPUTS: given, OUTPUTS: answered}
    return {name: _json(value) for name, value in told.items() if value is not None}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
