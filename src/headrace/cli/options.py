"""The options that all commands share, and the platform that they lead to.

Called by every command. Decides where a running platform is looked for: `--url`, then the lock of the data folder
(which knows the ports that were really taken), then the settings.
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.base.settings import Settings, SettingsError, load_settings
from headrace.client.admin import Admin
from headrace.client.predict import Headrace
from headrace.compute.lock import Holder, holder
from headrace.compute.ports import url_of
from headrace.types.errors import BadInput

DATA, CONTROL, MLFLOW, LLM = "data", "control", "mlflow", "llm"

Home = Annotated[
    Path | None, typer.Option("--home", metavar="FOLDER", help="Data folder. HEADRACE_HOME; default .headrace")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Kept in the history.")]
ControlUrl = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Control plane. Default: the one that runs on the data folder."),
]
DataUrl = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Data plane. Default: the one that runs on the data folder.")
]


def settings_for(home: Path | None = None, **overrides: Any) -> Settings:
    try:
        return load_settings(home=home, **overrides)
    except SettingsError as error:
        raise BadInput(str(error), hint="see docs/settings.md") from error


def lock_file(settings: Settings) -> Path:
    return settings.run / "lock"


def state_file(settings: Settings) -> Path:
    return settings.run / "state.json"


def urls_of(settings: Settings) -> dict[str, str]:
    """Where these settings say that the planes listen."""
    return {
        DATA: url_of(settings.host, settings.port),
        CONTROL: url_of(settings.host, settings.control_port),
        MLFLOW: url_of(settings.host, settings.control_port) + "/mlflow",
    } | ({LLM: url_of(settings.host, settings.llm_port) + "/v1"} if settings.llm_port >= 0 else {})


def running(settings: Settings) -> Holder | None:
    return holder(lock_file(settings))


def admin(home: Path | None, url: str | None, *, timeout: float = 30.0) -> Admin:
    settings = settings_for(home)
    return Admin(url or _found(settings)[CONTROL], token=settings.admin_token.reveal(), actor=user(), timeout=timeout)


def headrace(home: Path | None, url: str | None, *, key: str = "", timeout: float = 35.0) -> Headrace:
    return Headrace(data_url(home, url), key=key, timeout=timeout)


def data_url(home: Path | None, url: str | None) -> str:
    return url or _found(settings_for(home))[DATA]


def _found(settings: Settings) -> dict[str, str]:
    who = running(settings)
    return urls_of(settings) | (who.urls if who else {})


def user() -> str:
    """Who the audit log will name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
