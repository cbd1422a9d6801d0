"""Upstreams that answer with golden bytes, in each form, cut into pieces wherever it hurts.

What is asked decides what is answered: with `tools` it calls two of them; a message may be an order: `fail 429` an
error status, `break` an error inside the stream. The answers were written for this purpose; they hold what gateways
like to lose: unknown fields, odd spacing, numbers written in two ways, escaped and plain letters.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "Grüße aus Rome 🌍!"
PIECES = ["Grü", "ße ", "aus Rome ", "🌍", "!"]
CALLS = [("call_a", '{"city":"Rome"}'), ("call_b", '{"city":"Oslo"}')]
_USAGE = """{"prompt_tokens":20,"completion_tokens":12,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":8,\
"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0,"accepted_prediction_tokens":0,\
"rejected_prediction_tokens":0}}"""
_COUNTS = '"input_tokens":12,"cache_read_input_tokens":8,"cache_creation_input_tokens":0'


def _call(place: int) -> str:
    name, arguments = CALLS[place]
    return json.dumps({"id": name, "type": "function", "function": {"name": "weather", "arguments": arguments}})


CHAT = f"""{{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "up-2026",
  "choices": [ {{"index": 0, "message": {{"role": "assistant", "content": "Gr\\u00fc\\u00dfe aus Rome \U0001f30d!",
     "refusal": null, "annotations": []}}, "logprobs": {{"content": [{{"token": "Gr", "bytes": [71,114],
     "logprob": -1e-3, "top_logprobs": []}}], "refusal": null}}, "finish_reason": "stop"}} ],
  "usage": {_USAGE}, "service_tier": "default", "system_fingerprint": "fp_1", "x_unknown": {{"deep": [1.0, 1e2, null]}}
}}""".encode()
CHAT_TOOLS = f"""{{"id":"chatcmpl-2","object":"chat.completion","created":1700000000,"model":"up-2026",\
"choices":[{{"index":0,"message":{{"role":"assistant","content":null,"refusal":null,"tool_calls":[{_call(0)},{_call(1)}]}},"logprobs":null,\
"finish_reason":"tool_calls"}}],"usage":{_USAGE}}}""".encode()


def _chunk(delta: Any, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-3", "object": "chat.completion.chunk", "created": 1700000000, "model": "up-2026"}
    return json.dumps({**head, "choices": [choice], "x_unknown": 1}, ensure_ascii=False)


def _sse(*events: str, end: str = "\n") -> bytes:
    return "".join(f"{event}{end}{end}" for event in events).replace("\n", end).encode()


_COUNTED = """data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1700000000,"model":"up-2026",\
"choices":[],"usage":"""
_TAIL = (
    "data: " + _chunk({}, "stop"),
    f"{_COUNTED}{_USAGE}}}",
    "data: [DONE]",
)
CHAT_STREAM = _sse(
    ": keep-alive",
    "data: " + _chunk({"role": "assistant", "content": "", "refusal": None}),
    *("data: " + _chunk({"content": piece}) for piece in PIECES),
    *_TAIL,
)
CHAT_TOOLS_STREAM = _sse(
    "data: " + _chunk({"role": "assistant", "content": None}),
    *(
        "data: "
        + _chunk({"tool_calls": [{"index": place, "id": name, "type": "function",
                                  "function": {"name": "weather", "arguments": ""}}]})
        for place, (name, _) in enumerate(CALLS)
    ),
    *(
        "data: " + _chunk({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
        for place, (_, arguments) in enumerate(CALLS)
        for piece in (arguments[:6], arguments[6:])
    ),
    "data: " + _chunk({}, "tool_calls"),
    *_TAIL[1:],
)  # fmt: skip
CHAT_BROKEN = _sse(
    "data: " + _chunk({"role": "assistant", "content": "Gr"}),
    'data: {"error":{"message":"boom"}}',
)

_MESSAGE = '"type":"message","role":"assistant","model":"up-2026"'
MESSAGE = f"""{{"id": "msg_1", {_MESSAGE}, "content": [ {{"type": "text",
  "text": "Gr\\u00fc\\u00dfe aus Rome \U0001f30d!", "citations": null}} ],
  "stop_reason": "end_turn", "stop_sequence": null, "x_unknown": [1.0],
  "usage": {{ {_COUNTS}, "output_tokens": 12, "service_tier": "standard", "output_tokens_details":
  {{"thinking_tokens": 2}} }} }}""".encode()
MESSAGE_TOOLS = json.dumps(
    {
        "id": "msg_2", "type": "message", "role": "assistant", "model": "up-2026",
        "content": [{"type": "tool_use", "id": name, "name": "weather", "input": json.loads(arguments)}
                    for name, arguments in CALLS],
        "stop_reason": "tool_use", "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 12},
    }
).encode()  # fmt: skip


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}"


_STARTED = f'event: message_start\ndata: {{"type":"message_start","message":{{"id":"msg_3",{_MESSAGE},"content":[],\
"stop_reason":null,"stop_sequence":null,"usage":{{{_COUNTS},"output_tokens":1}}}}}}'


def _ended(reason: str) -> tuple[str, str]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    usage = {"output_tokens": 12, "output_tokens_details": {"thinking_tokens": 2}}
    return _event("message_delta", delta=delta, usage=usage), _event("message_stop")


MESSAGE_STREAM = _sse(
    _STARTED,
    _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _event("ping"),
    *(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in PIECES),
    _event("content_block_stop", index=0),
    *_ended("end_turn"),
    end="\r\n",
)
MESSAGE_TOOLS_STREAM = _sse(
    _STARTED,
    *(
        event
        for place, (name, arguments) in enumerate(CALLS)
        for event in (
            _event("content_block_start", index=place,
                   content_block={"type": "tool_use", "id": name, "name": "weather", "input": {}}),
            *(_event("content_block_delta", index=place, delta={"type": "input_json_delta", "partial_json": piece})
              for piece in ("", arguments[:6], arguments[6:])),
            _event("content_block_stop", index=place),
        )
    ),
    *_ended("tool_use"),
)  # fmt: skip
MESSAGE_BROKEN = _sse(_STARTED, _event("error", error={"type": "overloaded_error", "message": "boom"}))

_RESPONSE = """{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","error":null,\
"incomplete_details":null,"instructions":null,"model":"up-2026","output":[{"type":"message","id":"msg_1","role":\
"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}],\
"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"x_unknown":[1.0],"usage":{"input_tokens":20,\
"input_tokens_details":{"cached_tokens":8,"cache_write_tokens":0},"output_tokens":12,"output_tokens_details":\
{"reasoning_tokens":2},"total_tokens":32}}"""
RESPONSE = _RESPONSE.encode()
_DELTA = {
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hi",
    "logprobs": [],
    "sequence_number": 1,
}
RESPONSE_STREAM = _sse(
    f'event: response.created\ndata: {{"type":"response.created","sequence_number":0,"response":{_RESPONSE}}}',
    _event("response.output_text.delta", **_DELTA),
    f'event: response.completed\ndata: {{"type":"response.completed","sequence_number":2,"response":{_RESPONSE}}}',
)

