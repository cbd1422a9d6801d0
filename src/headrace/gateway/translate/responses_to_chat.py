"""A request in OpenAI's responses for an upstream that speaks its chat.

Called by the bridge in responses_over_chat.py. Refuses what needs a memory of earlier answers: to leave it out would
answer another question than was asked.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.translate.base import About, Document, Lost, dict_of, messages_of, parts_of, text_of
from headrace.gateway.translate.messages_to_chat import limit_of
from headrace.types.errors import BadInput

_KNOWN = frozenset(
    {
        "model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
        "parallel_tool_calls", "text", "reasoning", "user", "safety_identifier", "metadata", "service_tier",
        "prompt_cache_key", "stream_options",
    }
)  # fmt: skip
_SAME = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "metadata",
    "service_tier",
    "prompt_cache_key",
)
_REMEMBERED = ("previous_response_id", "conversation", "prompt", "background")
_SILENT = {"store": False, "truncation": "disabled", "include": []}  # ask for nothing


def request(asked: Document, lost: Lost, about: About) -> Document:
    for name in _REMEMBERED:
        if asked.get(name):
            raise BadInput(
                f"{name!r} needs an upstream with a memory, which this one has not",
                field=name,
                hint="send the whole conversation in 'input'",
            )
    told = {name: value for name, value in asked.items() if not (name in _SILENT and value == _SILENT[name])}
    lost.rest(told, _KNOWN | frozenset(_REMEMBERED))
    out: Document = {"model": about.model, "messages": _messages(asked, lost)}
    if asked.get("stream"):
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    if asked.get("max_output_tokens"):
        out[limit_of(about.model)] = asked["max_output_tokens"]
    for name in _SAME:
        if asked.get(name) is not None:
            out[name] = asked[name]
    _tools(asked, out, lost)
    _output(asked, out, lost)
    return out


def _messages(asked: Document, lost: Lost) -> list[Document]:
    out: list[Document] = []
    if asked.get("instructions"):
        out.append({"role": "system", "content": asked["instructions"]})
    given = asked.get("input")
    if isinstance(given, str):
        return [*out, {"role": "user", "content": given}]
    for item in messages_of(asked, "input"):
        kind = item.get("type") or "message"
        if kind == "message":
            out.append(_message(item, lost))
        elif kind == "function_call":
            _call(item, out)
        elif kind == "function_call_output":
            out.append(_result(item, lost))
        else:
            lost(f"input.{kind}")
    return out


def _message(item: Document, lost: Lost) -> Document:
    role = item.get("role", "user")
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [crossed for part in parts_of(content) if (crossed := _part(part, lost)) is not None]
    if role == "user" and any(part["type"] != "text" for part in parts):
        return {"role": role, "content": parts}
    return {"role": role, "content": text_of(parts, "")}


def _part(part: Document, lost: Lost) -> Document | None:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text", "")}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    if kind == "input_image" and part.get("image_url"):
        image = {"url": part["image_url"]}
        return {"type": "image_url", "image_url": {**image, "detail": part["detail"]} if part.get("detail") else image}
    if kind == "input_file" and part.get("file_data"):
        return {"type": "file", "file": {"filename": part.get("filename", "file"), "file_data": part["file_data"]}}
    lost(f"input.{kind}")
    return None


def _call(item: Document, out: list[Document]) -> None:
    """Calls that were made at once belong to one message."""
    function = {"name": item.get("name", ""), "arguments": item.get("arguments", "")}
    call = {"id": item.get("call_id", ""), "type": "function", "function": function}
    if out and out[-1]["role"] == "assistant":
        out[-1].setdefault("tool_calls", []).append(call)
    else:
        out.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _result(item: Document, lost: Lost) -> Document:
    output = item.get("output")
    if any(part.get("type") not in ("input_text", "text", "output_text") for part in parts_of(output)):
        lost("input.function_call_output.output")
    return {"role": "tool", "tool_call_id": item.get("call_id", ""), "content": text_of(output, "\n")}


def _tools(asked: Document, out: Document, lost: Lost) -> None:
    tools = []
    for given in messages_of(asked, "tools"):
        if given.get("type") != "function":
            lost(f"tools.{given.get('type')}")
            continue
        named = ("name", "description", "parameters", "strict")
        function = {name: given[name] for name in named if given.get(name) is not None}
        tools.append({"type": "function", "function": function})
    if not tools:
        out.pop("parallel_tool_calls", None)
        return
    out["tools"] = tools
    choice: Any = asked.get("tool_choice")
    if isinstance(choice, str):
        out["tool_choice"] = choice
    elif isinstance(choice, dict) and choice.get("type") == "function":
        out["tool_choice"] = {"type": "function", "function": {"name": choice.get("name", "")}}
    elif choice is not None:
        lost("tool_choice")


def _output(asked: Document, out: Document, lost: Lost) -> None:
    text = dict_of(asked, "text")
    wanted = dict_of(text, "format")
    if wanted.get("type") == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type" and value is not None}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted.get("type") == "json_object":
        out["response_format"] = {"type": "json_object"}
    if text.get("verbosity"):
        out["verbosity"] = text["verbosity"]
    reasoning = dict_of(asked, "reasoning")
    if reasoning.get("effort"):
        out["reasoning_effort"] = reasoning["effort"]
    lost.rest(reasoning, frozenset({"effort"}), "reasoning.")
