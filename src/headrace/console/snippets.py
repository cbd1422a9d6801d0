"""What a person copies to call an endpoint: a curl line and a Python program. Pure; called by the endpoint page.

Decides nothing about the address: that is the data plane's, from the settings. Tests run both.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from headrace.base.settings import Settings

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not listened on


def data_url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    return f"http://{host}:{settings.port}"


def one_row(inputs: Any) -> Any:
    """The same inputs with their first row alone, in the same form."""
    if isinstance(inputs, dict):
        lists = {name: value for name, value in inputs.items() if isinstance(value, list)}
        return {name: value[:1] for name, value in lists.items()} if len(lists) == len(inputs) else inputs
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], list | dict):
        return inputs[:1]
    return inputs


def as_curl(settings: Settings, endpoint: str, inputs: Any, user: str) -> str:
    body = json.dumps({"model": endpoint, "inputs": inputs}, separators=(",", ":"), ensure_ascii=False)
    key = " \\\n  -H 'authorization: Bearer YOUR-KEY'" if settings.api_keys else ""
    return (
        f"curl {data_url(settings)}/predict \\\n  -H 'content-type: application/json' \\\n"
        f"  -H {shlex.quote(f'{settings.user_header}: {user}')}{key} \\\n  -d {shlex.quote(body)}"
    )


def as_python(settings: Settings, endpoint: str, inputs: Any, user: str) -> str:
    key = ', key="YOUR-KEY"' if settings.api_keys else ""
    return (
        "from headrace.client.predict import Headrace\n\n"
        f'with Headrace("{data_url(settings)}"{key}) as headrace:\n'
        f"    answer = headrace.predict({endpoint!r}, {inputs!r}, user={user!r})\n"
        "    print(answer.result, answer.model_version, answer.trace_id)\n"
    )
