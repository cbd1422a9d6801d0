"""Which programs a platform is made of, and what they are given."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.cli.options import urls_of
from headrace.cli.platform import Report, control_child, data_child, mlflow_child, need_packages, run
from headrace.compute.lock import Holder, HomeLock
from headrace.compute.ports import listen, port_of
from headrace.types.errors import Conflict, Unavailable


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as bound:
        yield bound


def settings(folder: Path, **changes: object) -> Settings:
    options: dict[str, object] = {
        "home": folder,
        "admin_token": Secret("t0ken"),
        "mlflow_uri": "http://127.0.0.1:9/mlflow",
    }
    return Settings(**(options | changes))  # type: ignore[arg-type]


def test_planes_get_settings_and_socket(tmp_path: Path, server: socket.socket) -> None:
    ours = settings(tmp_path, port=port_of(server))
    data, control = data_child(ours, server), control_child(ours, server)
    assert data.argv[1:] == ("-m", "headrace.app.data", "--fd", str(server.fileno()))
    assert control.argv[1:] == ("-m", "headrace.app.control", "--fd", str(server.fileno()))
    assert data.fds == control.fds == (server.fileno(),)
    assert data.env["HEADRACE_PORT"] == str(port_of(server))
    assert control.env["HEADRACE_MLFLOW_URI"] == "http://127.0.0.1:9/mlflow"
    assert data.ready_url == urls_of(ours)["data"] + "/health/live"
    assert data.vital
    assert not control.vital, "the data plane serves on without it"


def test_mlflow_gets_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_ADMIN_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI", "_MLFLOW_STATIC_PREFIX"):
        monkeypatch.setenv(name, "x")
    child = mlflow_child(settings(tmp_path), 9)
    assert not [name for name in child.env if name.startswith("HEADRACE_")]
    assert "MLFLOW_TRACKING_URI" not in child.env
    assert "MLFLOW_BACKEND_STORE_URI" not in child.env
    assert child.env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert child.env["PATH"] == os.environ["PATH"]
    words = " ".join(child.argv)
    assert "--workers 1 " in words
    assert "--static-prefix /mlflow" in words
    assert f"sqlite:///{tmp_path}/mlflow/mlflow.db" in words
    assert child.wave > data_wave(tmp_path)


def data_wave(folder: Path) -> int:
    with listen("127.0.0.1", 0) as bound:
        return data_child(settings(folder), bound).wave


def test_mlflow_database_is_in_wal_mode_before_it_is_filled(tmp_path: Path) -> None:
    mlflow_child(settings(tmp_path), 9)
    connection = sqlite3.connect(tmp_path / "mlflow" / "mlflow.db")
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.platform.find_spec", lambda name: None if name == "nicegui" else object())
    with pytest.raises(Unavailable, match="needs nicegui") as caught:
        need_packages(settings(tmp_path))
    assert "headrace[all]" in (caught.value.hint or "")


def test_second_up_on_the_folder(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "run" / "lock")
    lock.acquire(Holder(pid=4242, started=1.0, urls={"data": "http://127.0.0.1:8000"}))
    try:
        with pytest.raises(Conflict, match=r"pid 4242, data http://127\.0\.0\.1:8000"):
            run(settings(tmp_path), Report())
    finally:
        lock.release()


@pytest.mark.parametrize(("setting", "option"), [("port", "--port"), ("control_port", "--control-port")])
def test_taken_port_names_the_option_and_gives_the_lock_back(
    tmp_path: Path, server: socket.socket, setting: str, option: str
) -> None:
    ports = {"port": 0, "control_port": 0, setting: port_of(server)}
    with pytest.raises(Conflict, match=f"pid {os.getpid()}") as caught:
        run(settings(tmp_path, **ports), Report())
    assert option in (caught.value.hint or "")
    HomeLock(tmp_path / "run" / "lock").acquire(Holder(pid=1, started=1.0))
