"""`headrace chat`: Open WebUI beside the platform, as it comes, wired to the gateway.

Called by people. Decides what is there before it starts: its environment (chat/install.py), its secrets
(chat/place.py), a platform to talk to. How it is wired is chat/wiring.py's, what becomes of its ratings the control
plane's.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.chat.install import VERSION, install, is_installed, pins
from headrace.chat.place import Place, load, load_or_make, place_of, save
from headrace.chat.wiring import variables
from headrace.cli.beside import Beside, look, run, start_behind, stop, tell_status
from headrace.cli.options import CONTROL, DATA, Home, Json, admin, running, settings_for
from headrace.cli.show import emit, note, say
from headrace.compute.ports import port_of, reserve, url_of
from headrace.compute.supervise import Child
from headrace.types.errors import Unavailable
from headrace.types.gateway import Scope

NAME = "chat"
KEY = "open-webui"  # name of its virtual key, and of the secret with which it signs whom it calls for
SCOPES = (Scope.CHAT, Scope.EMBEDDINGS, Scope.MEDIA)
_STOP_SECONDS = 8.0
_LINES = 2  # that an installer writes per package, about

app = typer.Typer(help="Chat with the models: Open WebUI, whose ratings become feedback.", rich_markup_mode=None)

Port = Annotated[int | None, typer.Option("--port", help="To listen on; 0 takes a free one. Default 8080.")]


@app.callback(invoke_without_command=True)
def chat(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        start()


@app.command("install")
def install_(
    home: Home = None,
    again: Annotated[bool, typer.Option("--again", help="Also when it is there.")] = False,
    json: Json = False,
) -> None:
    """Install Open WebUI into an environment of its own, 1.1 GB, unless it is there. `headrace chat` does it by itself.

    \b
    Example:
        headrace chat install
    """
    place = place_of(settings_for(home))
    if again or not is_installed(place):
        _install(place, quiet=json)
    if json:
        emit({"version": VERSION, "environment": str(place.environment)})
    else:
        say(f"Open WebUI {VERSION} is at {escape(str(place.environment))}")


@app.command()
def start(
    home: Home = None,
    port: Port = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
    json: Json = False,
) -> None:
    """Run Open WebUI against the platform of this data folder, until Ctrl-C. What dies is started again.

    `headrace chat` alone does the same with the settings as they are.

    \b
    Example:
        headrace up --llm --detach
        headrace chat start
    """
    settings = settings_for(home, chat_port=port)
    place = place_of(settings)
    who = running(settings)
    if who is None or DATA not in who.urls:
        raise Unavailable(f"no platform runs on {str(settings.home)!r}", hint="start it with: headrace up")
    if not is_installed(place):
        _install(place, quiet=json)
    _introduce(settings, place, quiet=json)
    beside = Beside(name=NAME, settings=settings)
    if detach:
        start_behind(beside, json=json)
    else:
        run(beside, lambda held: _child_and_url(settings, place, who.urls, held), json=json)


@app.command()
def status(home: Home = None, json: Json = False) -> None:
    """Show whether the chat application runs, and where. Exit status 3: it does not run.

    \b
    Example:
        headrace chat status
    """
    settings = settings_for(home)
    place = place_of(settings)
    found = look(Beside(name=NAME, settings=settings)) | {"installed": is_installed(place), "version": VERSION}
    account = load(place)
    told = [f"its administrator is {account.email}, with the password in {escape(str(place.file))}"] if account else []
    tell_status(found, NAME, json=json, extra=[f"Open WebUI {VERSION}", *told])


@app.command("stop")
def stop_(home: Home = None, json: Json = False) -> None:
    """Stop the chat application. Conversations and accounts stay in the data folder.

    \b
    Example:
        headrace chat stop
    """
    stop(Beside(name=NAME, settings=settings_for(home)), json=json)


def _introduce(settings: Settings, place: Place, *, quiet: bool) -> None:
    """A key that may say whom it calls for, where keys are asked for. To make the first one would lock all others out,
    so that is left to a person."""
    connection = load_or_make(place)
    with admin(settings.home, None) as control:
        there = control.keys()
        keys = [key for key in there if not key.get("revoked")]
        ours = next((key for key in keys if key.get("name") == KEY), None)
        if ours is not None and connection.key:
            return
        if not there and not settings.api_keys:  # one that was revoked is a key too
            if not quiet:
                note("the data plane asks for no key, so nobody is known by more than what they say (docs/chat.md)")
            return
        control.set_secret(KEY, connection.users.reveal())
        if ours is not None:  # its secret is gone with the folder that knew it
            control.revoke_key(KEY)
        made = control.create_key(name=KEY, scopes=list(SCOPES), trusted=True, user_secret=KEY)
    save(place, connection, key=Secret(made["secret"]))


def _install(place: Place, *, quiet: bool) -> None:
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Open WebUI", total=_LINES * len(pins()))

        def tell(line: str) -> None:
            bar.update(task, advance=1, description=escape(line[:60]))

        install(place, tell)
        bar.update(task, completed=_LINES * len(pins()))
    if not quiet:
        note(f"Open WebUI {VERSION} is installed")


def _child_and_url(settings: Settings, place: Place, urls: dict[str, str], held: ExitStack) -> tuple[Child, str]:
    port = port_of(held.enter_context(reserve(settings.host, settings.chat_port)))
    url = url_of(settings.host, port)
    connection = save(place, load_or_make(place), url=url)
    place.data.mkdir(parents=True, exist_ok=True)
    ours = variables(settings, place, connection, data_url=urls[DATA], control_url=urls[CONTROL])
    child = Child(
        name=NAME,
        argv=(
            *(str(place.python), "-m", "uvicorn", "open_webui.main:app", "--host", settings.host, "--port", str(port)),
            *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "3"),
        ),
        log=settings.logs / f"{NAME}.log",
        ready_url=f"{url}/health",
        env={name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")} | ours,
        cwd=place.data,
        stop_seconds=_STOP_SECONDS,
    )
    return child, url
