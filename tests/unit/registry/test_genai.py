"""Calls to language models in the words of OpenTelemetry's conventions, and as MLflow draws them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.schemas import Schemas

from headrace.base.ids import TraceIds, traceparent
from headrace.store import genai
from headrace.store.traces import _spans
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Attempt, Spent, Usage
from headrace.types.step import Step, StepKind
from headrace.types.traffic import Reason

IDS = TraceIds(b"k" * 32)
SAID = [{"role": "user", "content": "where?"}]


def call(**changes: Any) -> Call:
    fields: dict[str, Any] = {
        "trace_id": IDS.mint(1000.0),
        "time": 1000.0,
        "endpoint": "assistant",
        "variant": "v1",
        "version": 1,
        "unit": "u1",
        "sticky": True,
        "counted": True,
        "reason": Reason.BUCKET,
        "status": CallStatus.OK,
        "latency_ms": 20.0,
        "protocol": "openai.chat",
        "input": SAID,
        "output": "there",
        "spent": Spent(
            usage=Usage(input=10, cache_read=5, cache_write=2, output=3, reasoning=4),
            cost=0.5,
            provider="openai",
            model="gpt-5-2026",
            first_ms=250.0,
            finish="stop",
            conversation="c1",
        ),
    }
    return Call(**fields | changes)


def told(span: Span) -> dict[str, Any]:
    kinds = ("string_value", "int_value", "double_value", "bool_value")
    found: dict[str, Any] = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        value = attribute.value
        found[attribute.key] = (
            getattr(value, kind) if kind in kinds else [each.string_value for each in value.array_value.values]
        )
    return found


def test_every_name_is_one_of_the_version_that_it_is_said_to_be() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    ours = {value for value in vars(genai).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert len(ours) > 10
    assert ours <= known
    assert genai.SCHEMA in {str(schema.value) for schema in Schemas}


def test_upstreams_that_a_call_took_are_spans_of_their_own() -> None:
    busy = Attempt(provider="a", model="m1", at_ms=1.0, ms=4.0, outcome="overloaded", status=503, error="busy")
    good = Attempt(provider="b", model="m2", at_ms=6.0, ms=14.0, outcome="ok", status=200, first_ms=3.0)
    step = Step(kind=StepKind.MODULE, name="x", at_ms=7.0, ms=1.0)
    spent = Spent(provider="b", model="m2", attempts=2, tried=(busy, good), steps=(step,))
    root, first, second, third = _spans(call(spent=spent))
    assert {span.parent_span_id for span in (first, second, third)} == {root.span_id}
    assert len({span.span_id for span in (root, first, second, third)}) == 4
    assert (first.name, first.status.code, first.status.message) == ("chat m1", 2, "busy")
    assert first.end_time_unix_nano - first.start_time_unix_nano == 4_000_000
    assert second.start_time_unix_nano - root.start_time_unix_nano == 6_000_000
    found = told(first)
    assert (found["gen_ai.provider.name"], found["gen_ai.request.model"]) == ("a", "m1")
    assert (found["error.type"], found["http.response.status_code"]) == ("overloaded", 503)
    found = told(second)
    assert (found["http.request.resend_count"], found["gen_ai.response.time_to_first_chunk"]) == (1, 0.003)
    assert "error.type" not in found


def test_a_chat_is_a_conversation_with_its_figures() -> None:
    (span,) = _spans(call())
    found = told(span)
    assert found["gen_ai.operation.name"] == "chat"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("assistant", "gpt-5-2026")
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.response.time_to_first_chunk"] == 0.25
    assert (found["gen_ai.conversation.id"], found["session.id"], found["user.id"]) == ("c1", "c1", "u1")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (17, 7)
    assert found["gen_ai.usage.reasoning.output_tokens"] == 4
    assert json.loads(found["mlflow.chat.tokenUsage"]) == {
        "input_tokens": 17,
        "output_tokens": 7,
        "total_tokens": 24,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 2,
    }
    assert json.loads(found["mlflow.llm.cost"]) == {"total_cost": 0.5}
    assert found["mlflow.spanType"] == "CHAT_MODEL"
    assert json.loads(found["mlflow.spanInputs"]) == {"messages": SAID}
    assert json.loads(found["mlflow.spanOutputs"])["choices"][0]["message"] == {"role": "assistant", "content": "there"}


def test_tools_that_were_called_stand_in_the_answer() -> None:
    output = {"text": "", "tools": [{"id": "t1", "name": "find", "arguments": "{}"}]}
    found = told(_spans(call(output=output))[0])
    message = json.loads(found["mlflow.spanOutputs"])["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]


def test_a_text_of_the_responses_form_is_what_a_user_said() -> None:
    found = told(_spans(call(protocol="openai.responses", input="where?"))[0])
    assert json.loads(found["mlflow.spanInputs"]) == {"messages": SAID}


@pytest.mark.parametrize(
    ("protocol", "operation", "kind"),
    [
        ("openai.embeddings", "embeddings", "EMBEDDING"),
        ("openai.completions", "text_completion", "LLM"),
        ("gemini.generate", "generate_content", "LLM"),
    ],
)
def test_other_forms_keep_their_own_words(protocol: str, operation: str, kind: str) -> None:
    found = told(_spans(call(protocol=protocol, input=["a", "b"], output=None))[0])
    assert (found["gen_ai.operation.name"], found["mlflow.spanType"]) == (operation, kind)
    assert json.loads(found["mlflow.spanInputs"]) == ["a", "b"]


def test_nothing_was_kept_nothing_is_told() -> None:
    step = Step(kind=StepKind.LM, name="fast", at_ms=1, ms=2)
    spans = _spans(call(input=None, output=None, spent=Spent(steps=(step,)), status=CallStatus.FAILED, error="boom"))
    for span in spans:
        assert {"mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.messages"}.isdisjoint(told(span))
    assert told(spans[0])["error.type"] == "failed"


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ({"text": "where?"}, SAID),
        ({"text": ["where?"], "history": "user: x"}, SAID),
        ({"system": "be kind", "q": "where?"}, [{"role": "system", "content": "be kind"}, *SAID]),
        ({"messages": json.dumps(SAID)}, SAID),
        ({"messages": "[masked"}, []),
    ],
)
def test_a_program_that_was_talked_to_is_drawn_as_a_conversation(inputs: Any, messages: Any) -> None:
    one = call(input=inputs, output=["there"], spent=Spent(provider="headrace", model="assistant"))
    found = told(_spans(one)[0])
    assert json.loads(found["mlflow.spanInputs"]) == inputs, "as the program takes them"
    assert json.loads(found["mlflow.chat.messages"]) == [*messages, {"role": "assistant", "content": "there"}]


def test_steps_are_nested_and_the_same_when_sent_again() -> None:
    steps = (
        Step(kind=StepKind.MODULE, name="Mine", at_ms=1, ms=9, input={"text": "x"}, output={"team": "a"}),
        Step(
            kind=StepKind.LM, name="fast", at_ms=2, ms=3, within=0, model="m", input_tokens=4, output_tokens=1,
            finish="stop", input=SAID, output="there",
        ),
        Step(kind=StepKind.TOOL, name="find", at_ms=6, ms=1, within=0, error="KeyError: 'x'", input={"q": 1}),
    )  # fmt: skip
    one = call(protocol="predict", input={"text": ["x"]}, output=["a"], spent=Spent(steps=steps, attempts=1))
    root, module, question, tool = _spans(one)
    assert [span.parent_span_id for span in (root, module, question, tool)] == [
        b"",
        root.span_id,
        module.span_id,
        module.span_id,
    ]
    assert [span.name for span in (root, module, question, tool)] == [
        "assistant",
        "Mine",
        "chat fast",
        "execute_tool find",
    ]
    assert question.start_time_unix_nano - root.start_time_unix_nano == 2_000_000
    assert question.end_time_unix_nano - question.start_time_unix_nano == 3_000_000
    assert (tool.status.message, told(tool)["gen_ai.tool.name"]) == ("KeyError: 'x'", "find")
    assert told(root)["mlflow.spanType"] == "CHAIN"
    assert "gen_ai.operation.name" not in told(root), "a prediction is no chat"
    assert _spans(one) == [root, module, question, tool]


def test_a_question_of_a_program_is_under_its_own_span_and_names_who_asked() -> None:
    asker = IDS.mint(1000.0)
    step = Step(kind=StepKind.LM, name="fast", at_ms=1.0, ms=2.0, span="00f067aa0ba902b7")
    program = call(trace_id=asker, protocol="predict", input={"text": "x"}, spent=Spent(steps=(step,)))
    _, question = _spans(program)
    assert question.span_id.hex() == step.span
    [line] = _spans(call(parent=traceparent(asker, step.span)))
    assert [(each.trace_id.hex(), each.span_id.hex()) for each in line.links] == [(asker[3:], step.span)]
    assert "mlflow.traceTag.parent" in {each.key for each in line.attributes}
    [other] = _spans(call(parent="no such thing"))
    assert not other.links
