"""Where a language model is: an alias in a program becomes an address, a model's name and a key when it is asked.

Called by desk.py at every call, and by programs. Decides which file says so, and that an alias nobody named is asked of
this platform's own gateway. Read again when the file changes: no program is deployed anew when a model moves.

    fast:
      url: http://127.0.0.1:8080/v1
      model: smollm2-135m
      key_env: UPSTREAM_LM_KEY           # a variable of this process's environment, never the key itself
      price: {input: 0.15, output: 0.60} # for a million tokens
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.compute.upstream import parse_url
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.program import MILLION, Usage
from headrace.types.upstream import SECRET_PREFIX

FILE = "lms.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    url: str  # what comes before /chat/completions
    model: str
    key: Secret = Secret("")
    input_price: float = 0.0  # for a million tokens
    output_price: float = 0.0
    seconds: float = 120.0

    def priced(self, prompt_tokens: int, completion_tokens: int) -> Usage:
        """One call."""
        money = (prompt_tokens * self.input_price + completion_tokens * self.output_price) / MILLION
        return Usage(calls=1, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, money=money)


class _Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    output: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    model: str = ""
    key_env: str = ""
    price: _Price = _Price()
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0


class Aliases:
    """`file` may not exist. `own`: the gateway of this platform, for what the file does not name."""

    def __init__(self, file: Path | None, own: Route | None = None) -> None:
        self._file = file
        self._own = own
        self._seen: tuple[int, int] | None = None
        self._written: dict[str, _Written] = {}

    def route(self, alias: str) -> Route:
        """Raises UpstreamError for an alias that leads nowhere, or whose key is not in the environment."""
        written = self._read().get(alias)
        if written is not None:
            return Route(
                url=written.url.rstrip("/"),
                model=written.model or alias,
                key=_key(alias, written.key_env),
                input_price=written.price.input,
                output_price=written.price.output,
                seconds=written.timeout_seconds,
            )
        if self._own is None:
            there = ", ".join(sorted(self._written)) or "none"
            raise UpstreamError(
                f"no language model is called {alias!r}; there are: {there}",
                field="lm",
                hint=f"name it in {self._file or FILE}",
            )
        return Route(url=self._own.url, model=alias, key=self._own.key)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._read()))

    def _read(self) -> dict[str, _Written]:
        if self._file is None:
            return {}
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._seen, self._written = None, {}
            return {}
        if self._seen != (stat.st_mtime_ns, stat.st_size):
            self._written = _parse(self._file)
            self._seen = (stat.st_mtime_ns, stat.st_size)
        return self._written


def aliases_of(settings: Settings) -> Aliases:
    """As the settings say: the file, and the gateway on the data plane's own port."""
    file = Path(settings.lms).expanduser() if settings.lms else settings.home / FILE
    key = next((key.strip() for key in settings.api_keys.split(",") if key.strip()), "")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 -- compared, not bound
    own = Route(url=f"http://{host}:{settings.port}/v1", model="", key=Secret(key)) if settings.port else None
    return Aliases(file, own)


def _parse(file: Path) -> dict[str, _Written]:
    try:
        content = yaml.safe_load(file.read_text()) or {}
        found = msgspec.convert(content, dict[str, _Written])
        for written in found.values():
            parse_url(written.url)
            if "?" in written.url:
                raise BadInput("a url with a query would show it in messages", field="url", hint="a key has key_env")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError, BadInput) as error:
        told = error.sentence() if isinstance(error, BadInput) else str(error)
        raise UpstreamError(f"{file.name} cannot be read: {told}", field="lm") from error
    return found


def _key(alias: str, name: str) -> Secret:
    if not name:
        return Secret("")
    if not name.startswith(SECRET_PREFIX):
        raise UpstreamError(
            f"key_env of {alias!r} is {name!r}; allowed: names that start with {SECRET_PREFIX}", field="key_env"
        )
    value = os.environ.get(name, "")
    if not value or not value.isprintable():
        raise UpstreamError(
            f"the environment variable {name!r} of the language model {alias!r} is "
            f"{'not one line' if value else 'not set'}",
            field="key_env",
            hint=f"start headrace with {name}=…",
        )
    return Secret(value)
