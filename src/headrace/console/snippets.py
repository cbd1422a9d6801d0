"""What a person copies to call an endpoint: a curl line and a Python program. Pure; called by the endpoint page.

Decides how a call is written. `url` is the data plane's.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from headrace.base.settings import Settings


def one_row(inputs: Any) -> Any:
    """The same inputs with their first row alone, in the same form."""
    if isinstance(inputs, dict):
        lists = {name: value for name, value in inputs.items() if isinstance(value, list)}
        return {name: value[:1] for name, value in lists.items()} if len(lists) == len(inputs) else inputs
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], list | dict):
        return inputs[:1]
    return inputs


def as_curl(url: str, settings: Settings, *, endpoint: str, inputs: Any, user: str) -> str:
    body = json.dumps({"model": endpoint, "inputs": inputs}, separators=(",", ":"), ensure_ascii=False)
    key = " \\\n  -H 'authorization: Bearer YOUR-KEY'" if settings.api_keys else ""
    return (
        f"curl {url}/predict \\\n  -H 'content-type: application/json' \\\n"
        f"  -H {shlex.quote(f'{settings.user_header}: {user}')}{key} \\\n  -d {shlex.quote(body)}"
    )


def as_python(url: str, settings: Settings, *, endpoint: str, inputs: Any, user: str) -> str:
    key = ', key="YOUR-KEY"' if settings.api_keys else ""
    return (
        "from headrace.client.predict import Headrace\n\n"
        f'with Headrace("{url}"{key}) as headrace:\n'
        f"    answer = headrace.predict({endpoint!r}, {inputs!r}, user={user!r})\n"
        "    print(answer.result, answer.model_version, answer.trace_id)\n"
    )


def chat_curl(url: str, endpoint: str) -> str:
    body = json.dumps({"model": endpoint, "messages": [{"role": "user", "content": "Hello"}]}, ensure_ascii=False)
    return (
        f"curl {url}/v1/chat/completions \\\n  -H 'content-type: application/json' \\\n"
        f"  -H 'authorization: Bearer YOUR-KEY' \\\n  -d {shlex.quote(body)}"
    )


def chat_python(url: str, endpoint: str) -> str:
    """With OpenAI's own client."""
    return (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{url}/v1", api_key="YOUR-KEY")\n'
        f"answer = client.chat.completions.create(\n    model={endpoint!r}, "
        'messages=[{"role": "user", "content": "Hello"}]\n)\nprint(answer.choices[0].message.content)\n'
    )
