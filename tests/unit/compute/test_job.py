"""A job gets no secrets, keeps its limits, reports progress, and its failure says why."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from headrace.compute.job import run_job
from headrace.types.errors import ModelFailed

PROLOGUE = """
import sys, os, json
from headrace.compute.job import Report
report = Report()
data = sys.stdin.buffer.read()
"""


def program(body: str) -> list[str]:
    return [sys.executable, "-c", PROLOGUE + body]


def test_gives_back_the_result_and_the_progress_lines() -> None:
    lines: list[str] = []
    body = "report.progress('half way'); report.progress('two\\nlines'); report.result(data[::-1])"
    assert run_job(program(body), b"abc", timeout=30, memory_mb=1024, on_progress=lines.append) == b"cba"
    assert lines == ["half way", "two lines"]


def test_what_libraries_print_does_not_disturb_the_result() -> None:
    body = "print('result 3'); os.write(1, b'result 1\\nx'); report.result(b'the one')"
    assert run_job(program(body), b"", timeout=30, memory_mb=1024) == b"the one"


def test_payload_and_result_may_be_large() -> None:
    payload = b"x" * 3_000_000
    assert run_job(program("report.result(data)"), payload, timeout=30, memory_mb=1024) == payload


def test_nobody_waits_for_a_child_that_has_answered() -> None:
    start = time.monotonic()
    assert run_job(program("report.result(b'x'); import time; time.sleep(60)"), b"", timeout=50, memory_mb=1024) == b"x"
    assert time.monotonic() - start < 25


def test_child_sees_no_secret_and_has_an_empty_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_ADMIN_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "s3cret")
    body = (
        "group = '/proc/self/autogroup'; session = open(group).read() if os.path.exists(group) else ''\n"
        "told = [dict(os.environ), os.listdir(os.environ['HOME']), os.nice(0), session]\n"
        "report.result(json.dumps(told).encode())"
    )
    env, home, nice, session = json.loads(run_job(program(body), b"", timeout=30, memory_mb=1024, env={"EXTRA": "1"}))
    assert "s3cret" not in env.values()
    assert "PATH" in env
    assert env["EXTRA"] == "1"
    assert home == []
    assert nice >= 10
    assert not session or session.endswith("nice 10\n"), "alone in a session, a process is nice to nobody"


def test_failure_quotes_what_the_child_said() -> None:
    with pytest.raises(ModelFailed, match=r"(?s)status 1 and no result.*ZeroDivisionError"):
        run_job(program("1 / 0"), b"", timeout=30, memory_mb=1024)


def test_no_result_is_a_failure_even_with_status_zero() -> None:
    with pytest.raises(ModelFailed, match="status 0 and no result"):
        run_job(program("pass"), b"", timeout=30, memory_mb=1024)


def test_result_cut_short_is_a_failure() -> None:
    with pytest.raises(ModelFailed, match="no result"):
        run_job(program("report._out.write(b'result 10\\nabc')"), b"", timeout=30, memory_mb=1024)


def test_memory_limit_holds() -> None:
    with pytest.raises(ModelFailed, match=r"(?s)memory limit is 512 MiB.*MemoryError"):
        run_job(program("x = bytearray(2_000_000_000)"), b"", timeout=30, memory_mb=512)


def test_time_limit_holds_also_for_what_the_child_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 600 & echo $! > '{pid_file}'; wait"]
    with pytest.raises(ModelFailed, match="longer than 2 s"):
        run_job(command, b"", timeout=2, memory_mb=1024)
    assert gone(int(pid_file.read_text()))


def test_killed_child_names_the_signal() -> None:
    with pytest.raises(ModelFailed, match="killed by SIGSEGV"):
        run_job(program("import signal; os.kill(os.getpid(), signal.SIGSEGV)"), b"", timeout=30, memory_mb=1024)


def test_child_that_dies_before_it_reads_is_reported() -> None:
    with pytest.raises(ModelFailed, match="status 3"):
        run_job([sys.executable, "-c", "import os; os._exit(3)"], b"x" * 1_000_000, timeout=30, memory_mb=1024)


def gone(pid: int) -> bool:
    """True once the kernel has no such process, or only its unreaped remains."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
