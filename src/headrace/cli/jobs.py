"""`headrace jobs`: files that the control plane scores, how far they are, and an end to one.

Called by people and scripts. A job begins with `headrace predict … --submit`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, say, table


def jobs(
    job: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="End it; what is done is kept.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List the files that the control plane scores, or show or cancel one.

    \b
    Example:
        headrace jobs
        headrace jobs job_9f2k --cancel
    """
    with admin(home, url) as control:
        if job is None:
            found: Any = control.jobs()
        else:
            found = control.cancel_job(job) if cancel else control.job(job)
    if json:
        emit(found)
        return
    listed = found if isinstance(found, list) else [found]
    table(
        ("job", "endpoint", "state", "rows", "failed", "input", "begun"),
        [_row(one) for one in listed],
        empty="no job yet: headrace predict --endpoint NAME --input FILE --output FILE --submit",
    )
    if not isinstance(found, list) and found.get("error"):
        say(f"[red]{escape(found['error'])}[/]")


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    total = job.get("total")
    rows = f"{job['rows']:,}" + (f" of {total:,}" if total else "")
    scoring = job["scoring"]
    return (job["id"], scoring["endpoint"], job["state"], rows, job["failed"], scoring["input"], ago(job["created"]))
