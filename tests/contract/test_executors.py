"""Every executor does the same with a task: lines come, files come back, it fails with its last words, it stops.

Kubernetes is a played kubectl that runs the Job's command here; Ray's part that runs on the cluster is called directly.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Event, Timer

import pytest

from headrace.compute.executors.base import Executor, Stopped, Task
from headrace.compute.executors.kubernetes import KubernetesExecutor, ending, name_of
from headrace.compute.executors.process import ProcessExecutor
from headrace.compute.executors.ray import RayExecutor, pack, run_packed, unpack
from headrace.compute.executors.registry import executor_of
from headrace.types.errors import BadInput, ModelFailed, Unavailable, UpstreamError
from headrace.types.turn import ExecutorName

KUBECTL = """\
#!{python}
import json, pathlib, subprocess, sys
place = pathlib.Path(__file__).parent
words = [w for w in sys.argv[1:]]
verb = next(w for w in words if w in ("apply", "get", "logs", "delete"))
job, log = place / "job.json", place / "log.txt"
if verb == "apply":
    made = json.load(sys.stdin)
    if not job.exists():
        job.write_text(json.dumps(made))
        box = made["spec"]["template"]["spec"]["containers"][0]
        argv = [sys.executable if w == "python" else w for w in box["command"]]
        done = subprocess.run(argv, cwd=box["workingDir"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        log.write_bytes(done.stdout)
        made["status"] = {{"conditions": [{{"type": "Failed" if done.returncode else "Complete", "status": "True",
                                           "reason": "BackoffLimitExceeded"}}]}}
        job.write_text(json.dumps(made))
        with (place / "begun").open("a") as file:
            file.write("x")
elif verb == "get":
    print(job.read_text())
elif verb == "logs":
    print(log.read_text(), end="")
else:
    job.unlink(missing_ok=True)
"""


def task(folder: Path, code: str, **changes: object) -> Task:
    folder.mkdir(exist_ok=True)
    (folder / "out").mkdir(exist_ok=True)
    values = {"timeout_seconds": 60.0, "memory_mb": 4096} | changes
    return Task(id="train-turn_X/1", argv=("python", "-c", code), folder=folder, **values)  # type: ignore[arg-type]


@pytest.fixture(params=["process", "kubernetes"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Executor:
    if request.param == "process":
        return ProcessExecutor()
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    return KubernetesExecutor(
        image="headrace:1", claim="data", mount=str(tmp_path), kubectl=str(kubectl), look_seconds=0.01
    )


def test_it_runs_and_tells(executor: Executor, tmp_path: Path) -> None:
    lines: list[str] = []
    made = task(tmp_path / "task", "print('one'); print('two'); open('out/made', 'w').write('3')")
    executor.run(made, on_line=lines.append, stop=Event())
    assert lines == ["one", "two"]
    assert (made.folder / "out" / "made").read_text() == "3"


def test_its_last_words(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match="no such column"):
        executor.run(task(tmp_path / "task", "raise SystemExit('no such column')"), on_line=print, stop=Event())


def test_a_child_is_stopped_and_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Event()
    forever = "import time\nwhile True: time.sleep(0.05)"
    timer = Timer(0.3, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        ProcessExecutor().run(task(tmp_path / "task", forever), on_line=print, stop=stop)
    with pytest.raises(ModelFailed, match=r"took longer than 0\.5 s"):
        ProcessExecutor().run(task(tmp_path / "task", forever, timeout_seconds=0.5), on_line=print, stop=Event())
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", "canary")
    lines: list[str] = []
    ProcessExecutor().run(
        task(tmp_path / "task", "import os; print(dict(os.environ))", env={"MINE": "yes"}),
        on_line=lines.append,
        stop=Event(),
    )
    assert "canary" not in lines[0]
    assert "MINE" in lines[0]


def test_a_job_is_found_again(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    made = KubernetesExecutor(image="i", claim="c", mount=str(tmp_path), kubectl=str(kubectl), look_seconds=0.01)
    one = task(tmp_path / "task", "pass")
    made.run(one, on_line=print, stop=Event())
    made.run(one, on_line=print, stop=Event())
    assert (tmp_path / "begun").read_text() == "x", "the same task is the same Job"
    made.forget(one)
    assert not (tmp_path / "job.json").exists()


def test_the_manifest(tmp_path: Path) -> None:
    made = KubernetesExecutor(
        image="i", claim="c", mount=str(tmp_path), queue="gpus", service_account="s", node_selector={"a": "b"}
    )
    found = made.manifest(task(tmp_path / "task", "pass", gpus=2, env={"B": "2", "A": "1"}))
    json.dumps(found)
    pod = found["spec"]["template"]["spec"]
    box = pod["containers"][0]
    assert found["metadata"]["name"] == "headrace-train-turn-x-1"
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert found["spec"]["suspend"] is True
    assert found["spec"]["backoffLimit"] == 0
    assert box["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert [each["name"] for each in box["env"]] == ["A", "B"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    with pytest.raises(BadInput, match="not below the mount"):
        made.manifest(task(Path("/tmp"), "pass"))
    assert len(name_of(Task(id="x" * 200, argv=("a",), folder=tmp_path, timeout_seconds=1, memory_mb=1))) <= 63


def test_the_manifest_is_what_kubernetes_takes() -> None:
    """Against the cluster's own schemas, strictly: no field that it does not know."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="108 MB of schemas: pip install kubernetes-validate==1.37.0"
    )
    plain = KubernetesExecutor(image="i", claim="c", mount="/data")
    full = KubernetesExecutor(
        image="i", claim="c", mount="/data", queue="gpus", service_account="s", node_selector={"a": "b"}
    )
    asked = Task(
        id="train-turn_X/1", argv=("python", "a.py"), folder=Path("/data/x"), timeout_seconds=60, memory_mb=9, gpus=2
    )
    for made in (plain, full):
        manifest = made.manifest(asked)
        for version in ("1.27", "1.32", validate.latest_version()):
            validate.validate(manifest, version, strict=True)
        manifest["spec"]["template"]["spec"]["volume"] = []
        with pytest.raises(validate.ValidationError):
            validate.validate(manifest, validate.latest_version(), strict=True)


def test_on_a_real_ray(tmp_path: Path) -> None:
    """One node on this machine, which takes half a minute to start."""
    ray = pytest.importorskip("ray", reason="heavy: pip install 'headrace[ray]', then run this test alone")
    made = RayExecutor()
    try:
        given, lines = (
            task(tmp_path / "task", "print('one'); open('out/made', 'w').write('3')", memory_mb=256),
            list[str](),
        )
        made.run(given, on_line=lines.append, stop=Event())
        assert (lines, (given.folder / "out" / "made").read_text()) == (["one"], "3")
        with pytest.raises(ModelFailed, match="no such column"):
            made.run(
                task(tmp_path / "bad", "raise SystemExit('no such column')", memory_mb=256), on_line=print, stop=Event()
            )
        stop = Event()
        Timer(2.0, stop.set).start()
        with pytest.raises(Stopped):
            made.run(task(tmp_path / "long", "import time; time.sleep(600)", memory_mb=256), on_line=print, stop=stop)
    finally:
        ray.shutdown()


def test_how_a_job_ends() -> None:
    assert ending({}) is None
    assert ending({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}) is None
    assert ending({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}) == ""
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too slow"}
    assert ending({"status": {"conditions": [failed]}}) == "DeadlineExceeded: too slow"


def test_without_kubectl_or_ray(tmp_path: Path) -> None:
    made = KubernetesExecutor(image="i", claim="c", mount=str(tmp_path), kubectl=str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="is not installed"):
        made.run(task(tmp_path / "task", "pass"), on_line=print, stop=Event())
    broken = tmp_path / "broken"
    broken.write_text(f"#!{sys.executable}\nraise SystemExit('connection refused')")
    broken.chmod(0o755)
    made = KubernetesExecutor(image="i", claim="c", mount=str(tmp_path), kubectl=str(broken))
    with pytest.raises(UpstreamError, match="connection refused"):
        made.run(task(tmp_path / "task", "pass"), on_line=print, stop=Event())


def test_what_ray_runs(tmp_path: Path) -> None:
    there = task(tmp_path / "there", "print('hello'); open('out/made', 'w').write(open('given').read() * 2)")
    (there.folder / "given").write_text("ab")
    code, said, made = run_packed(pack(there.folder), there.argv, {}, 30.0)
    assert (code, said) == (0, "hello\n")
    back = tmp_path / "back"
    back.mkdir()
    unpack(made, back)
    assert (back / "out" / "made").read_text() == "abab"
    assert run_packed(pack(there.folder), ("python", "-c", "raise SystemExit(3)"), {}, 30.0)[0] == 3


@pytest.mark.parametrize("name", [ExecutorName.RAY, ExecutorName.KUBERNETES, ExecutorName.PROCESS])
def test_an_option_that_is_not(name: ExecutorName) -> None:
    with pytest.raises(BadInput, match="nonsense"):
        executor_of(name, {"nonsense": 1})
