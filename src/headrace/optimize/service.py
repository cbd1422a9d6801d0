"""From a service elsewhere to a package: its signature, and how to reach it.

Called by release.ready, in a thread of the control plane. Decides what a service must say of itself before it gets
traffic: another V2 server tells its signature and whether it takes tensors as bytes; of a JSON service the signature is
declared, and its mapping must fit. A chat model is its description. Nothing is predicted here: a call may cost money.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from headrace.base.clock import Clock
from headrace.gateway.board import FILE as CHAT_FILE
from headrace.serving.codec import dtype_of
from headrace.serving.runtimes.legacy import FILE as LEGACY_FILE
from headrace.serving.runtimes.legacy import LegacyModel
from headrace.serving.runtimes.remote import FILE as REMOTE_FILE
from headrace.serving.runtimes.upstream import secret_of
from headrace.store.artifacts import Artifacts
from headrace.types.errors import BadInput, ModelRefused, UpstreamError
from headrace.types.gateway import Chat
from headrace.types.model import Datatype, Layout, ModelVersion, Package, RuntimeKind, Signature, TensorSpec
from headrace.types.upstream import Legacy, Remote

ASK_SECONDS = 10.0
BINARY = "binary_tensor_data"  # the extension's name


# A conversation in, an answer out; its form is its dialect's business.
SPOKEN = Signature(
    inputs=(TensorSpec(name="messages", datatype=Datatype.BYTES, shape=(-1,)),),
    outputs=(TensorSpec(name="text", datatype=Datatype.BYTES, shape=(-1,)),),
    layout=Layout.COLUMNS,
)
_FORMS: dict[type, tuple[RuntimeKind, str]] = {
    Remote: (RuntimeKind.REMOTE, REMOTE_FILE),
    Legacy: (RuntimeKind.LEGACY, LEGACY_FILE),
    Chat: (RuntimeKind.CHAT, CHAT_FILE),
}


class _Described(msgspec.Struct):
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class _Server(msgspec.Struct):
    extensions: list[str] = []


def prepare_service(
    what: Remote | Legacy | Chat,
    version: ModelVersion,
    *,
    artifacts: Artifacts,
    work: Path,
    progress: Callable[[str], None],
    clock: Clock,
) -> Package:
    """Raises UpstreamError when it is away or answers nonsense, ModelRefused when it cannot be served."""
    if isinstance(what, Remote):
        progress(f"ask {version.uri} for its signature")
        what, signature = _ask(what)
    else:
        signature = SPOKEN if isinstance(what, Chat) else _declared(what)
    kind, file = _FORMS[type(what)]
    for spec in (*signature.inputs, *signature.outputs):
        dtype_of(spec)
    with tempfile.TemporaryDirectory(prefix="service-", dir=work if work.is_dir() else None) as scratch:
        (Path(scratch) / file).write_bytes(msgspec.json.format(msgspec.json.encode(what), indent=2))
        draft = Package(
            id="",
            model=version.name,
            version=version.version,
            source_sha256=version.sha256,
            runtime=kind,
            signature=signature,
            files=(),
            created=clock.now(),
        )
        return artifacts.add(Path(scratch), draft)


def _ask(what: Remote) -> tuple[Remote, Signature]:
    version = f"/versions/{quote(what.version, safe='')}" if what.version else ""
    with httpx.Client(timeout=ASK_SECONDS, headers=secret_of(what.secret), trust_env=False) as client:
        described = _get(client, f"{what.url}/v2/models/{quote(what.model, safe='')}{version}", _Described)
        server = _get(client, f"{what.url}/v2", _Server)
    for spec in described.inputs:
        if not spec.shape or spec.shape[0] != -1:
            raise ModelRefused(
                f"input {spec.name!r} of {what.model!r} has shape {list(spec.shape)}: its first dimension is not free",
                field="signature",
                hint="serve it there with a batch dimension, such as [-1, 16]",
            )
    if not described.inputs or not described.outputs:
        raise ModelRefused(f"{what.model!r} has no inputs or no outputs", field="signature")
    signature = Signature(inputs=tuple(described.inputs), outputs=tuple(described.outputs))
    return replace(what, binary=what.binary and BINARY in server.extensions), signature


def _get(client: httpx.Client, url: str, form: Any) -> Any:
    try:
        response = client.get(url)
    except httpx.HTTPError as error:
        raise UpstreamError(f"{url} does not answer: {error or type(error).__name__}", field="model") from error
    if response.status_code != httpx.codes.OK:
        said = " ".join(response.text[:200].split())
        raise UpstreamError(f"{url} answered with status {response.status_code}: {said}", field="model")
    try:
        return msgspec.json.decode(response.content, type=form)
    except msgspec.MsgspecError as error:
        raise UpstreamError(f"{url} does not speak V2: {error}", field="model") from error


def _declared(what: Legacy) -> Signature:
    columns = all(len(spec.shape) == 1 for spec in what.inputs)
    layout = Layout.COLUMNS if columns else Layout.TENSOR
    signature = Signature(inputs=what.inputs, outputs=what.outputs, layout=layout)
    try:
        LegacyModel(what, signature)
    except BadInput as error:
        raise ModelRefused(error.message, field=error.field, hint=error.hint) from error
    return signature
