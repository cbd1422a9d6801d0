"""A task as a Kubernetes Job, asked for with `kubectl`.

Options: `image` (with Python, Headrace and what the program imports), `claim` (a PersistentVolumeClaim that holds the
folder of the flywheel's data) and `mount` (where that claim is mounted here; the pod mounts it at the same path), and,
as the cluster needs them, `namespace`, `context`, `service_account`, `queue` (of Kueue), `node_selector`.

The Job's name comes from the task's id: after we were killed, the same task finds the Job that runs, and waits for it.
Credentials are kubectl's own. No secret travels in the manifest: `env` holds what the flywheel says in plain.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from headrace.compute.executors.base import OnLine, Stopped, Task, tail_of
from headrace.types.errors import BadInput, ModelFailed, Unavailable, UpstreamError

LOOK_SECONDS = 2.0
ASK_SECONDS = 30.0
KEEP_SECONDS = 86_400  # that the cluster keeps an ended Job


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesExecutor:
    image: str
    claim: str
    mount: str
    namespace: str = "default"
    context: str = ""
    service_account: str = ""
    queue: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    kubectl: str = "kubectl"
    look_seconds: float = LOOK_SECONDS

    def run(self, task: Task, *, on_line: OnLine, stop: Event) -> None:
        self._ask(["apply", "-f", "-"], json.dumps(self.manifest(task)).encode())
        told = 0
        while True:
            job = json.loads(self._ask(["get", "job", name_of(task), "-o", "json"]))
            said = self._log(task)
            for line in said.splitlines()[told:]:
                on_line(line)
            told = max(told, len(said.splitlines()))
            if (ended := ending(job)) is not None:
                if ended:
                    raise ModelFailed(f"{' '.join(task.argv)!r} failed as a Kubernetes Job: {ended}" + tail_of(said))
                return
            if stop.wait(self.look_seconds):
                raise Stopped

    def forget(self, task: Task) -> None:
        self._ask(["delete", "job", name_of(task), "--ignore-not-found", "--wait=false"])

    def manifest(self, task: Task) -> dict[str, Any]:
        """One pod, once: trying again is for the turn to decide."""
        if not task.folder.is_relative_to(Path(self.mount)):
            raise BadInput(
                f"{str(task.folder)!r} is not below the mount {self.mount!r} of the claim {self.claim!r}",
                field="mount",
                hint="keep the platform's data folder on the volume of that claim",
            )
        labels = {"app.kubernetes.io/managed-by": "headrace", "headrace/task": name_of(task)}
        pod: dict[str, Any] = {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self._container(task)],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": self.claim}}],
        }
        pod |= {"serviceAccountName": self.service_account} if self.service_account else {}
        pod |= {"automountServiceAccountToken": False} if not self.service_account else {}
        pod |= {"nodeSelector": dict(self.node_selector)} if self.node_selector else {}
        queue = {"kueue.x-k8s.io/queue-name": self.queue} if self.queue else {}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name_of(task), "namespace": self.namespace, "labels": labels | queue},
            "spec": {
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "activeDeadlineSeconds": max(1, round(task.timeout_seconds)),
                "ttlSecondsAfterFinished": KEEP_SECONDS,
                **({"suspend": True} if self.queue else {}),
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }

    def _container(self, task: Task) -> dict[str, Any]:
        limits: dict[str, Any] = {"memory": f"{task.memory_mb}Mi", "cpu": str(task.cpus)}
        limits |= {"nvidia.com/gpu": str(task.gpus)} if task.gpus else {}
        return {
            "name": "task",
            "image": self.image,
            "command": list(task.argv),
            "workingDir": str(task.folder),
            "env": [{"name": name, "value": value} for name, value in sorted(task.env.items())],
            "resources": {"requests": dict(limits), "limits": limits},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "data", "mountPath": self.mount}],
        }

    def _log(self, task: Task) -> str:
        """Empty while the pod waits for a node."""
        done = self._call(["logs", f"job/{name_of(task)}", "--tail=-1"], b"")
        return done.stdout.decode(errors="replace") if done.returncode == 0 else ""

    def _ask(self, words: Sequence[str], given: bytes = b"") -> str:
        done = self._call(words, given)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise UpstreamError(f"kubectl {words[0]} {words[1]}: {said or f'status {done.returncode}'}")
        return done.stdout.decode(errors="replace")

    def _call(self, words: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
        context = ["--context", self.context] if self.context else []
        argv = [self.kubectl, *context, "--namespace", self.namespace, *words]
        try:
            return subprocess.run(argv, input=given, capture_output=True, timeout=ASK_SECONDS, check=False)
        except FileNotFoundError as error:
            raise Unavailable(f"the executor 'kubernetes' needs {self.kubectl!r}, which is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise UpstreamError(f"kubectl {words[0]} took longer than {ASK_SECONDS:g} s") from error


def name_of(task: Task) -> str:
    """A DNS label of 63 characters at most, the same for the same task."""
    return "headrace-" + re.sub(r"[^a-z0-9-]+", "-", task.id.lower()).strip("-")[:54].rstrip("-")


def ending(job: Mapping[str, Any]) -> str | None:
    """None while it is not over; empty when it went well; else why it did not."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition.get("status") != "True":
            continue
        if condition.get("type") in ("Complete", "SuccessCriteriaMet"):
            return ""
        if condition.get("type") in ("Failed", "FailureTarget"):
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ") or "failed"
    return None


def make(options: dict[str, Any]) -> KubernetesExecutor:
    names = "image, claim, mount, namespace, context, service_account, queue, node_selector"
    try:
        return KubernetesExecutor(**options)
    except TypeError as error:
        raise BadInput(f"options of the executor kubernetes: {error}; there are: {names}", field="options") from error
