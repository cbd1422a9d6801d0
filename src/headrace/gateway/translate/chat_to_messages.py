"""A request in OpenAI's chat for an upstream that speaks Anthropic's messages.

Called by the bridge in chat_over_messages.py. Decides: all system prompts become one `system`; results of tools are the
user's; turns of the same role are one. `max_tokens` is needed there, so that a caller who says none gets MAX_TOKENS.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.translate.base import (
    About,
    Document,
    Lost,
    arguments_of,
    data_url,
    dict_of,
    messages_of,
    parts_of,
)

MAX_TOKENS = 8_192
_KNOWN = frozenset(
    {
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
        "top_k", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
        "thinking", "user", "safety_identifier", "service_tier",
    }
)  # fmt: skip
_SAMPLING = ("temperature", "top_p", "top_k")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_TIERS = {"auto": "auto", "default": "standard_only"}


def request(chat: Document, lost: Lost, about: About) -> Document:
    lost.rest({name: value for name, value in chat.items() if name != "n" or value != 1}, _KNOWN)
    system, turns = _turns(messages_of(chat), lost)
    out: Document = {
        "model": about.model,
        "max_tokens": chat.get("max_completion_tokens") or chat.get("max_tokens") or MAX_TOKENS,
        "messages": turns,
    }
    if system:
        out["system"] = system
    if chat.get("stream"):
        out["stream"] = True
    if user := chat.get("safety_identifier") or chat.get("user"):
        out["metadata"] = {"user_id": user}
    _sampling(chat, out, lost, about)
    _tools(chat, out, lost)
    _format(chat, out, lost)
    _thinking(chat, out)
    if tier := chat.get("service_tier"):
        if tier in _TIERS:
            out["service_tier"] = _TIERS[tier]
        else:
            lost("service_tier")
    return out


def _turns(messages: list[Document], lost: Lost) -> tuple[str | list[Document], list[Document]]:
    system: list[Document] = []
    turns: list[Document] = []
    for message in messages:
        role = message.get("role")
        if message.get("name"):
            lost("messages.name")
        if role in ("system", "developer"):
            if turns:
                lost("messages.system.position")
            system += [_marked(part, {"type": "text", "text": part.get("text", "")}) for part in _texts(message, lost)]
            continue
        blocks, speaker = _blocks(role, message, lost)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": speaker, "content": blocks})
    plain = all(set(part) == {"type", "text"} for part in system)
    return ("\n\n".join(part["text"] for part in system) if plain else system), turns


def _texts(message: Document, lost: Lost) -> list[Document]:
    parts = parts_of(message.get("content"))
    if any("text" not in part for part in parts):
        lost("messages.system.content")
    return [part for part in parts if part.get("text")]


def _blocks(role: Any, message: Document, lost: Lost) -> tuple[list[Document], str]:
    if role == "tool":
        return [_result(message, lost)], "user"
    if role == "assistant":
        return _said(message, lost), "assistant"
    if role != "user":
        lost(f"messages.{role}")
        return [], "user"
    found = (_part(part, lost) for part in parts_of(message.get("content")))
    return [block for block in found if block is not None], "user"


def _result(message: Document, lost: Lost) -> Document:
    found = (_part(part, lost) for part in parts_of(message.get("content")))
    content = [block for block in found if block is not None]
    out: Document = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", "")}
    if content:
        out["content"] = content[0]["text"] if [*content[0]] == ["type", "text"] and len(content) == 1 else content
    return out


def _said(message: Document, lost: Lost) -> list[Document]:
    """What the model thought comes back first and as it was: it is signed."""
    thought = message.get("thinking_blocks")
    blocks: list[Document] = list(thought) if isinstance(thought, list) else []
    for part in parts_of(message.get("content")):
        if text := part.get("text") or part.get("refusal"):
            blocks.append(_marked(part, {"type": "text", "text": text}))
    if not message.get("content") and isinstance(message.get("refusal"), str):
        blocks.append({"type": "text", "text": message["refusal"]})
    for call in messages_of(message, "tool_calls"):
        function = dict_of(call, "function")
        arguments = arguments_of(function.get("arguments"))
        if arguments is None:
            lost("messages.tool_calls.arguments")
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id", ""),
                "name": function.get("name", ""),
                "input": arguments or {},
            }
        )
    for name in ("audio", "function_call", "annotations"):
        if message.get(name):
            lost(f"messages.{name}")
    return blocks


def _part(part: Document, lost: Lost) -> Document | None:
    kind = part.get("type")
    if kind == "text":
        return _marked(part, {"type": "text", "text": part["text"]}) if part.get("text") else None
    if kind == "image_url":
        return _marked(part, _image(dict_of(part, "image_url"), lost))
    if kind == "file":
        return _file(dict_of(part, "file"), lost)
    lost(f"messages.{kind}")
    return None


def _image(image: Document, lost: Lost) -> Document:
    if image.get("detail") not in (None, "auto"):
        lost("messages.image_url.detail")
    url = str(image.get("url", ""))
    if (data := data_url(url)) is not None:
        return {"type": "image", "source": {"type": "base64", "media_type": data[0], "data": data[1]}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _file(file: Document, lost: Lost) -> Document | None:
    data = data_url(str(file.get("file_data", "")))
    if data is None or data[0] != "application/pdf":
        lost("messages.file")
        return None
    out: Document = {
        "type": "document",
        "source": {"type": "base64", "media_type": data[0], "data": data[1]},
    }
    if file.get("filename"):
        out["title"] = file["filename"]
    return out


def _marked(part: Document, block: Document) -> Document:
    """`cache_control` is Anthropic's own, which clients of chat write where they know who answers."""
    return {**block, "cache_control": part["cache_control"]} if part.get("cache_control") else block


