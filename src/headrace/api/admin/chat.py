"""The chat application: its bell, and how it is connected: /api/v1/chat.

The bell is rung by a function inside the application, which holds its token and no other right; a ring carries nothing.
What was rated is read by the chat loop itself (chat/collect.py). The guard lets the bell through: it asks here.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.chat.place import load, place_of
from headrace.chat.wiring import BELL_PATH
from headrace.control.services import Services
from headrace.types.errors import Unauthenticated


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["chat"])
    place = place_of(services.settings)

    @routes.get("/api/v1/chat")
    def show_chat() -> Response:
        """Whether ratings of the chat application come in."""
        return answer(services.chat.state)

    @routes.post(BELL_PATH)
    def ring(request: Request) -> Response:
        """Somebody rated an answer there."""
        connection = load(place)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if connection is None or scheme.lower() != "bearer" or not connection.bell.matches(given):
            raise Unauthenticated("the bell has a token of its own", field="authorization")
        services.chat.ring()
        return answer({"rung": True}, status=202)

    return routes
