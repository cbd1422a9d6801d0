"""The LLM gateway in nouns: providers, what a version of a chat endpoint is, keys, limits, prices, what a call used.

A chat endpoint is an endpoint like any other. Its model versions are `Chat`s: which upstream models answer, in which
order, under which prompt. So a new prompt or a cheaper model is released like a classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.types.step import Step

MILLION = 1_000_000
HOME = "headrace"  # the provider that is this platform: its own models, by the names of their endpoints


class Wire(StrEnum):
    """A form of call: who defined it, and what it is for."""

    CHAT = "openai.chat"
    COMPLETIONS = "openai.completions"
    RESPONSES = "openai.responses"
    EMBEDDINGS = "openai.embeddings"
    IMAGES = "openai.images"
    AUDIO = "openai.audio"
    MODERATIONS = "openai.moderations"
    RERANK = "openai.rerank"
    MESSAGES = "anthropic.messages"
    COUNT_TOKENS = "anthropic.count_tokens"
    GEMINI = "gemini.generate"
    RAW = "raw"  # /passthrough/{provider}/…: nobody looks inside


class ProviderKind(StrEnum):
    """What a provider speaks."""

    OPENAI = "openai"  # and all that is compatible: vLLM, Ollama, llama.cpp, …
    AZURE = "azure"  # OpenAI's, with a deployment in the path and another header for the key
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    OWN = "own"  # this platform's own models: there is one, HOME, and nobody configures it


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`url`: what comes before the path, such as https://api.openai.com/v1. `secret`: name of a sealed secret, or
    env:NAME. `private`: it may be at a private or loopback address."""

    name: str
    kind: ProviderKind
    url: str = ""
    secret: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    private: bool = False
    connections: int = 256
    connect_seconds: float = 5.0
    first_byte_seconds: float = 60.0
    idle_seconds: float = 60.0  # between two pieces of a stream
    total_seconds: float = 600.0
    api_version: str = ""  # azure's query parameter; anthropic's header
    prices: str = ""  # id of the price list, when it is not the kind's own


class Balance(StrEnum):
    """Which of several equal ways takes a call."""

    WEIGHTED = "weighted"
    LEAST_BUSY = "least_busy"
    LATENCY = "latency"  # the better of two picked by weight, by moving average of the time to the first byte
    COST = "cost"  # the cheapest that is healthy


class Affinity(StrEnum):
    """What keeps going the same way."""

    NONE = "none"
    USER = "user"
    CONVERSATION = "conversation"
    PREFIX = "prefix"  # same system prompt and first message: the upstream's prompt cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One upstream model. Ways of tier 0 share the calls; a higher tier answers when all lower ones failed."""

    provider: str
    model: str
    weight: float = 1.0
    tier: int = 0
    context_tokens: int = 0  # that it can take; 0: not known


