"""Settings, ids, files, secrets and logs."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base import log as logs
from headrace.base.clock import ManualClock, SystemClock
from headrace.base.files import file_sha256, tree_sha256, write_atomic
from headrace.base.ids import TraceIds, keyed_hash, load_key, new_id
from headrace.base.secret import MASK, Secret
from headrace.base.settings import Settings, SettingsError, load_settings

KEY = b"k" * 32


# --- settings


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("port: 9001\ncontrol_port: 9002\nlog_level: debug\n")
    settings = load_settings(file=file, env={"HEADRACE_PORT": "9101"}, log_level="error", host=None)
    assert (settings.port, settings.control_port, settings.log_level) == (9101, 9002, "error")
    assert settings.host == "127.0.0.1"


def test_settings_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("")
    assert load_settings(env={"HEADRACE_CONFIG": str(file)}) == load_settings(env={})


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("prot: 1", ["'prot'", "port"]),
        ("port: many", ["port", "'many'", "int"]),
        ("port: 70000", ["port", "70000", "65535"]),
        ("log_level: loud", ["log_level", "'loud'", "debug"]),
        ("- port", ["list"]),
        ("port: [", ["not YAML"]),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str, names: list[str]) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(file=file, env={})
    assert all(name in str(caught.value) for name in names)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.yaml"):
        load_settings(file=tmp_path / "gone.yaml")


def test_a_child_reads_what_its_parent_had(tmp_path: Path) -> None:
    parent = load_settings(env={}, home=tmp_path, admin_token=Secret("s3cret"), mlflow_sample=0.5, database_url="x://y")
    child = load_settings(env=parent.environment())
    assert child.admin_token.reveal() == "s3cret"
    assert (child.home, child.mlflow_sample, child.database) == (tmp_path, 0.5, "x://y")


def test_folders_lie_below_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/headrace.db"
    for folder in (settings.journal, settings.artifacts, settings.keys, settings.run, settings.logs):
        assert folder.parent == tmp_path


# --- ids


@given(st.integers(min_value=0, max_value=2**47))
def test_a_trace_id_tells_when_it_was_issued(milliseconds: int) -> None:
    ids = TraceIds(KEY)
    assert ids.issued(ids.mint(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=0.0011)


@given(st.integers(min_value=0, max_value=31), st.sampled_from("0123456789abcdef"))
def test_a_changed_trace_id_is_not_ours(position: int, digit: str) -> None:
    ids = TraceIds(KEY)
    good = ids.mint(1.7e9)
    bad = good[: 3 + position] + digit + good[4 + position :]
    assert (ids.issued(bad) is None) == (bad != good)


@pytest.mark.parametrize(
    "text", ["", "tr-", "tr-" + "0" * 32, "tr-" + "z" * 32, "xx-" + "0" * 32, "tr-" + "0" * 31 + " "]
)
def test_other_texts_are_not_trace_ids(text: str) -> None:
    assert TraceIds(KEY).issued(text) is None


def test_another_installation_does_not_know_our_ids() -> None:
    assert TraceIds(b"o" * 32).issued(TraceIds(KEY).mint(1.7e9)) is None


def test_trace_ids_sort_by_time_and_differ() -> None:
    ids = TraceIds(KEY)
    minted = [ids.mint(1.7e9 + n) for n in range(50)]
    assert minted == sorted(minted)
    assert len({ids.mint(1.7e9) for _ in range(1000)}) == 1000


def test_ids_are_prefixed_and_differ() -> None:
    made = {new_id("rel") for _ in range(1000)}
    assert len(made) == 1000
    assert all(name.startswith("rel_") and len(name) == 20 for name in made)


def test_a_person_is_a_keyed_hash() -> None:
    assert keyed_hash(KEY, "ann") == keyed_hash(KEY, "ann") != keyed_hash(b"o" * 32, "ann")
    assert "ann" not in keyed_hash(KEY, "ann")


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    seen: list[bytes] = []
    threads = [threading.Thread(target=lambda: seen.append(load_key(tmp_path / "keys" / "trace"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    assert len(seen[0]) == 32
    assert (tmp_path / "keys" / "trace").stat().st_mode & 0o077 == 0


# --- files


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_tree_hash_sees_content_names_and_additions(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "sub" / "b").write_bytes(b"2")
    hashes = [tree_sha256(tmp_path)]
    (tmp_path / "a").write_bytes(b"3")
    hashes.append(tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "c")
    hashes.append(tree_sha256(tmp_path))
    (tmp_path / "d").touch()
    hashes.append(tree_sha256(tmp_path))
    assert len(set(hashes)) == 4
    assert file_sha256(tmp_path / "d") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# --- secrets and logs


def test_a_secret_hides_everywhere() -> None:
    secret = Secret("hunter2")
    shown = (
        f"{secret} {secret!r} {secret:>20} {Settings(admin_token=secret)} {pickle.loads(pickle.dumps(secret)).reveal()}"
    )
    assert "hunter2" not in shown
    assert MASK in shown
    assert secret.matches("hunter2")
    assert not secret.matches("hunter3")
    assert not Secret("")
    assert str(Secret("")) == ""
    assert repr(Secret("")) == "Secret('')"


def test_a_log_line_is_json_with_the_trace_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.setup_log("data", "info")
        token = logs.trace.set("tr-1")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("headrace.x").exception(
                "failed", extra=logs.fields(key=Secret("hunter2"), endpoint="digits")
            )
        finally:
            logs.trace.reset(token)
        logging.getLogger("headrace.x").info("fine")
    finally:
        root.handlers[:], root.level = handlers, level
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["trace_id"] == "tr-1"
    assert first["endpoint"] == "digits"
    assert first["key"] == MASK
    assert "boom" in first["exception"]
    assert second["message"] == "fine"
    assert "trace_id" not in second


def test_clocks() -> None:
    clock = ManualClock(5.0)
    clock.move(2.5)
    assert clock.now() == clock.steady() == 7.5
    system = SystemClock()
    assert system.steady() <= system.steady()
    assert system.now() > 1.6e9