_METADATA = {"promptTokenCount": 20, "cachedContentTokenCount": 8, "candidatesTokenCount": 10, "thoughtsTokenCount": 2,
             "totalTokenCount": 32}  # fmt: skip


def _generated(parts: list[Any], finish: str | None = "STOP", **more: Any) -> str:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": finish}
    said = {name: value for name, value in candidate.items() if value is not None}
    head = {"candidates": [said], "modelVersion": "up-2026", "responseId": "gen-1"}
    return json.dumps({**head, **more}, ensure_ascii=False, indent=None)


_FUNCTIONS = [{"functionCall": {"id": name, "name": "weather", "args": json.loads(text)}} for name, text in CALLS]
GENERATED = _generated([{"text": TEXT}], usageMetadata=_METADATA).encode()
GENERATED_TOOLS = _generated(_FUNCTIONS, usageMetadata=_METADATA).encode()
GENERATED_STREAM = _sse(
    *("data: " + _generated([{"text": piece}], None) for piece in PIECES),
    "data: " + _generated([], usageMetadata=_METADATA),
    end="\r\n",
)
GENERATED_TOOLS_STREAM = _sse("data: " + _generated(_FUNCTIONS, usageMetadata=_METADATA), end="\r\n")
GENERATED_BROKEN = _sse('data: {"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}}')

