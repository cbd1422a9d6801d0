"""The gateway as text: YAML into sections, and sections into YAML. The command line and the console read alike.

Called by cli/gateway.py and console/pages/editor.py. Decides nothing of what the sections mean: that is document.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from headrace.types.errors import BadInput


def sections_of(text: str, where: str) -> dict[str, Any]:
    """Raises BadInput, naming the line. `where`: what the text is called."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{where} cannot be read: {error}", field=_place(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadInput(f"{where} holds no sections", field="gateway", hint="see docs/keys.md")
    return {str(name): jsonable(value) for name, value in content.items()}


def text_of(sections: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(sections), sort_keys=False, allow_unicode=True)


def jsonable(content: Any) -> Any:
    """Dates, which YAML reads as such, as text."""
    if isinstance(content, dict):
        return {str(name): jsonable(value) for name, value in content.items()}
    if isinstance(content, list):
        return [jsonable(value) for value in content]
    return content.isoformat() if hasattr(content, "isoformat") else content


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}" if mark is not None else "gateway"
