"""A document that somebody wrote by hand: YAML, of which JSON is a part.

Called by the commands that take a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headrace.types.errors import BadInput


def read_mapping(file: Path, *, field: str) -> dict[str, Any]:
    """Raises BadInput when the file cannot be read, or holds anything but names and their values."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}", field=field) from error
    if not isinstance(content, dict):
        raise BadInput(f"{str(file)!r} holds {type(content).__name__}, not names and values", field=field)
    return content
