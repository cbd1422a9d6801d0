"""What the data plane's HTTP API is, in OpenAPI 3.1, written by hand: one row per route.

Read by pages.py. A test compares it with edge.py's routes, so a route without a row fails.
"""

from __future__ import annotations

from typing import Any

from headrace import __version__

Json = dict[str, Any]


def description() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace data plane",
            "version": __version__,
            "description": "Predict, give feedback, look at models. `/v2` is the Open Inference Protocol (KServe V2).",
        },
        "paths": {path: dict(methods) for path, methods in _paths().items()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _paths() -> dict[str, dict[str, Json]]:
    v2 = {
        f"/v2/models/{{model}}{version}{rest}": entry for version in ("", "/versions/{version}") for rest, entry in _V2
    }
    plain = {path: {method: _operation(path, *row) for method, row in rows.items()} for path, rows in _ROWS.items()}
    chats = {path: {method: _chat(path, method, summary)} for path, (method, summary) in _CHATS.items()}
    whole = "/passthrough/{provider}/{rest}"
    chats[whole] = {m: _chat(whole, m, "A provider's own API, with our key") for m in _PASSED}
    return plain | {path: {method: _operation(path, *row)} for path, (method, row) in v2.items()} | chats


def _chat(path: str, method: str, summary: str) -> Json:
    """A form of call that somebody else defined: what is in it is in their words, errors too."""
    anything = {"content": {"application/json": {"schema": _ref("Any")}}}
    statuses = (400, 401, 403, 404, 413, 429, 502, 503, 504) if method != "get" else (401, 403, 404)
    operation: Json = {
        "tags": ["chat"],
        "summary": summary,
        "responses": {
            "200": {"description": "done", **anything},
            **{str(status): {"description": _WORDS[status], **anything} for status in statuses},
        },
    }
    if names := [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if method == "post":
        operation["requestBody"] = {"required": True, **anything}
    return operation


_PASSED = ("get", "post", "put", "patch", "delete")
_CHATS = {
    "/v1/chat/completions": ("post", "OpenAI's chat completions, whole or streamed"),
    "/v1/completions": ("post", "OpenAI's completions"),
    "/v1/responses": ("post", "OpenAI's responses"),
    "/v1/embeddings": ("post", "OpenAI's embeddings"),
    "/v1/moderations": ("post", "OpenAI's moderations"),
    "/v1/rerank": ("post", "Rerank, as Cohere and others have it"),
    "/v1/images/{what}": ("post", "OpenAI's images: generations, edits, variations"),
    "/v1/audio/{what}": ("post", "OpenAI's audio: speech, transcriptions, translations"),
    "/v1/messages": ("post", "Anthropic's messages, whole or streamed"),
    "/v1/messages/count_tokens": ("post", "Anthropic's count of tokens"),
    "/v1beta/models/{call}": ("post", "Gemini's MODEL:generateContent and MODEL:streamGenerateContent"),
    "/v1/models": ("get", "The chat models that the caller may ask for"),
    "/v1/models/{model}": ("get", "One chat model"),
}


def _operation(path: str, tag: str, summary: str, body: str, answer: str, errors: tuple[int, ...]) -> Json:
    failed = "V2Error" if path.startswith("/v2") else "Error"
    operation: Json = {
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": _ref(answer)}}},
            **{str(status): _failed(status, _not_ready(path, status) or failed) for status in errors},
        },
    }
    if names := [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if tag == "predict":
        operation["parameters"] = operation.get("parameters", []) + [_header(*row) for row in _HEADERS]
    if body:
        # An index, load or unload may come without a body.
        needed = tag != "repository"
        operation["requestBody"] = {"required": needed, "content": {"application/json": {"schema": _ref(body)}}}
    if path.endswith("/infer"):
        _with_bytes(operation)
    elif path.endswith("/generate_stream"):
        operation["responses"]["200"]["content"] = {"text/event-stream": {"schema": _ref("Events")}}
    return operation


def _with_bytes(operation: Json) -> None:
    """Tensors may follow the JSON as bytes, both ways."""
    operation["parameters"].append(_header(*_LENGTH))
    for part in (operation["requestBody"], operation["responses"]["200"]):
        part["content"]["application/octet-stream"] = {"schema": _ref("Tensors")}


def _not_ready(path: str, status: int) -> str:
    """Whoever asks whether it is ready is told so in the same form."""
    return "Any" if status == 503 and path.endswith(("/ready", "/health")) else ""


_LENGTH = (
    "inference-header-content-length",
    "how much of the body is JSON, in bytes; tensors follow. 0: the whole body is the only input",
)


_HEADERS = (
    ("x-user-id", "who asks: routing sticks to it and it counts as one unit of evidence (setting user_header)"),
    ("x-headrace-variant", "force a variant; not counted as evidence"),
    ("x-headrace-colour", "what was decided before, endpoint=variant, comma, …: followed where the variant is loaded"),
    ("baggage", "W3C baggage; its member headrace-colour is the same"),
    ("x-canary", "matched by header rules of the endpoint"),
    ("traceparent", "W3C trace context of the caller; kept with the call"),
)


def _header(name: str, meaning: str) -> Json:
    return {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}


_WORDS = {
    400: "an input is wrong; `field` names it",
    401: "no API key, or one that is not known",
    404: "there is no such thing; the message lists what there is",
    403: "not with these credentials",
    409: "not now: something else is changing it",
    413: "the body, or a part of it, is too large",
    415: "the content type is not JSON",
    500: "the model failed, or answered outside its signature",
    429: "too many calls, tokens or dollars; try again after `retry-after` seconds",
    502: "the control plane answered in another form than expected",
    503: "not there right now, or too many calls at once; try again after `retry-after` seconds",
    504: "the model did not answer in time",
}


def _failed(status: int, schema: str) -> Json:
    return {"description": _WORDS[status], "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


Row = tuple[str, str, str, str, tuple[int, ...]]  # tag, summary, body, answer, errors
_CALL = (400, 401, 404, 413, 415, 500, 503, 504)
_REPOSITORY = (400, 401, 403, 404, 409, 413, 502, 503)
_SAID = (400, 401, 404, 413, 415, 503)
_ROWS: dict[str, dict[str, Row]] = {
    "/predict": {"post": ("predict", "Ask a model", "Predict", "Prediction", _CALL)},
    "/feedback": {"post": ("feedback", "Say what an answer was worth", "Feedback", "Accepted", (*_SAID, 403))},
    "/feedback/batch": {
        "post": ("feedback", "Many at once: good rows are kept, wrong ones named", "FeedbackBatch", "Batch", _SAID)
    },
    "/feedback/tokens": {
        "post": ("feedback", "Tokens with which people without a key may rate an answer", "Tokens", "Issued", _SAID)
    },
    "/metrics/events": {
        "post": ("feedback", "Post what was measured", "Posted", "Kept", (400, 401, 404, 413, 415, 503))
    },
    "/models": {"get": ("models", "Registered models", "", "Any", (401, 503))},
    "/models/{name}/versions": {"get": ("models", "Versions of a model", "", "Any", (401, 404, 503))},
    "/models/{name}/stage": {
        "post": ("models", "Move a version to a stage; in force on the next call", "Stage", "Any", (400, 401, 404, 503))
    },
    "/export": {"get": ("feedback", "Download the data set: corrections win", "", "Any", (400, 401, 503))},
    "/health": {"get": ("status", "Ready, and on which plan", "", "Any", (503,))},
    "/health/live": {"get": ("status", "The process answers", "", "Any", ())},
    "/metrics": {"get": ("status", "Counts and latencies: JSON, or Prometheus text", "", "Any", (400,))},
    "/v2": {"get": ("v2", "Server metadata", "", "Any", ())},
    "/v2/models/stats": {"get": ("v2", "Counts and times of all models", "", "Any", (401,))},
    "/v2/repository/index": {
        "post": (
            "repository",
            "Every version of every endpoint, and whether it is loaded",
            "Index",
            "Any",
            (400, 401, 413),
        )
    },
    "/v2/repository/models/{model}/load": {
        "post": ("repository", "Load a model; in force on the next call", "Load", "Any", _REPOSITORY)
    },
    "/v2/repository/models/{model}/unload": {
        "post": ("repository", "Unload a model; it stays known", "Unload", "Any", _REPOSITORY)
    },
    "/v2/health/live": {"get": ("v2", "The process answers", "", "Any", ())},
    "/v2/health/ready": {"get": ("v2", "The plane takes traffic", "", "Any", (503,))},
}
_MODEL = (401, 404, 503)
_V2: tuple[tuple[str, tuple[str, Row]], ...] = (
    ("", ("get", ("v2", "Inputs and outputs of a model", "", "Any", _MODEL))),
    ("/ready", ("get", ("v2", "The model takes calls", "", "Any", _MODEL))),
    ("/config", ("get", ("v2", "Batching of a model, in Triton's words", "", "Any", _MODEL))),
    ("/stats", ("get", ("v2", "Counts and times since a version was loaded", "", "Any", _MODEL))),
    ("/infer", ("post", ("predict", "Ask a model, in tensors", "InferRequest", "InferResponse", _CALL))),
    ("/generate", ("post", ("predict", "Ask a model, with inputs by name", "Generate", "Generated", _CALL))),
    (
        "/generate_stream",
        ("post", ("predict", "The same, as server-sent events", "Generate", "Generated", _CALL)),
    ),
)


def _object(required: str, **fields: Json) -> Json:
    return {"type": "object", "properties": fields, "required": required.split()}


def _schemas() -> Json:
    text, number, anything = {"type": "string"}, {"type": "number"}, {"description": "any JSON"}
    whole = {"type": "integer"}
    tensor = _object(
        "name shape datatype data", name=text, shape={"type": "array", "items": whole}, datatype=text, data=anything
    )
    return {
        "Any": anything,
        "Predict": {
            **_object(
                "model inputs",
                model={**text, "description": "endpoint, or registered model"},
                inputs={"description": "rows: nested lists, or records, or columns; as the model's signature says"},
                stage={**text, "description": "Production (default), Staging, or an alias: pins that version"},
                version={"type": ["integer", "string"], "description": "pins a version"},
                user={"type": ["string", "integer"], "description": "as the user header"},
            ),
            "additionalProperties": False,
            "examples": [{"model": "digits", "inputs": [[0, 0, 5, 13]], "user": "alice"}],
        },
        "Prediction": _object(
            "result trace_id model_version latency_ms",
            result={"type": "array", "items": anything, "description": "one entry per row"},
            trace_id=text,
            model_version=whole,
            latency_ms=number,
        ),
        "Feedback": {
            **_object(
                "",
                trace_id={**text, "description": "of an answer; with a token it may be left out"},
                user_rating={"enum": [True, False, "up", "down", "thumbs_up", "thumbs_down"]},
                corrected_output=anything,
                comment={**text, "maxLength": 10_000},
                reasons={"type": "array", "maxItems": 8, "items": {**text, "maxLength": 64}},
                rater={"type": ["string", "integer"], "description": "who says so; stored as a hash"},
                source={"enum": ["human", "code", "llm_judge"]},
                time={"type": ["number", "string"], "description": "when it was said, if not now"},
                withdraw={"type": ["boolean", "array"], "items": text, "description": "true, or names to take back"},
                token={**text, "description": "in place of a key: of /feedback/tokens"},
            ),
            "additionalProperties": False,
        },
        "FeedbackBatch": {
            **_object(
                "feedback",
                feedback={"type": "array", "minItems": 1, "maxItems": 1_000, "items": _ref("Feedback")},
            ),
            "additionalProperties": False,
        },
        "Batch": _object("accepted errors", accepted=whole, errors={"type": "array", "items": anything}),
        "Tokens": {
            **_object(
                "trace_ids",
                trace_ids={"type": "array", "minItems": 1, "maxItems": 1_000, "items": text},
                expires_in={**number, "minimum": 1, "description": "seconds; default a week"},
                rater={"type": ["string", "integer"], "description": "whom the tokens are for"},
            ),
            "additionalProperties": False,
        },
        "Issued": _object("tokens expires", tokens={"type": "object"}, expires=number),
        "Accepted": _object("trace_id feedback", trace_id=text, feedback={"type": "array", "items": text}),
        "Posted": {
            **_object(
                "events",
                events={
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1_000,
                    "items": {
                        **_object(
                            "name",
                            name={**text, "maxLength": 200, "description": "as the metric of a release plan calls it"},
                            value={**number, "default": 1.0},
                            user={"type": ["string", "integer"], "description": "as in their calls"},
                            trace_id={**text, "description": "instead of user: of one answer"},
                            endpoint=text,
                            source=text,
                            id=text,
                        ),
                        "additionalProperties": False,
                    },
                },
            ),
            "additionalProperties": False,
            "examples": [{"events": [{"name": "purchase", "value": 12.5, "user": "alice"}]}],
        },
        "Kept": _object("events", events={"type": "array", "items": text}),
        "Stage": _object("version stage", version=whole, stage=text),
        "InferRequest": _object("inputs", id=text, inputs={"type": "array", "items": tensor}, outputs=anything),
        "InferResponse": _object(
            "model_name outputs",
            model_name=text,
            model_version=text,
            id=text,
            outputs={"type": "array", "items": tensor},
        ),
        "Generate": {
            **_object("", id=text, parameters={"type": "object", "description": "single values"}),
            "description": "an input of the model by its name: one value, or a list; other single values are ignored",
        },
        "Generated": {
            **_object("model_name model_version", model_name=text, model_version=text),
            "description": "an output of the model by its name",
        },
        "Tensors": {
            "type": "string",
            "format": "binary",
            "description": "JSON, then the bytes of each tensor with a binary_data_size, little-endian, in order",
        },
        "Events": {"type": "string", "description": "data: {…}: what generate answers, or an error of the model"},
        "Index": _object("", ready={"type": "boolean", "description": "only what takes calls"}),
        "Load": _object(
            "",
            parameters={
                **_object("", config={"type": ["string", "object"], "description": "batching, as Triton writes it"}),
                "additionalProperties": False,
            },
        ),
        "Unload": _object(
            "",
            parameters={**_object("", unload_dependents={"type": "boolean"}), "additionalProperties": False},
        ),
        "Error": _object(
            "error",
            error=_object(
                "type message",
                type=text,
                message=text,
                field={"type": ["string", "null"]},
                hint={"type": ["string", "null"]},
                trace_id={"type": ["string", "null"]},
            ),
        ),
        "V2Error": _object("error", error=text),
    }
