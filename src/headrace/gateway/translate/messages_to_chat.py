"""A request in Anthropic's messages for an upstream that speaks OpenAI's chat.

Called by the bridge in messages_over_chat.py. Decides: results of tools become messages of their own, before the rest
of the turn that they came in; pictures in them become the user's, since a tool of chat can only answer with text.
"""

from __future__ import annotations

import re
from typing import Any

from headrace.gateway.translate.base import (
    About,
    Document,
    Lost,
    dict_of,
    messages_of,
    parts_of,
    text_of,
    written,
)

STOPS = 4  # that chat takes
_KNOWN = frozenset(
    {
        "model", "messages", "system", "max_tokens", "stream", "stop_sequences", "temperature", "top_p", "thinking",
        "output_config", "tools", "tool_choice", "metadata", "service_tier",
    }
)  # fmt: skip
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_TIERS = {"auto": "auto", "standard_only": "default"}
# OpenAI's own newer models refuse max_tokens; servers that only look like OpenAI may not know the newer name.
_NEWER = re.compile(r"(.*/)?(o\d|gpt-([5-9]|\d\d))")


def request(asked: Document, lost: Lost, about: About) -> Document:
    lost.rest(asked, _KNOWN)
    messages = [{"role": "system", "content": system}] if (system := _system(asked.get("system"), lost)) else []
    for turn in messages_of(asked):
        messages += _turn(turn, lost)
    out: Document = {"model": about.model, "messages": messages}
    if asked.get("max_tokens"):
        out[limit_of(about.model)] = asked["max_tokens"]
    if asked.get("stream"):
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    for name in ("temperature", "top_p"):
        if asked.get(name) is not None:
            out[name] = asked[name]
    if stops := asked.get("stop_sequences"):
        out["stop"] = stops[:STOPS]
        if len(stops) > STOPS:
            lost(f"stop_sequences>{STOPS}")
    if user := dict_of(asked, "metadata").get("user_id"):
        out["user"] = user
    if (tier := _TIERS.get(str(asked.get("service_tier")))) is not None:
        out["service_tier"] = tier
    _tools(asked, out, lost)
    _output(asked, out, lost)
    return out


def limit_of(model: str) -> str:
    """What the limit of an answer is called."""
    return "max_completion_tokens" if _NEWER.match(model) else "max_tokens"


def _system(system: Any, lost: Lost) -> str:
    if any(part.get("cache_control") for part in parts_of(system)):
        lost("cache_control")
    return text_of(system)


def _turn(turn: Document, lost: Lost) -> list[Document]:
    role, parts = turn.get("role"), parts_of(turn.get("content"))
    if any(part.get("cache_control") for part in parts):
        lost("cache_control")
    if role == "system":
        return [{"role": "system", "content": text_of(parts)}]
    return _assistant(parts, lost) if role == "assistant" else _user(parts, lost)


def _assistant(parts: list[Document], lost: Lost) -> list[Document]:
    calls, texts = [], []
    for part in parts:
        kind = part.get("type")
        if kind == "tool_use":
            function = {"name": part.get("name", ""), "arguments": written(part.get("input"))}
            calls.append({"id": part.get("id", ""), "type": "function", "function": function})
        elif kind == "text":
            texts.append(part.get("text", ""))
        else:
            lost(f"messages.{kind}")
    if not calls and not texts:
        return []
    out: Document = {"role": "assistant", "content": "".join(texts) if texts else None}
    if calls:
        out["tool_calls"] = calls
    return [out]


def _user(parts: list[Document], lost: Lost) -> list[Document]:
    results: list[Document] = []
    rest: list[Document] = []
    for part in parts:
        if part.get("type") == "tool_result":
            results.append(_result(part, rest, lost))
        elif (crossed := _part(part, lost)) is not None:
            rest.append(crossed)
    if not rest:
        return results
    plain = all(part["type"] == "text" for part in rest)
    return [*results, {"role": "user", "content": "\n\n".join(part["text"] for part in rest) if plain else rest}]


def _result(part: Document, rest: list[Document], lost: Lost) -> Document:
    if part.get("is_error"):
        lost("messages.tool_result.is_error")
    content = parts_of(part.get("content"))
    for inner in content:
        if inner.get("type") != "text" and (crossed := _part(inner, lost)) is not None:
            rest.append(crossed)
    return {"role": "tool", "tool_call_id": part.get("tool_use_id", ""), "content": text_of(content, "\n")}


def _part(part: Document, lost: Lost) -> Document | None:
    kind, source = part.get("type"), dict_of(part, "source")
    if kind == "text":
        return {"type": "text", "text": part["text"]} if part.get("text") else None
    if kind == "image" and source.get("type") in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": _address(source)}}
    if kind == "document" and source.get("type") == "base64":
        name = part.get("title") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": _address(source)}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": source.get("data", "")}
    lost(f"messages.{kind}")
    return None


def _address(source: Document) -> str:
    if source.get("type") == "url":
        return str(source.get("url", ""))
    return f"data:{source.get('media_type', '')};base64,{source.get('data', '')}"


def _tools(asked: Document, out: Document, lost: Lost) -> None:
    tools = []
    for given in messages_of(asked, "tools"):
        if given.get("type", "custom") not in (None, "custom"):
            lost(f"tools.{given['type']}")
            continue
        function = {"name": given.get("name", ""), "parameters": given.get("input_schema") or {"type": "object"}}
        if given.get("description"):
            function["description"] = given["description"]
        if given.get("strict"):
            function["strict"] = True
        tools.append({"type": "function", "function": function})
    if not tools:
        return
    out["tools"] = tools
    choice = dict_of(asked, "tool_choice")
    if choice.get("type") == "tool":
        out["tool_choice"] = {"type": "function", "function": {"name": choice.get("name", "")}}
    elif choice:
        out["tool_choice"] = _CHOICES.get(str(choice.get("type")), "auto")
    if choice.get("disable_parallel_tool_use"):
        out["parallel_tool_calls"] = False


def _output(asked: Document, out: Document, lost: Lost) -> None:
    config = dict_of(asked, "output_config")
    lost.rest(config, frozenset({"effort", "format"}), "output_config.")
    if (wanted := dict_of(config, "format")).get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted.get("schema") or {}, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    thinking = dict_of(asked, "thinking")
    if config.get("effort") in _EFFORTS:
        out["reasoning_effort"] = config["effort"]
    elif thinking.get("type") == "enabled":
        out["reasoning_effort"] = _effort(thinking.get("budget_tokens"))


def _effort(budget: Any) -> str:
    """A budget is a number of tokens, effort a word: the bounds are those that Google publishes for the same pair."""
    tokens = budget if isinstance(budget, int) else 0
    return "low" if tokens <= 1_024 else "medium" if tokens <= 8_192 else "high"
