"""What a call was that no upstream answered: for the journal and for the caller.

Called by complete.py. A table from what failed to whose fault it is.
"""

from __future__ import annotations

from headrace.gateway.reach import Missed
from headrace.types.call import CallStatus
from headrace.types.errors import BadInput, HeadraceError, KeyRefused, Overloaded, TimedOut, UpstreamError
from headrace.types.gateway import HOME, Failure

ENDINGS = {
    Failure.CONNECT: CallStatus.FAILED,
    Failure.TIMEOUT: CallStatus.TIMEOUT,
    Failure.RATE_LIMIT: CallStatus.SHED,
    Failure.OVERLOADED: CallStatus.SHED,
    Failure.SERVER: CallStatus.FAILED,
    Failure.BROKEN: CallStatus.FAILED,
    Failure.AUTH: CallStatus.FAILED,
    Failure.CONTEXT: CallStatus.REJECTED,
    Failure.CONTENT: CallStatus.REJECTED,
    Failure.CALLER: CallStatus.REJECTED,
}
_ERRORS: dict[CallStatus, type[HeadraceError]] = {
    CallStatus.FAILED: UpstreamError,
    CallStatus.TIMEOUT: TimedOut,
    CallStatus.SHED: Overloaded,
    CallStatus.REJECTED: BadInput,
}


def error_of(missed: Missed, endpoint: str) -> HeadraceError:
    if missed.error is not None and missed.ready.way.provider == HOME:
        return missed.error  # a model of our own: its own words, as /predict would say them
    way = missed.ready.way
    if missed.locked_out:
        return key_refused(way.provider, missed.status)
    said = f"{way.provider}/{way.model}: {missed.message}"
    return _ERRORS[ENDINGS[missed.failure]](f"no upstream of {endpoint!r} answered; the last one, {said}")


def key_refused(provider: str, status: int) -> KeyRefused:
    """Not in the upstream's own words: they are about a key that callers have no business with."""
    return KeyRefused(
        f"the credentials of the gateway for upstream {provider!r} were refused (status {status}), not yours",
        hint="tell who runs the gateway: asking again does not help",
    )
