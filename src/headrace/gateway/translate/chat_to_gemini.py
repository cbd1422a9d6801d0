"""A request in OpenAI's chat for an upstream that speaks Gemini's generateContent.

Called by the bridge in chat_over_gemini.py. Decides: turns are the user's and the model's; a result of a tool needs the
tool's name, which chat says only in the call. A call's signed thought travels in `extra_content.google`, where Google's
own chat form has it.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.dialects.gemini_generate import CONFIG
from headrace.gateway.translate.base import (
    About,
    Document,
    Lost,
    arguments_of,
    data_url,
    dict_of,
    messages_of,
    parts_of,
    text_of,
)

_KNOWN = frozenset(
    {
        *CONFIG, "model", "messages", "stream", "stream_options", "tools", "tool_choice", "response_format",
        "reasoning_effort",
    }
)  # fmt: skip
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
# Budgets of thoughts that Google publishes for these words.
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_SOUNDS = {"wav": "audio/wav", "mp3": "audio/mp3"}


def request(chat: Document, lost: Lost, about: About) -> Document:
    lost.rest(chat, _KNOWN)
    system, contents = _contents(messages_of(chat), lost)
    out: Document = {"contents": contents}
    if system:
        out["systemInstruction"] = {"parts": [{"text": system}]}
    if config := _config(chat, lost, about):
        out["generationConfig"] = config
    _tools(chat, out, lost)
    return out


def _contents(messages: list[Document], lost: Lost) -> tuple[str, list[Document]]:
    system: list[str] = []
    contents: list[Document] = []
    names: dict[str, str] = {}  # of tools, by id of the call
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            if contents:
                lost("messages.system.position")
            system.append(text_of(message.get("content")))
            continue
        parts, speaker = _parts(role, message, names, lost)
        if not parts:
            continue
        if contents and contents[-1]["role"] == speaker:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": speaker, "parts": parts})
    return "\n\n".join(text for text in system if text), contents


def _parts(role: Any, message: Document, names: dict[str, str], lost: Lost) -> tuple[list[Document], str]:
    if role == "tool":
        return [_result(message, names)], "user"
    found = (_part(part, lost) for part in parts_of(message.get("content")))
    parts = [part for part in found if part is not None]
    if role != "assistant":
        return parts, "user"
    return [*parts, *(_call(call, names, lost) for call in messages_of(message, "tool_calls"))], "model"


def _call(call: Document, names: dict[str, str], lost: Lost) -> Document:
    function = dict_of(call, "function")
    names[str(call.get("id"))] = function.get("name", "")
    arguments = arguments_of(function.get("arguments"))
    if arguments is None:
        lost("messages.tool_calls.arguments")
    part: Document = {"functionCall": {"name": function.get("name", ""), "args": arguments or {}}}
    if signature := dict_of(dict_of(call, "extra_content"), "google").get("thought_signature"):
        part["thoughtSignature"] = signature
    return part


def _result(message: Document, names: dict[str, str]) -> Document:
    """An answer must be an object."""
    text = text_of(message.get("content"), "\n")
    told = arguments_of(text)
    name = names.get(str(message.get("tool_call_id")), "")
    return {"functionResponse": {"name": name, "response": {"result": text} if told is None else told}}


def _part(part: Document, lost: Lost) -> Document | None:
    kind = part.get("type")
    if kind == "text":
        return {"text": part.get("text", "")}
    if kind == "image_url":
        url = str(dict_of(part, "image_url").get("url", ""))
        data = data_url(url)
        return {"fileData": {"fileUri": url}} if data is None else _inline(*data)
    if kind == "file" and (data := data_url(str(dict_of(part, "file").get("file_data", "")))) is not None:
        return _inline(*data)
    sound = dict_of(part, "input_audio")
    if kind == "input_audio" and sound.get("format") in _SOUNDS:
        return _inline(_SOUNDS[sound["format"]], sound.get("data", ""))
    lost(f"messages.{kind}")
    return None


def _inline(media: str, data: str) -> Document:
    return {"inlineData": {"mimeType": media, "data": data}}


def _config(chat: Document, lost: Lost, about: About) -> Document:
    out = {here: chat[name] for name, here in CONFIG.items() if chat.get(name) is not None}
    if isinstance(chat.get("stop"), str):
        out["stopSequences"] = [chat["stop"]]
    if out.get("candidateCount") == 1:
        del out["candidateCount"]
    wanted = dict_of(chat, "response_format")
    if wanted.get("type") in ("json_schema", "json_object"):
        out["responseMimeType"] = "application/json"
        if schema := dict_of(wanted, "json_schema").get("schema"):
            out["responseJsonSchema"] = schema
    effort = chat.get("reasoning_effort")
    if effort in _BUDGETS:
        out["thinkingConfig"] = {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    return out


def _tools(chat: Document, out: Document, lost: Lost) -> None:
    declared = []
    for given in messages_of(chat, "tools"):
        function = given.get("function")
        if not isinstance(function, dict):
            lost(f"tools.{given.get('type')}")
            continue
        tool = {"name": function.get("name", "")}
        if function.get("description"):
            tool["description"] = function["description"]
        if function.get("parameters"):
            tool["parametersJsonSchema"] = function["parameters"]
        declared.append(tool)
    if not declared:
        return
    out["tools"] = [{"functionDeclarations": declared}]
    choice = chat.get("tool_choice")
    if isinstance(choice, str) and choice in _MODES:
        out["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[choice]}}
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        only = {"mode": "ANY", "allowedFunctionNames": [choice["function"].get("name", "")]}
        out["toolConfig"] = {"functionCallingConfig": only}
    elif choice is not None:
        lost("tool_choice")