def _sampling(chat: Document, out: Document, lost: Lost, about: About) -> None:
    for name in _SAMPLING:
        value = chat.get(name)
        if value is None:
            continue
        if not about.sampling:
            lost(name)
        elif name == "temperature" and isinstance(value, int | float) and value > 1:
            lost("temperature>1")
            out[name] = 1
        else:
            out[name] = value
    stop = chat.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if kept := [text for text in stops if isinstance(text, str) and text.strip()]:
        out["stop_sequences"] = kept
    if len(kept) < len(stops):
        lost("stop.whitespace")


def _tools(chat: Document, out: Document, lost: Lost) -> None:
    tools = [tool for given in messages_of(chat, "tools") if (tool := _tool(given, lost)) is not None]
    if not tools:
        return
    out["tools"] = tools
    choice = chat.get("tool_choice")
    chosen: Document | None = None
    if isinstance(choice, str):
        chosen = {"type": _CHOICES.get(choice, "auto")}
    elif isinstance(choice, dict) and choice.get("type") == "function":
        chosen = {"type": "tool", "name": dict_of(choice, "function").get("name", "")}
    elif choice is not None:
        lost("tool_choice")
    if chat.get("parallel_tool_calls") is False and (chosen or {}).get("type") != "none":
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    if chosen is not None:
        out["tool_choice"] = chosen


def _tool(given: Document, lost: Lost) -> Document | None:
    function = given.get("function")
    if given.get("type", "function") != "function" or not isinstance(function, dict):
        lost(f"tools.{given.get('type')}")
        return None
    tool: Document = {
        "name": function.get("name", ""),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        tool["description"] = function["description"]
    if function.get("strict"):
        tool["strict"] = True
    return _marked(given, tool)


def _format(chat: Document, out: Document, lost: Lost) -> None:
    wanted = dict_of(chat, "response_format")
    if wanted.get("type") == "json_schema":
        schema = dict_of(wanted, "json_schema").get("schema") or {}
        out.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    elif wanted.get("type") not in (None, "text"):
        lost(f"response_format.{wanted.get('type')}")


def _thinking(chat: Document, out: Document) -> None:
    """Effort is how much; whether it thinks is left to the model. Who knows the upstream may send `thinking` itself."""
    effort = chat.get("reasoning_effort")
    if effort in _EFFORTS:
        out.setdefault("output_config", {})["effort"] = _EFFORTS[effort]
        out["thinking"] = {"type": "adaptive"}
    elif effort == "none":
        out["thinking"] = {"type": "disabled"}
    if isinstance(chat.get("thinking"), dict):
        out["thinking"] = chat["thinking"]
