"""Which failures of a database are its state and not our defect, and what a person can do about each.

Called by db.py for every transaction. Decides by SQLSTATE or SQLite's error name, never by the driver's class: pg8000
calls a full disk, a lock that did not come and a stopped server all ProgrammingError. What it does not know is a
defect of ours and stays as it is.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from headrace.types.errors import Unavailable

_REACH = "check that it runs and can be reached, and database_url"
_ROOM = "free room on its disk; nothing of this change was kept"
_LOCKED = "another process holds it; try again"
_TABLES = "the control plane makes its tables when it starts: headrace up"
_FOREIGN = "other tables of this name are there: name another database in database_url"
_BROKEN = "check its disk, and that the file is a Headrace database"
_RIGHTS = "check the rights on its file and folder, and whether the server is a standby"
_AGAIN = "try again"

# By prefix, the first that fits.
_HINTS = {
    "08": _REACH,  # connection
    "25006": _RIGHTS,  # read-only
    "28": "check user and password in database_url",
    "3D": "check the name of the database in database_url",
    "40": _AGAIN,  # serialisation, deadlock
    "42703": _TABLES,  # no such column: tables of an older version
    "42P01": _TABLES,  # no such table
    "42P07": _FOREIGN,
    "53100": _ROOM,
    "53": "the server is short of memory or connections; try again",
    "55": _LOCKED,
    "57": _REACH,  # stopping, starting, cancelled
    "58": _BROKEN,  # its own I/O
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_CANTOPEN": "check that its folder exists and can be written, and database_url",
    "SQLITE_CORRUPT": _BROKEN,
    "SQLITE_FULL": _ROOM,
    "SQLITE_IOERR": _BROKEN,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_NOTADB": _BROKEN,
    "SQLITE_READONLY": _RIGHTS,
}

# SQLite has one name for all that is wrong with a statement.
_WORDS = {"no such table": _TABLES, "no such column": _TABLES, "already exists": _FOREIGN}


def explain(error: DBAPIError, place: str) -> Unavailable | None:
    """None when the statement itself was wrong."""
    state, message = _state(error)
    if (hint := _hint(state, message, error)) is None:
        return None
    return Unavailable(f"the database {place} cannot be used: {message}", hint=hint, retry_after=1.0)


def _state(error: DBAPIError) -> tuple[str, str]:
    """(SQLSTATE or SQLite's name, message); no state when there was no answer at all."""
    cause = error.orig
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, dict):  # pg8000: the server's fields by letter
        return first.get("C", ""), first.get("M", "")
    state = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
    return state, str(cause).strip()


def _hint(state: str, message: str, error: DBAPIError) -> str | None:
    if state == "SQLITE_ERROR":
        return next((hint for words, hint in _WORDS.items() if words in message), None)
    if not state:
        return _REACH if isinstance(error, OperationalError | InterfaceError) else None
    return next((hint for prefix, hint in _HINTS.items() if state.startswith(prefix)), None)
