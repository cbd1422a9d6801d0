"""The last known good plan on disk: what a data plane serves on when the database is not there.

Called by the data plane. The first line is the SHA-256 of the rest, so that a torn or edited file is not believed.
Ignores who reads it: each data plane has a file of its own.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path

import msgspec

from headrace.base.files import write_atomic
from headrace.base.log import fields
from headrace.types.endpoint import Plan

log = logging.getLogger("headrace.store")


class PlanFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, plan: Plan) -> None:
        body = msgspec.json.encode(plan)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, sha256(body).hexdigest().encode() + b"\n" + body)

    def load(self) -> Plan | None:
        """None when there is no file or it cannot be believed; the latter is logged. What it says never raises."""
        try:
            digest, _, body = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if sha256(body).hexdigest().encode() != digest:
            log.warning("the saved plan does not match its checksum and is ignored", extra=fields(file=str(self.path)))
            return None
        try:
            return msgspec.json.decode(body, type=Plan)
        except msgspec.DecodeError as error:  # whole, but written by a version that had other nouns
            log.warning(
                "the saved plan is not of this version and is ignored",
                extra=fields(file=str(self.path), reason=str(error)),
            )
            return None
