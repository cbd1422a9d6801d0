"""The process of the local LLM: `python -m headrace.app.llm`. Started by `headrace llm` and by `headrace up --llm`.

llama.cpp's own server, in this process: OpenAI's chat, completions and responses, streams, JSON schemas, /health,
/metrics. Reads the settings (`llm_*`, `host`); serves until SIGTERM. What is wrong with the weights or the port it says
in its last line. Ignores who asks: it is an upstream, the gateway stands before it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from headrace.base.settings import Settings, load_settings
from headrace.gateway.local import DEFAULT_PORT, MODEL, weights
from headrace.types.errors import HeadraceError, Unavailable

_HTTP_THREADS = 8
_CACHE_MB = 128  # of prompts seen; llama.cpp's own default is 8 GB


def main() -> None:
    # Blocked before the first thread of the engine starts, so that the signal comes to sigwait and to nobody else.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        server = start(load_settings())
    except HeadraceError as error:
        ours = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the engine's logger writes on until the process has ended
        os.write(ours, f"{error.sentence()}\n".encode())
        sys.exit(1)
    sys.stderr.write(f"the local LLM answers at {server.listening_address}/v1\n")
    sys.stderr.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def start(settings: Settings) -> Any:
    """llama.cpp's server, once it has loaded the weights and listens."""
    engine = _engine()
    parameters = engine.CommonParams()
    parameters.model.path = str(weights(settings))
    parameters.model_alias = {MODEL}
    parameters.hostnames = [settings.host]
    parameters.port = settings.llm_port if settings.llm_port >= 0 else DEFAULT_PORT
    parameters.n_ctx = settings.llm_context
    parameters.n_parallel = settings.llm_slots
    parameters.n_threads_http = _HTTP_THREADS
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = settings.llm_threads
        threads.poll = 0  # a thread without work sleeps; it would spin, and take the processor from all others
    parameters.cache_ram_mib = _CACHE_MB
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = False  # it would show everyone's prompts
    parameters.ui = False
    parameters.cors_origins = ""  # no page of a browser may ask
    parameters.offline = True
    parameters.verbosity = 1  # errors
    try:
        return engine.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise Unavailable(f"the local LLM did not start: {error}") from error


def _engine() -> Any:
    try:
        import xllamacpp  # noqa: PLC0415 -- an extra, and 100 MB
    except ImportError as error:
        raise Unavailable("the local LLM needs xllamacpp", hint="pip install 'headrace[llm]'") from error
    return xllamacpp


if __name__ == "__main__":
    main()
