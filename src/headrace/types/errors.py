"""The error tree. Each class says who is to blame; the edge alone knows what status that is in its protocol.

HeadraceError
├── CallerError           the caller sent something wrong; the same call will fail again
│   ├── BadInput          a field is missing, malformed, or does not fit the signature
│   ├── Blocked           a guard of the gateway does not let this text pass
│   ├── TooLarge          the body is over the limit
│   ├── Unauthenticated   no key, or a key that is not known
│   ├── Forbidden         a known caller without the right
│   │   └── ApprovalNeeded    another person has to say yes first; the request for it is on record
│   ├── OverLimit         a limit of this caller is used up; what to wait for is in `retry_after`
│   ├── NotFound          no such endpoint, model, version, stage, trace, release
│   └── Conflict          the state does not allow it: a second release, a release already ended
├── ModelError            the model is to blame
│   ├── ModelRefused      not loaded: checksum, unsafe format, parity, signature
│   ├── ModelFailed       it raised, died, or answered outside its signature
│   └── TimedOut          it did not answer within the endpoint's time limit
├── UpstreamError         MLflow or another service answered wrongly or not at all
│   └── KeyRefused            it does not take the key that Headrace shows it; asking again does not help
└── PlatformError         Headrace is to blame
    ├── Overloaded        a bounded queue is full; try again after `retry_after` seconds
    └── Unavailable       a part that is needed is not there (yet)
"""

from __future__ import annotations


class HeadraceError(Exception):
    """`message` is for a person; `field` names the offending part; `hint` says what to do next.

    `trace_id` and `variant` are filled in when the error ended a call that is in the journal.
    """

    retryable = False
    trace_id = ""
    variant = ""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        self.retry_after = retry_after

    def sentence(self) -> str:
        """The whole story on one line: what happened, then what to do."""
        return self.message if not self.hint else f"{self.message} ({self.hint})"


class CallerError(HeadraceError):
    pass


class BadInput(CallerError):
    pass


class Blocked(CallerError):
    pass


class TooLarge(CallerError):
    pass


class Unauthenticated(CallerError):
    pass


class Forbidden(CallerError):
    pass


class ApprovalNeeded(Forbidden):
    pass


class OverLimit(CallerError):
    """`headers`: what is left of which limit, for the answer."""

    headers: tuple[tuple[bytes, bytes], ...] = ()


class NotFound(CallerError):
    pass


class Conflict(CallerError):
    pass


class ModelError(HeadraceError):
    pass


class ModelRefused(ModelError):
    pass


class ModelFailed(ModelError):
    pass


class TimedOut(ModelError):
    pass


class UpstreamError(HeadraceError):
    retryable = True


class KeyRefused(UpstreamError):
    retryable = False


class PlatformError(HeadraceError):
    retryable = True


class Overloaded(PlatformError):
    pass


class Unavailable(PlatformError):
    pass