EMBEDDING = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-1e-3]}],"model":"up-2026",\
"usage":{"prompt_tokens":3,"total_tokens":3}}'
COMPLETION = (
    b'{"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"up-2026","choices":[{"text":"Hi",\
"index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
MODERATION = b'{"id":"modr-1","model":"up-2026","results":[]}'
TRANSCRIPT = b'{"text":"Hello","usage":{"type":"tokens","input_tokens":9,"output_tokens":2,"total_tokens":11}}'
IMAGE = b'{"created":1700000000,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":3,"output_tokens":5,\
"total_tokens":8,"input_tokens_details":{"image_tokens":0,"text_tokens":3}}}'
RERANKED = b'{"results":[{"index":1,"relevance_score":0.5}],"usage":{"total_tokens":8}}'
COUNTED = b'{"input_tokens":42}'

# whole, with tools, streamed, streamed with tools, broken inside a stream
_FORMS = {
    "chat": (CHAT, CHAT_TOOLS, CHAT_STREAM, CHAT_TOOLS_STREAM, CHAT_BROKEN),
    "messages": (MESSAGE, MESSAGE_TOOLS, MESSAGE_STREAM, MESSAGE_TOOLS_STREAM, MESSAGE_BROKEN),
    "responses": (RESPONSE, RESPONSE, RESPONSE_STREAM, RESPONSE_STREAM, RESPONSE_STREAM),
    "gemini": (GENERATED, GENERATED_TOOLS, GENERATED_STREAM, GENERATED_TOOLS_STREAM, GENERATED_BROKEN),
}
_PATHS = {"/v1/chat/completions": "chat", "/v1/messages": "messages", "/v1/responses": "responses"}
_SIMPLE = {
    "/v1/embeddings": EMBEDDING,
    "/v1/completions": COMPLETION,
    "/v1/moderations": MODERATION,
    "/v1/audio/transcriptions": TRANSCRIPT,
    "/v1/images/generations": IMAGE,
    "/v1/rerank": RERANKED,
    "/v1/messages/count_tokens": COUNTED,
}
_ORDER = re.compile(rb"fail (\d+)")


@dataclass
class Golden:
    """`came`: path, headers and body of what was asked."""

    url: str
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def last(self) -> Any:
        return json.loads(self.came[-1][2])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    golden: Golden
    dice: random.Random

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        path = self.path.partition("?")[0]
        self.golden.came.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if order := _ORDER.search(body):
            return self._whole(self._error(path, int(order[1])), int(order[1]))
        if path in _SIMPLE:
            return self._whole(_SIMPLE[path])
        whole, tools, stream, tools_stream, broken = _FORMS[_PATHS.get(path, "gemini")]
        called = b'"tools"' in body and b'"tools":[]' not in body
        if not (b'"stream":true' in body or "streamGenerate" in path):
            return self._whole(tools if called else whole)
        if b'"break"' in body:
            return self._streamed(broken)
        return self._streamed(tools_stream if called else stream)

    def _error(self, path: str, status: int) -> bytes:
        if path.startswith("/v1/messages"):
            return json.dumps({"type": "error", "error": {"type": "x_error", "message": f"ordered {status}"}}).encode()
        return b'{"error" : {"message":"ordered %d","type":"x","param":null,"code":null, "x_unknown":1}}' % status

    def _whole(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", "req-golden")
        self.send_header("x-ratelimit-remaining-requests", "7")
        if status == 429:
            self.send_header("retry-after", "3")
        self.end_headers()
        self.wfile.write(body)

    def _streamed(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-request-id", "req-golden")
        self.end_headers()
        at = 0
        while at < len(body):
            piece = body[at : at + self.dice.choice((1, 2, 3, 7, 60, 400))]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            at += len(piece)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def golden_upstream(seed: int = 7) -> Iterator[Golden]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    server.daemon_threads = True
    handler: Any = server.RequestHandlerClass
    handler.golden = golden = Golden(url=f"http://127.0.0.1:{server.server_port}")
    handler.dice = random.Random(seed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield golden
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