class Failure(StrEnum):
    """Why an upstream did not answer, as far as what to do next depends on it."""

    CONNECT = "connect"  # not reached
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    SERVER = "server"  # other 5xx
    BROKEN = "broken"  # an error inside a stream, a cut answer, no JSON
    AUTH = "auth"  # 401, 403: our key
    CONTEXT = "context"  # the prompt is too long for this model
    CONTENT = "content"  # its content filter refused
    CALLER = "caller"  # any other 4xx: the request's own fault, the same everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """On the same way, before the first byte. `budget`: share of calls that may be retries, over the last minute."""

    attempts: int = 2  # in all, on one way
    base_ms: int = 200
    cap_ms: int = 5_000
    budget: float = 0.2
    on: tuple[Failure, ...] = (Failure.CONNECT, Failure.RATE_LIMIT, Failure.OVERLOADED, Failure.SERVER, Failure.BROKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A way is left alone after so many failures in a row, until one trial call succeeds."""

    failures: int = 5
    cooldown_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A check of what goes in or comes out. `kind` names a plug-in; `settings` are its own."""

    kind: str
    name: str = ""
    before: bool = True  # it sees what callers say
    after: bool = True  # it sees what models answer
    settings: dict[str, Any] = field(default_factory=dict)


ALIKE = 0.92  # of two prompts, where nobody says another cosine: bench/paraphrases.py


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCache:
    """Answers kept. `semantic`: also for prompts that mean the same, from this cosine on; 0: only for the very same.
    People may write `true`, which is ALIKE. Of such hits the share `check` is asked all the same, for nobody: an answer
    more than `distance` apart (edits, of the longer one's characters), or that the endpoint `judge` says means
    something else, is a false hit."""

    ttl_seconds: float = 0.0  # 0: off
    size_mb: int = 64
    semantic: float = 0.0
    shared: bool = False  # between tenants
    check: float = 0.05
    distance: float = 0.5
    judge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One version of a chat endpoint. `prompt` comes before what the caller sends; `parameters` are set where the
    caller set none; `forced` always."""

    ways: tuple[Way, ...]
    prompt: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    forced: dict[str, Any] = field(default_factory=dict)
    balance: Balance = Balance.WEIGHTED
    affinity: Affinity = Affinity.NONE
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    fall_back_on: tuple[Failure, ...] = (
        Failure.CONNECT,
        Failure.TIMEOUT,
        Failure.RATE_LIMIT,
        Failure.OVERLOADED,
        Failure.SERVER,
        Failure.BROKEN,
        Failure.AUTH,
        Failure.CONTEXT,
        Failure.CONTENT,
    )
    hedge_ms: int = 0  # ask the next way too after this time without a byte; 0: never
    guards: tuple[Guard, ...] = ()
    cache: ChatCache = ChatCache()
    background: str = ""  # endpoint that takes titles, tags and the like of chat applications


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, in buckets that do not overlap: their sum is what was processed."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.output + self.reasoning + self.audio


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD for a million tokens of each bucket, and for a call. `since`: from this time on (seconds since the epoch).
    `above`: for calls with more tokens of input. `pattern`: shapes of other names of this model: `gpt-5*|*/gpt-5`."""

    provider: str
    model: str  # of the upstream
    input: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0
    output: float = 0.0
    reasoning: float = 0.0
    audio: float = 0.0
    call: float = 0.0
    since: float = 0.0
    above: int = 0
    pattern: str = ""
    source: str = ""  # genai-prices 0.2.3; empty: as a person said


class Level(StrEnum):
    """Whose calls a limit counts."""

    ALL = "all"
    WORKSPACE = "workspace"
    TEAM = "team"
    USER = "user"
    KEY = "key"
    ENDPOINT = "endpoint"


class Counted(StrEnum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    COST = "cost"  # USD
    CONCURRENCY = "concurrency"  # calls at once; has no window


class Window(StrEnum):
    MINUTE = "minute"
    DAY = "day"  # of UTC
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `amount` of `counted` in a `window`, for each `who` of a level (empty: each one by itself)."""

    level: Level
    counted: Counted
    amount: float
    window: Window | None = None
    who: str = ""
    dry_run: bool = False  # told, not enforced
    open: bool = True  # when the counters cannot be reached: let calls in


class Scope(StrEnum):
    """What a key may be used for."""

    CHAT = "chat"  # chat, completions, responses, messages
    EMBEDDINGS = "embeddings"
    MEDIA = "media"  # images, audio, moderations, rerank
    PREDICT = "predict"  # /predict, V2, generate
    PASSTHROUGH = "passthrough"  # a provider's own API, whatever it is
    MANAGE = "manage"  # load and unload models, export


USUAL_SCOPES = (Scope.CHAT, Scope.EMBEDDINGS, Scope.MEDIA, Scope.PREDICT)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualKey:
    """`id` is the public part, `hash` the HMAC of the whole key. `models`: endpoint names or patterns; empty: all.

    A key that was turned is known by `before` too, until `before_until`, and by `earlier`, if it was turned before that
    again: hashes, and until when each is good. One that was revoked stays on record.
    """

    id: str
    hash: str
    name: str = ""
    workspace: str = ""
    team: str = ""
    user: str = ""
    models: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    trusted: bool = False  # may say in headers whom it calls for, as a chat application does
    user_secret: str = (
        ""  # of a trusted key: name of the sealed secret that signs X-OpenWebUI-User-Jwt; empty: unsigned
    )
    expires: float = 0.0  # 0: never
    created: float = 0.0
    before: str = ""  # hash of the key that this one replaced
    before_until: float = 0.0
    earlier: tuple[tuple[str, float], ...] = ()
    revoked: float = 0.0  # since when; 0: it is good


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user whom a trusted key may name: where they belong, and what they may ask. `models` as in VirtualKey."""

    user: str
    workspace: str = ""
    team: str = ""
    models: tuple[str, ...] = ()
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A chat endpoint as a file said it should be. `version`: service:/NAME/VERSION."""

    name: str
    version: str
    settings: dict[str, Any] = field(default_factory=dict)  # capture, limits, effects, as an endpoint is configured


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway's part of a plan. `secrets`: sealed, by name; only who has the master key can open them.
    `endpoints`: what files said of chat endpoints, for going back; what is live is in the plan's own endpoints."""

    providers: tuple[Provider, ...] = ()
    keys: tuple[VirtualKey, ...] = ()
    people: tuple[Person, ...] = ()
    limits: tuple[Limit, ...] = ()
    prices: tuple[Price, ...] = ()
    secrets: dict[str, str] = field(default_factory=dict)
    endpoints: tuple[Served, ...] = ()


class Own(StrEnum):
    """Questions of Headrace's own to language models. The ledger has them under these names in place of a key, so that
    nobody's limits count them."""

    SHADOW = "shadow"  # a call put to a candidate too
    JUDGE = "judge"  # whether a text may pass
    CHECK = "check"  # what a semantic hit of the cache would have been answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream that was asked, of a call that took more than one, or that got no answer."""

    provider: str
    model: str
    at_ms: float  # after the call was accepted
    ms: float  # until its answer was whole, or it was over
    outcome: str  # ok, given_up, or a Failure
    status: int = 0  # that it answered with; 0: none
    first_ms: float = 0.0  # of a stream: until its first event
    error: str = ""  # in the upstream's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a line of the journal says of a call to an LLM. `key` of a question of our own: an Own."""

    usage: Usage = Usage()
    cost: float = 0.0  # USD
    provider: str = ""
    model: str = ""  # of the upstream
    key: str = ""  # public id
    team: str = ""
    user: str = ""  # keyed hash
    workspace: str = ""
    first_ms: float = 0.0  # accepted → first byte to the caller; 0: not a stream
    wait_ms: float = 0.0  # for upstreams: what is left of the latency is our own
    attempts: int = 1
    finish: str = ""  # stop, length, tool_calls, content_filter; aborted: the caller hung up
    estimated: bool = False  # nobody told the usage: counted by us
    cached: str = ""  # exact, semantic
    similarity: float = 0.0  # of the prompts, of a semantic hit
    conversation: str = ""
    message: str = ""  # id that a chat application gave the answer
    task: str = ""  # of a chat application's own: title_generation, …: not evidence of quality
    guards: dict[str, int] = field(default_factory=dict)  # what guards found, and how often
    alone: bool = False  # its endpoint has a shadow, which is not asked this
    of: str = ""  # trace id of the call for which Headrace itself asked this
    steps: tuple[Step, ...] = ()  # of a program: what it did for the answer
    tried: tuple[Attempt, ...] = ()  # upstreams, one after the other; empty: the one that is named answered at once


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendSum:
    """What the ledger adds up: `group` has the labels, and `hour` or `day` as seconds since the epoch."""

    group: dict[str, str | int]
    calls: int
    failed: int
    cached: int
    usage: Usage
    cost: float  # USD
