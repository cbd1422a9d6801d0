"""One JSON object a line on standard error, with the trace id of the request; secrets mask themselves.

`log = logging.getLogger("headrace.room")`, then `log.info("message", extra=fields(endpoint="digits"))`.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

trace: ContextVar[str] = ContextVar("trace", default="")


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """Structured fields for `extra=`."""
    return {"fields": values}


class JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace_id := trace.get():
            line["trace_id"] = trace_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def setup_log(process: str, level: str = "info") -> None:
    """Send this process's logs to standard error; called once, by its entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
