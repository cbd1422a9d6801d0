"""Looks for new plans and hands them to the fleet, for as long as the data plane lives.

Called by app/data.py, in a thread of its own: a database that hangs must not hold up a prediction. Decides which plan
is tried when: at the start the newest, else the last known good on disk; later each new revision once, a refused one
again with growing pauses, because what it lacked (a file, a host) may come. When the database is gone it serves on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Protocol

from headrace.base.log import fields
from headrace.serving.fleet import Fleet, Refusal
from headrace.types.endpoint import Plan
from headrace.types.errors import HeadraceError

FIRST_PAUSE = 1.0  # before a refused plan is tried again; doubles up to
LONGEST_PAUSE = 60.0

log = logging.getLogger("headrace.serving")


class Plans(Protocol):
    """Where plans come from. Both raise a HeadraceError when it cannot be asked."""

    def revision(self) -> int: ...

    def latest(self) -> Plan | None: ...


class PlanFile(Protocol):
    """store.planfile.PlanFile."""

    def save(self, plan: Plan) -> None: ...

    def load(self) -> Plan | None: ...


class Watch:
    """`report` hears (event name, revision, refusal or None): plan.live and plan.refused."""

    def __init__(
        self,
        fleet: Fleet,
        plans: Plans,
        file: PlanFile,
        *,
        poll_seconds: float,
        report: Callable[[str, int, Refusal | None], None],
    ) -> None:
        self.blind = ""  # why the database cannot be asked, while that is so
        self._fleet = fleet
        self._plans = plans
        self._file = file
        self._poll_seconds = poll_seconds
        self._report = report
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None
        self._tried = 0  # the newest revision that the fleet has answered for
        self._told: Refusal | None = None
        self._pause = FIRST_PAUSE
        self._wait = 0.0
        self._work: Future[Refusal | None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="watch", daemon=True)
        self._thread.start()

    async def begun(self, seconds: float) -> bool:
        """Until the plan of the start is live, or clearly not to be had; False when the time is up first."""
        return await asyncio.to_thread(self._begun.wait, seconds)

    async def stop(self) -> None:
        self._stop.set()
        if self._work is not None:
            self._work.cancel()  # a load under way would hold up the end for minutes
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._begin
        while True:
            try:
                turn(loop)
            except CancelledError:
                return
            except Exception:  # a plane that silently stops looking for plans cannot be rolled back
                log.exception("watch failed; looking again")
                self._stop.wait(FIRST_PAUSE)
            turn = self._look
            self._begun.set()
            if self._stop.wait(self._poll_seconds):
                return

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something must serve: the newest plan, else the last that is known to work, else what loads of the newest."""
        newest = self._newest()
        if newest is not None and self._apply(loop, newest) is None:
            return
        good = self._file.load()
        if good is not None and (newest is None or good.revision != newest.revision):
            log.info("trying the last known good plan", extra=fields(revision=good.revision))
            if self._realise(loop, good) is None:
                self._tried = max(self._tried, good.revision)
                self._report("plan.live", good.revision, None)
                return
        if newest is not None:
            self._realise(loop, newest, partly=True)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """One turn. A revision that was refused is tried again when its pause is over."""
        self._wait -= self._poll_seconds
        try:
            revision = self._plans.revision()
            self._seen("")
            again = self._told is not None and revision == self._told.revision and self._wait <= 0
            if revision <= self._tried and not again:
                return
            plan = self._plans.latest()
        except HeadraceError as error:
            self._seen(error.sentence())
            return
        if plan is not None:
            self._apply(loop, plan)

    def _newest(self) -> Plan | None:
        try:
            return self._plans.latest()
        except HeadraceError as error:
            self._seen(error.sentence())
            return None

    def _apply(self, loop: asyncio.AbstractEventLoop, plan: Plan) -> Refusal | None:
        refusal = self._realise(loop, plan)
        if plan.revision > self._tried:
            self._pause = FIRST_PAUSE
        self._tried = plan.revision
        if refusal is None:
            self._told = None
            self._keep(plan)
            self._report("plan.live", plan.revision, None)
            return None
        if refusal != self._told:
            log.error("plan refused", extra=fields(reason=refusal.sentence()))
            self._report("plan.refused", plan.revision, refusal)
        self._told = refusal
        self._wait, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return refusal

    def _realise(self, loop: asyncio.AbstractEventLoop, plan: Plan, *, partly: bool = False) -> Refusal | None:
        self._work = asyncio.run_coroutine_threadsafe(self._fleet.apply(plan, partly=partly), loop)
        if self._stop.is_set():
            self._work.cancel()
        return self._work.result()

    def _keep(self, plan: Plan) -> None:
        try:
            self._file.save(plan)
        except OSError as error:  # a full disk: the plan is in force all the same
            log.warning("plan not kept on disk", extra=fields(revision=plan.revision, error=str(error)))

    def _seen(self, trouble: str) -> None:
        if bool(trouble) != bool(self.blind):
            message = "database cannot be asked; serving on" if trouble else "database answers again"
            log.warning(message, extra=fields(error=trouble))
        self.blind = trouble
