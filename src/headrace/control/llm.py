"""The local LLM in the gateway: provider `local`, and the endpoint that it answers for.

Called by a loop of the control plane that `headrace up --llm` started. Decides what is missing: the provider follows
the address at each start; the endpoint is deployed once, and from then on it is like any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from headrace.base.clock import Clock
from headrace.base.settings import Settings
from headrace.compute.ports import url_of
from headrace.gateway.local import MODEL, PROVIDER
from headrace.release.services import Service
from headrace.store import audit, endpoints, gateway, plans
from headrace.store.db import Database
from headrace.types.gateway import Chat, Provider, ProviderKind, Way

ACTOR: Final = "headrace"
REASON: Final = "the local LLM"


class Deploys(Protocol):
    """What this needs of release.service.Releases."""

    def deploy(self, endpoint: str, source: Service, *, actor: str, reason: str) -> object: ...


class LocalLlm:
    def __init__(self, settings: Settings, *, database: Database, releases: Deploys, clock: Clock) -> None:
        self._provider = Provider(
            name=PROVIDER,
            kind=ProviderKind.OPENAI,
            url=url_of(settings.host, settings.llm_port) + "/v1",
            private=True,
            connections=4 * settings.llm_slots,
        )
        self._context = settings.llm_context // settings.llm_slots
        self._database, self._releases, self._clock = database, releases, clock
        self._done = False

    def turn(self) -> None:
        """Nothing to do from the second time on: what people change afterwards is theirs."""
        if self._done:
            return
        if self._provide():
            way = Way(provider=PROVIDER, model=MODEL, context_tokens=self._context)
            self._releases.deploy(MODEL, Service(name=MODEL, what=Chat(ways=(way,))), actor=ACTOR, reason=REASON)
        self._done = True

    def _provide(self) -> bool:
        """Whether the endpoint is still to be made."""
        with self._database.write() as conn:
            now = gateway.current(conn)
            if self._provider not in now.providers:
                others = tuple(p for p in now.providers if p.name != PROVIDER)
                moment = self._clock.now()
                changed = replace(now, providers=(*others, self._provider))
                number = gateway.put(conn, changed, actor=ACTOR, reason=REASON, now=moment)
                plans.publish(conn, endpoints.all(conn), reason=f"gateway {number}: {REASON}", now=moment)
                detail = f"{REASON}: provider {PROVIDER} at {self._provider.url}"
                subject = f"gateway:{number}"
                audit.append(conn, actor=ACTOR, action="gateway.apply", subject=subject, detail=detail, now=moment)
            return endpoints.get(conn, MODEL) is None
