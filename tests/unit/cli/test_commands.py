"""Commands against planes that answer as told: what they print, what they send, and their exit status."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from cli_planes import Planes, Ran, Stream

from headrace.cli.main import app

Run = Callable[..., Ran]

ENDPOINT = {
    "name": "digits",
    "policy": {"baseline": "v1"},
    "variants": [
        {
            "name": "v1",
            "package": {
                "runtime": "onnx",
                "id": "abcdef0123456789",
                "parity": {
                    "rows": 512,
                    "split_rows": 96,
                    "label_flips": 0,
                    "max_difference": 3e-7,
                    "tried": ["fp32: 2 labels differ"],
                },
            },
        }
    ],
}


def commands(group: object, path: str = "headrace") -> Iterator[tuple[str, object]]:
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL)
def test_every_command_explains_itself(path: str, run: Run) -> None:
    found = run(*path.split()[1:], "--help")
    assert found.status == 0
    assert "Example:" in found.out
    assert path in found.out or "headrace release digits" in found.out, "the example runs this command"
    assert "--json" in found.out
    assert "--home" in found.out


def test_no_command_and_an_unknown_one(run: Run) -> None:
    assert "deploy" in run("--help").out
    assert run("--version").out.strip()
    unknown = run("deplyo")
    assert unknown.status == 2
    assert "deploy" in unknown.err


def test_deploy_shows_progress_and_proof(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/endpoints/digits/deploy"] = Stream({"progress": "fetch"}, {"result": ENDPOINT})
    found = run("deploy", "models:/digits/1")
    assert found.status == 0, found.err
    assert "fetch" in found.err
    assert "live" in found.out
    assert "512 rows compared (96 of them on split points), 0 labels differ" in found.out
    assert "tried before: fp32" in found.out
    assert planes.asked == [("POST /api/v1/endpoints/digits/deploy", {"model": "models:/digits/1"})]


def test_deploy_as_json_is_only_json(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/endpoints/other/deploy"] = Stream({"progress": "fetch"}, {"result": ENDPOINT})
    found = run("deploy", "models:/digits@champion", "--endpoint", "other", "--json")
    assert found.json == ENDPOINT
    assert found.err == ""


def test_deploy_of_a_model_on_another_server(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/endpoints/far away/deploy"] = Stream({"result": ENDPOINT})
    planes.says["POST /api/v1/endpoints/far%20away/deploy"] = planes.says["POST /api/v1/endpoints/far away/deploy"]
    found = run("deploy", "http://other:8000/v2/models/far%20away/versions/2")
    assert found.status == 0, found.err
    assert planes.asked[0][1] == {"model": "http://other:8000/v2/models/far%20away/versions/2"}


def test_deploy_of_a_service_that_is_described_in_a_file(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["POST /api/v1/endpoints/churn/deploy"] = Stream({"result": ENDPOINT})
    (tmp_path / "scorer.yaml").write_text("name: churn\nurl: http://h/score\nrequest: $rows\n")
    found = run("deploy", str(tmp_path / "scorer.yaml"))
    assert found.status == 0, found.err
    described = {"name": "churn", "url": "http://h/score", "request": "$rows"}
    assert planes.asked == [("POST /api/v1/endpoints/churn/deploy", {"upstream": described})]


def test_an_adapter_comes_from_a_file(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["POST /api/v1/endpoints/churn/deploy"] = Stream({"result": ENDPOINT})
    file = tmp_path / "adapter.yaml"
    file.write_text("inputs:\n  - drop: session\n")
    found = run("deploy", "models:/churn/4", "--adapter", str(file))
    assert found.status == 0, found.err
    adapter = {"inputs": [{"drop": "session"}]}
    assert planes.asked == [("POST /api/v1/endpoints/churn/deploy", {"model": "models:/churn/4", "adapter": adapter})]
    found = run("deploy", "models:/churn/4", "--adapter", str(tmp_path / "missing.yaml"))
    assert found.status != 0
    assert "missing.yaml" in found.err.replace("\n", "")


@pytest.mark.parametrize("text", [None, "just words", "a: [", "\x00"])
def test_deploy_of_a_file_that_describes_nothing(run: Run, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "scorer.yaml").write_text(text)
    found = run("deploy", str(tmp_path / "scorer.yaml"))
    assert found.status != 0
    assert "scorer.yaml" in found.err.replace("\n", "")


def test_deploy_refused(run: Run, planes: Planes) -> None:
    refusal = {
        "type": "model_refused",
        "message": "model.skops does not match its checksum",
        "hint": "register it anew",
    }
    planes.says["POST /api/v1/endpoints/digits/deploy"] = Stream({"error": refusal})
    found = run("deploy", "models:/digits/1")
    assert found.status == 1
    assert found.err.splitlines()[-1] == "error: model.skops does not match its checksum (register it anew)"
    assert "Traceback" not in found.err


def test_deploy_of_what_is_no_model(run: Run) -> None:
    found = run("deploy", "runs:/abc/model")
    assert found.status == 2
    assert "'runs:/abc/model'" in found.err
    assert "models:/NAME/VERSION" in found.err


@pytest.mark.parametrize("command", [("models",), ("release", "list"), ("predict", "digits", "[[0]]"), ("traces",)])
def test_nobody_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("HEADRACE_CONTROL_PORT", "1")
    monkeypatch.setenv("HEADRACE_PORT", "1")
    found = run(*command, "--home", str(tmp_path))
    assert found.status == 3
    assert "no Headrace answers at http://127.0.0.1:1 (start it with `headrace up`" in found.err


def test_a_setting_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "many")
    found = run("status")
    assert found.status == 2
    assert "HEADRACE_PORT" in found.err
    assert "'many'" in found.err


def test_models_and_versions(run: Run, planes: Planes) -> None:
    planes.says["GET /models"] = {"models": [{"name": "digits", "versions": [1, 2]}]}
    planes.says["GET /models/digits/versions"] = {
        "versions": [{"version": 1, "stage": "Production", "aliases": ["champion"], "metrics": {"accuracy": 0.9}}]
    }
    assert run("models").out.split() == ["model", "versions", "in", "Production", "digits", "2", "–"]
    found = run("models", "digits")
    assert "champion" in found.out
    assert "accuracy 0.9" in found.out
    assert run("models", "digits", "--json").json[0]["stage"] == "Production"
    planes.says["GET /models"] = {"models": []}
    assert "log one with the mlflow client" in run("models").out


def test_endpoints_and_how_they_run(run: Run, planes: Planes) -> None:
    toy = {
        "name": "digits",
        "model": "digits",
        "policy": {"baseline": "v1", "candidate": "v2", "share": 500},
        "batching": {"max_batch_size": 64},
        "limits": {"timeout_ms": 30000},
        "capture": "full",
        "parked": True,
    }
    planes.says["GET /api/v1/endpoints"] = {"endpoints": [toy]}
    planes.says["GET /api/v1/endpoints/digits"] = toy
    planes.says["PATCH /api/v1/endpoints/digits"] = toy
    listed = run("endpoint", "list").out
    assert all(word in listed for word in ("digits", "v2 5 %", "30000 ms", "unloaded"))
    shown = run("endpoint", "show", "digits").out
    assert "batching.max_batch_size" in shown
    assert "capture" in shown
    words = ("batching.preferred_batch_size=2,4", "batching.allow_timeout_override=false", "cache.ttl_seconds=0.5")
    assert "in force" in run("endpoint", "set", "digits", *words, "capture=none").out
    assert planes.asked[-1] == (
        "PATCH /api/v1/endpoints/digits",
        {
            "batching": {"preferred_batch_size": [2, 4], "allow_timeout_override": False},
            "cache": {"ttl_seconds": 0.5},
            "capture": "none",
        },
    )


@pytest.mark.parametrize("word", ["batching", "=3", "batching.=3"])
def test_a_setting_of_an_endpoint_that_is_none(run: Run, word: str) -> None:
    ran = run("endpoint", "set", "digits", word)
    assert (ran.status, "is not SETTING=VALUE" in ran.err) == (2, True)


def test_stage(run: Run, planes: Planes) -> None:
    planes.says["POST /models/digits/stage"] = {"name": "digits", "version": 2, "stage": "Production"}
    found = run("stage", "digits", "2", "Production")
    assert found.status == 0, found.err
    assert planes.asked[0][1] == {"version": 2, "stage": "Production"}
    wrong = run("stage", "digits", "2", "Live")
    assert wrong.status == 2
    assert "Archived" in wrong.err


def test_predict(run: Run, planes: Planes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"result": [3], "trace_id": "tr-1", "model_version": 2, "latency_ms": 0.4}
    planes.says["POST /predict"] = answer
    found = run("predict", "digits", "[[0, 1]]", "--user", "ann")
    assert found.out == "[3]\n"
    assert "tr-1" in found.err
    (tmp_path / "rows.json").write_text("[[2, 3]]")
    assert run("predict", "digits", f"@{tmp_path / 'rows.json'}", "--json").json == answer | {
        "model_version": "2",
        "colour": "",
    }
    monkeypatch.setattr("sys.stdin", io.StringIO("[[4, 5]]"))
    run("predict", "digits", "-")
    assert [body["inputs"] for _, body in planes.asked] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    broken = run("predict", "digits", "[[0, 1]")
    assert broken.status == 2
    assert "is not JSON" in broken.err
    missing = run("predict", "digits", "@none.json")
    assert missing.status == 1
    assert "none.json" in missing.err


def test_feedback(run: Run, planes: Planes) -> None:
    planes.says["POST /feedback"] = {"trace_id": "tr-1", "feedback": ["fb_1", "fb_2"]}
    found = run("feedback", "tr-1", "--down", "--correct", "3", "--rater", "ann")
    assert found.out == "kept 2 on tr-1\n"
    assert planes.asked[0][1] == {"trace_id": "tr-1", "user_rating": False, "corrected_output": 3, "rater": "ann"}
    assert run("feedback", "tr-1").status == 2
    assert run("feedback", "tr-1", "--up", "--down").status == 2


def test_traces(run: Run, planes: Planes) -> None:
    call = {
        "trace_id": "tr-1",
        "time": 1.0,
        "endpoint": "digits",
        "variant": "v1",
        "version": 1,
        "status": "ok",
        "latency_ms": 1.234,
        "input": [[0] * 64],
        "output": [3],
        "error": "",
        "reason": "bucket",
    }
    planes.says["GET /api/v1/traces"] = {"traces": [call]}
    planes.says["GET /api/v1/traces/tr-1"] = {
        "call": call,
        "feedback": [{"name": "user_rating", "value": False, "comment": "", "rater": "ab12", "time": 2.0}],
    }
    assert "1.23" in run("traces", "--endpoint", "digits", "--status", "ok").out
    assert planes.asked[0][0] == "GET /api/v1/traces?endpoint=digits&status=ok&limit=20"
    found = run("traces", "tr-1")
    assert "user_rating" in found.out
    assert "ab12" in found.out
    assert run("traces", "tr-1", "--json").json["call"]["variant"] == "v1"
    assert run("traces", "--status", "good").status == 2


def test_export(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["GET /export"] = b"trace_id,label\ntr-1,3\n"
    file = tmp_path / "digits.csv"
    found = run("export", "digits", "--format", "csv", "--out", str(file), "--rating", "corrected", "--from", "5")
    assert found.status == 0, found.err
    assert file.read_text() == "trace_id,label\ntr-1,3\n"
    assert "ds_1" in found.err
    assert planes.asked[0][0] == "GET /export?model=digits&format=csv&rating=corrected&from=5"
    assert run("export", "digits", "-o", str(file), "--json").json["dataset"] == "ds_1"
    assert run("export", "digits", "--format", "xls").status == 2


def test_a_failed_export_leaves_no_file(run: Run, planes: Planes, tmp_path: Path) -> None:
    found = run("export", "none", "--out", str(tmp_path / "data.jsonl"))
    assert found.status == 1
    assert list(tmp_path.glob("*data.jsonl*")) == []


def test_status_and_down_where_nothing_runs(run: Run, tmp_path: Path) -> None:
    found = run("status", "--home", str(tmp_path))
    assert found.status == 3
    assert "headrace up" in found.out
    as_json = run("status", "--home", str(tmp_path), "--json")
    assert as_json.status == 3
    assert as_json.json["running"] is False
    down = run("down", "--home", str(tmp_path))
    assert down.status == 0
    assert "nothing runs" in down.out
    assert run("down", "--home", str(tmp_path), "--json").json["stopped"] is False


def test_logs(run: Run, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    entry = {
        "time": "2026-11-21T07:40:52.813+00:00",
        "level": "warning",
        "process": "data",
        "logger": "headrace.x",
        "message": "slow [disk]",
        "took": 3,
    }
    (logs / "data.log").write_text("old\n" + json.dumps(entry) + "\n")
    (logs / "mlflow.log").write_text("plain text\n")
    found = run("logs", "--home", str(tmp_path), "-n", "1")
    assert found.out.splitlines() == ["data       07:40:52.813 warning slow [disk] took=3", "mlflow     plain text"]
    assert json.loads(run("logs", "data", "--home", str(tmp_path), "-n", "1", "--json").out) == entry
    assert run("logs", "control", "--home", str(tmp_path)).status == 1
    wrong = run("logs", "dta", "--home", str(tmp_path))
    assert wrong.status == 2
    assert "data, control, mlflow, llm, supervisor" in wrong.err


def test_feedback_with_reasons_and_taken_back(run: Run, planes: Planes) -> None:
    planes.says["POST /feedback"] = {"trace_id": "tr-1", "feedback": ["fb_1"]}
    assert run("feedback", "give", "tr-1", "--down", "--reason", "slow", "--reason", "long").status == 0
    assert planes.asked[-1][1] == {"trace_id": "tr-1", "user_rating": False, "reasons": ["slow", "long"]}
    assert run("feedback", "tr-1", "--comment", "x", "--reason", "slow").status == 2
    assert run("feedback", "withdraw", "tr-1", "--comment", "--rater", "ann").status == 0
    assert planes.asked[-1][1] == {"trace_id": "tr-1", "withdraw": ["comment"], "rater": "ann"}
    assert run("feedback", "withdraw", "tr-1").status == 0
    assert planes.asked[-1][1] == {"trace_id": "tr-1", "withdraw": True}


def test_feedback_from_a_file_goes_on_where_it_was(run: Run, planes: Planes, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = "".join(f'tr-{n},up,"[{n}]",,slow; long,ann,,5\n' for n in range(700))
    file.write_text(f"trace_id,user_rating,corrected_output,comment,reasons,rater,source,time\n{rows}")
    broken = (503, {"error": {"type": "unavailable", "message": "full"}})
    first = {"accepted": 499, "errors": [{"row": 3, "field": "time", "message": "wrong", "hint": None}]}
    planes.says["POST /feedback/batch"] = [first, broken]
    assert run("feedback", "upload", str(file)).status == 3
    planes.says["POST /feedback/batch"] = {"accepted": 200, "errors": []}
    again = run("feedback", "upload", str(file), "--json")
    assert again.json == {
        "file": str(file),
        "rows": 700,
        "accepted": 699,
        "wrong": 1,
        "errors": f"{file}.errors.jsonl",
    }
    assert len(planes.asked[-1][1]["feedback"]) == 200
    sent = planes.asked[0][1]["feedback"]
    assert sent[1] == {
        "trace_id": "tr-1",
        "user_rating": True,
        "corrected_output": [1],
        "reasons": ["slow", "long"],
        "rater": "ann",
        "time": 5.0,
    }
    wrong = [json.loads(line) for line in (tmp_path / "labels.csv.errors.jsonl").read_text().splitlines()]
    assert [(w["row"], w["field"]) for w in wrong] == [(4, "time")]
    assert sorted(p.name for p in tmp_path.iterdir() if "progress" in p.name) == []


def test_feedback_from_lines_and_files_that_are_none(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["POST /feedback/batch"] = {"accepted": 1, "errors": []}
    file = tmp_path / "labels.jsonl"
    file.write_text('{"trace_id": "tr-1", "comment": "x"}\nnot json\n\n5\n')
    found = run("feedback", "upload", str(file))
    assert found.status == 1
    assert "kept 1 of 3 rows" in found.out
    assert [json.loads(line)["row"] for line in (tmp_path / "labels.jsonl.errors.jsonl").read_text().splitlines()] == [
        2,
        3,
    ]
    (tmp_path / "odd.csv").write_text("trace_id,colour\n")
    (tmp_path / "less.csv").write_text("comment\n")
    for name, word in (("odd.csv", "colour"), ("less.csv", "trace_id"), ("none.csv", "none.csv"), ("x.xls", "x.xls")):
        refused = run("feedback", "upload", str(tmp_path / name))
        assert refused.status == 2
        assert word in refused.err


def test_list_feedback(run: Run, planes: Planes) -> None:
    said = {"name": "user_rating", "trace_id": "tr-1", "value": None, "withdrawn": True, "rater": "ab", "time": 2.0}
    planes.says["GET /api/v1/feedback"] = {"feedback": [said]}
    planes.says["GET /api/v1/feedback/tr-1"] = {"feedback": [said, said]}
    assert "taken back" in run("feedback", "list", "--name", "user_rating").out
    assert len(run("feedback", "list", "--trace", "tr-1", "--json").json) == 2


VERSION = {
    "id": "ds_0123456789abcdef",
    "name": "digits",
    "number": 2,
    "created": 2.0,
    "rows": 12,
    "corrected": 3,
    "files": [{"split": "train", "rows": 9}, {"split": "critique", "rows": 3}],
    "report": {
        "rules": [
            {"name": "raters", "on": True, "seen": 14, "kept": 13, "changed": 0, "why": {"flips labels": 1}},
            {"name": "praise", "on": False, "seen": 13, "kept": 13, "changed": 0, "why": {}},
        ],
        "distrusted": {"mallory": "flips labels"},
        "disputed": ["tr-7"],
        "misfits": 1,
    },
}


def test_make_and_show_a_dataset(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/datasets"] = (201, VERSION)
    planes.says["GET /api/v1/datasets"] = {"datasets": [VERSION]}
    planes.says["GET /api/v1/datasets/digits%402"] = VERSION
    found = run("dataset", "make", "digits", "--off", "praise", "--rule", "cap.rows=50", "--from", "2026-01-01")
    assert planes.asked[-1][1] == {
        "model": "digits",
        "since": "2026-01-01",
        "rules": {"praise": False, "cap": {"rows": 50.0}},
    }
    for word in ("digits@2", "train 9", "praise (off)", "flips labels: 1", "not believed: mallory"):
        assert word in found.out
    assert "1 disputed" in found.err
    assert "digits@2" in run("dataset", "list").out
    assert run("dataset", "show", "digits@2", "--json").json == VERSION
    for wrong in ("cap", "cap.rows", "cap.rows=many", "=3"):
        assert run("dataset", "make", "digits", "--rule", wrong).status == 2
    assert run("dataset", "make", "digits", "--off", "cap", "--rule", "cap.rows=5").status == 2


def test_rows_diff_and_origin_of_a_dataset(run: Run, planes: Planes, tmp_path: Path) -> None:
    base = "GET /api/v1/datasets/digits%402"
    row = {
        "row": "row_1",
        "trace_id": "tr-1",
        "inputs": [1],
        "output": 2,
        "label": 3,
        "critique": None,
        "rule": "corrections",
    }
    planes.says[f"{base}/rows"] = {"rows": [row], "of": 1}
    planes.says[f"{base}/file"] = b'{"row": "row_1"}\n'
    origin = {"split": "train", "index": 0, "time": 2.0, "endpoint": "digits", "version": 1, "feedback": ["fb_1"]}
    planes.says[f"{base}/diff"] = {
        "added": 1,
        "removed": 0,
        "changed": 1,
        "same": 7,
        "added_rows": [row | origin],
        "removed_rows": [],
        "changed_rows": [{"row": "row_2", "trace_id": "tr-2", "before": {"label": 3}, "after": {"label": 4}}],
    }
    word = {"id": "fb_1", "name": "corrected_output", "value": 3, "rater": "ab", "time": 2.0}
    planes.says[f"{base}/origin"] = {
        "origin": row | origin,
        "values": row,
        "call": None,
        "words": [word | {"time": 1.0, "value": 9}, word],
    }
    assert "row_1" in run("dataset", "rows", "digits@2").out
    out = tmp_path / "train.jsonl"
    assert run("dataset", "rows", "digits@2", "--out", str(out)).status == 0
    assert out.read_text() == '{"row": "row_1"}\n'
    told = run("dataset", "diff", "digits@1", "digits@2").out
    assert "1 added, 0 removed, 1 changed, 7 same" in told
    assert "label 3 → 4" in told
    traced = run("dataset", "where-from", "digits@2", "row_1")
    for part in ("tr-1, row 0", "by the rule corrections", "changed later", "in this row"):
        assert part in traced.out
    assert "past the journal's retention" in traced.err
