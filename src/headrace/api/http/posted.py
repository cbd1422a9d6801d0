"""POST /metrics/events: what an application, a judge or a monitor measured, on the disk before it is acknowledged.

Called by edge.py. Decides the form and the sizes, and whom an event is about: a user, as the calls name them, or one
call by its trace. Ignores which release watches it: that a name is unknown today says nothing of tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.feedback import DurableJournal
from headrace.api.http.predict import broken
from headrace.base.ids import new_id
from headrace.store.journal.records import encode_metric
from headrace.traffic.meter import Meter
from headrace.traffic.record import Recorder
from headrace.types.call import MetricEvent
from headrace.types.errors import BadInput, NotFound, TooLarge

BODY_LIMIT = 1 << 20
MOST = 1_000  # events of one request
_TEXT = 200  # characters of a name, an id, a source


class EventBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: float = 1.0
    user: int | str | None = None
    trace_id: str = ""
    endpoint: str = ""
    source: str = "application"
    id: str = ""


class EventsBody(msgspec.Struct, forbid_unknown_fields=True):
    events: list[EventBody]


_decoder = msgspec.json.Decoder(EventsBody)


class PostedHandler:
    """`admit` checks the caller's key as /predict does."""

    def __init__(
        self,
        journal: DurableJournal,
        recorder: Recorder,
        meter: Meter,
        *,
        admit: Callable[[Exchange], None],
        user_header: str,
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._meter = meter
        self._admit = admit
        self._user_header = user_header.lower()

    async def __call__(self, exchange: Exchange, _: Parameters) -> Reply:
        self._admit(exchange)
        data = await exchange.json_body(BODY_LIMIT)
        try:
            body = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error, data) from None
        if not 1 <= len(body.events) <= MOST:
            raise BadInput(f"there are {len(body.events)} events; allowed: 1 to {MOST}", field="events")
        person = exchange.header(self._user_header) or ""
        events = [self._event(given, f"events[{n}]", person) for n, given in enumerate(body.events)]
        await self._journal.durable(b"".join(encode_metric(event) for event in events))
        self._meter.count("headrace_metric_events_total", by=len(events))
        return json_reply(msgspec.json.encode({"events": [event.id for event in events]}))

    def _event(self, given: EventBody, at: str, person: str) -> MetricEvent:
        for field in ("name", "endpoint", "source", "id"):
            if len(getattr(given, field)) > _TEXT:
                raise TooLarge(f"{field} has more than {_TEXT} characters", field=f"{at}.{field}")
        if not given.name:
            raise BadInput("an event needs the name of what was measured", field=f"{at}.name")
        if not isfinite(given.value):
            raise BadInput(f"value is {given.value!r}; allowed: a finite number", field=f"{at}.value")
        if given.trace_id and self._recorder.ids.issued(given.trace_id) is None:
            raise NotFound(f"there is no trace {given.trace_id[:64]!r}", field=f"{at}.trace_id")
        user = str(given.user) if given.user is not None else "" if given.trace_id else person
        if bool(user) == bool(given.trace_id):
            raise BadInput(
                "an event is about a user or about one call",
                field=at,
                hint=f"send either user (or the header {self._user_header}) or the trace_id of an answer",
            )
        return MetricEvent(
            id=given.id or new_id("ev"),
            name=given.name,
            value=given.value,
            unit=self._recorder.hashed(user) if user else "",
            trace_id=given.trace_id,
            time=self._recorder.clock.now(),
            endpoint=given.endpoint,
            source=given.source,
        )
