"""The command line in this process, against planes that answer as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_planes import Planes, Ran

from headrace.cli.main import main


@pytest.fixture
def planes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Planes]:
    found = Planes()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = str(found.server.server_address[1])
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_PORT", port)
    monkeypatch.setenv("HEADRACE_CONTROL_PORT", port)
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ran]:
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "none.yaml"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        code = ended.value.code
        return Ran(status=code if isinstance(code, int) else int(code is not None), out=said.out, err=said.err)

    return call
