"""What the gateway must know of a call, whoever defined its form. One file a form, one row in registry.py.

Called by complete.py (read the request, follow the answer) and by the edge (write an error). A dialect looks at the
few fields that a decision needs and leaves all others alone: what is not named here passes as it came. What is made
for each call is a Struct: one of many fields is made in a tenth of the time that a dataclass takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from headrace.types.errors import HeadraceError
from headrace.types.gateway import Chat, Failure, Usage, Wire

KEPT = 64 * 1024  # characters of an answer for the journal

T = TypeVar("T")


class Address(NamedTuple):
    """What the path and the headers of a request said already."""

    model: str = ""  # Gemini and Azure have it in the path
    stream: bool = False  # Gemini too
    media: str = ""  # the content type


NOWHERE = Address()


class Asked(msgspec.Struct, kw_only=True):
    """One request, as far as it was read. `fields`: its top level, every value as the JSON text it came as; empty for
    a form (multipart), which is in `raw`."""

    model: str
    fields: dict[str, msgspec.Raw]
    stream: bool = False
    max_tokens: int = 0  # of all answers; 0: the caller did not say
    user: str = ""
    wants_usage: bool = False  # of a stream, as its last event
    raw: bytes = b""
    media: str = "application/json"
    document: dict[str, Any] | None = None  # all of it, once someone needed that

    def whole(self) -> dict[str, Any]:
        """Parsed; for who must translate it or look inside. Not to be changed: `fields` is what is sent."""
        if self.document is None:
            self.document = {name: msgspec.json.decode(raw) for name, raw in self.fields.items()}
        return self.document


class Told(msgspec.Struct, kw_only=True):
    """What an answer, or a stream so far, says of itself."""

    usage: Usage | None = None
    finish: str = ""  # stop, length, tool_calls, content_filter
    pieces: list[str] = []
    kept: int = 0  # characters in `pieces` and in the arguments of `tools`: at most KEPT, and one piece
    model: str = ""
    id: str = ""
    failure: Failure | None = None  # an error inside an answer with status 200
    message: str = ""  # of that error
    ended: bool = False  # a stream said that it is whole
    tokens_seen: int = 0  # pieces of text so far: what is billed when nobody tells the usage
    tools: list[dict[str, Any]] = []  # calls of tools: {"id": …, "name": …, "arguments": …}

    @property
    def text(self) -> str:
        """For the journal, up to a bound."""
        return "".join(self.pieces)

    def read(self, decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
        """None when it has another form, which passes, or is no JSON, which is a failure."""
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.failure, self.message = Failure.BROKEN, "the answer is not JSON"
            return None

    def add(self, text: str) -> None:
        if self.kept < KEPT:
            self.pieces.append(text)
            self.kept += len(text)


class Follower(Protocol):
    """Reads along a stream without holding it up."""

    @property
    def told(self) -> Told: ...

    @property
    def skim(self) -> Callable[[bytes], bool] | None:
        """Takes whole events, as they came, if all of them may pass before they are read, and none must be kept from
        the caller; they are read when somebody asks for `told`. False: it took none of them. None: it never does."""
        ...

    def feed(self, event: bytes, data: bytes) -> bool:
        """One server-sent event: its `event:` name and its `data:`. False: the caller must not see it (a usage that
        only we asked for)."""
        ...


class Dialect(Protocol):
    @property
    def wire(self) -> Wire: ...

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        """Raises BadInput naming the field."""
        ...

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        """With the prompt of this version before the caller's, its parameters where the caller set none, and those
        that are forced. A forced None takes the parameter out."""
        ...

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        """The request for an upstream that speaks the same: another model name, and if `usage` and it is a stream, the
        wish to be told the usage. Everything else as it came."""
        ...

    def answered(self, body: bytes) -> Told:
        """Of a whole answer. Never raises: what cannot be read is `broken`."""
        ...

    def follow(self, asked: Asked) -> Follower: ...

    def failure(self, status: int, body: bytes) -> tuple[Failure, str]:
        """What an error answer of an upstream means, and its message."""
        ...

    def error(self, error: HeadraceError, status: int) -> bytes:
        """Ours, in the form its clients expect."""
        ...

    def error_event(self, error: HeadraceError) -> bytes:
        """The same inside a stream that has begun: one whole server-sent event."""
        ...

    def refusal(self, status: int, failure: Failure, message: str) -> bytes:
        """The error of an upstream that speaks otherwise, in this form. From one that speaks the same it passes as it
        came."""
        ...
