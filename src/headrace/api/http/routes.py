"""Every path of the data plane, on one page.

Called by app/data.py, which built the handlers.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.api.http.described import DescribedHandler
from headrace.api.http.edge import Route
from headrace.api.http.feedback import FeedbackHandler
from headrace.api.http.forward import Forwarder
from headrace.api.http.generate import GenerateHandler
from headrace.api.http.infer import V2Handler
from headrace.api.http.limits import LimitsHandler
from headrace.api.http.llm import LlmHandler
from headrace.api.http.pages import Pages
from headrace.api.http.posted import PostedHandler
from headrace.api.http.predict import PredictHandler
from headrace.api.http.repository import RepositoryHandler
from headrace.api.http.status import StatusHandler
from headrace.types.gateway import Wire

PASSED = ("GET", "POST", "PUT", "PATCH", "DELETE")  # methods of a provider's own API


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    predict: PredictHandler
    feedback: FeedbackHandler
    posted: PostedHandler
    status: StatusHandler
    limits: LimitsHandler
    v2: V2Handler
    described: DescribedHandler
    generate: GenerateHandler
    llm: LlmHandler
    repository: RepositoryHandler
    forward: Forwarder
    pages: Pages


def routes(h: Handlers) -> tuple[Route, ...]:
    versions = ("", "/versions/{version}")
    return (
        Route("POST", "/predict", h.predict, eager=True),
        Route("POST", "/feedback", h.feedback),
        Route("POST", "/feedback/batch", h.feedback.batch),
        Route("POST", "/feedback/tokens", h.feedback.tokens),
        Route("POST", "/metrics/events", h.posted),
        Route("GET", "/health", h.status.health),
        Route("GET", "/health/live", h.status.live),
        Route("GET", "/metrics", h.status.metrics),
        Route("GET", "/limits", h.limits.shown, documented=False),
        Route("GET", "/v2", h.described.server),
        Route("GET", "/v2/health/live", h.described.live),
        Route("GET", "/v2/health/ready", h.described.ready),
        Route("GET", "/v2/models/stats", h.described.statistics),
        *(Route("GET", f"/v2/models/{{model}}{v}", h.described.metadata) for v in versions),
        *(Route("GET", f"/v2/models/{{model}}{v}/ready", h.described.model_ready) for v in versions),
        *(Route("GET", f"/v2/models/{{model}}{v}/config", h.described.configuration) for v in versions),
        *(Route("GET", f"/v2/models/{{model}}{v}/stats", h.described.statistics) for v in versions),
        *(Route("POST", f"/v2/models/{{model}}{v}/generate", h.generate.whole) for v in versions),
        *(Route("POST", f"/v2/models/{{model}}{v}/generate_stream", h.generate.stream) for v in versions),
        *(Route("POST", f"/v2/models/{{model}}{v}/infer", h.v2.infer, eager=True) for v in versions),
        *_llm(h.llm),
        Route("POST", "/v2/repository/index", h.repository.index),
        Route("POST", "/v2/repository/models/{model}/load", h.repository.load),
        Route("POST", "/v2/repository/models/{model}/unload", h.repository.unload),
        Route("GET", "/models", h.forward),
        Route("GET", "/models/{name}/versions", h.forward),
        Route("POST", "/models/{name}/stage", h.forward),
        Route("GET", "/export", h.forward),
        Route("GET", "/docs", h.pages.docs, documented=False),
        Route("GET", "/redoc", h.pages.redoc, documented=False),
        Route("GET", "/openapi.json", h.pages.openapi, documented=False),
        Route("GET", "/docs/assets/{name}", h.pages.asset, documented=False),
    )


def _llm(llm: LlmHandler) -> tuple[Route, ...]:
    forms = {
        "/chat/completions": Wire.CHAT,
        "/completions": Wire.COMPLETIONS,
        "/responses": Wire.RESPONSES,
        "/embeddings": Wire.EMBEDDINGS,
        "/moderations": Wire.MODERATIONS,
        "/rerank": Wire.RERANK,
        "/images/{what}": Wire.IMAGES,
        "/audio/{what}": Wire.AUDIO,
        "/messages": Wire.MESSAGES,
        "/messages/count_tokens": Wire.COUNT_TOKENS,
    }
    return (
        *(Route("POST", f"/v1{tail}", llm.call(wire, tail)) for tail, wire in forms.items()),
        Route("GET", "/v1/models", llm.models),
        Route("GET", "/v1/models/{model}", llm.model),
        Route("POST", "/v1beta/models/{call}", llm.gemini),
        *(Route(method, "/passthrough/{provider}/{rest}", llm.passthrough) for method in PASSED),
    )
