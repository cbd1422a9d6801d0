"""
title: Headrace
description: Tells Headrace that somebody rated an answer. Made by `headrace chat`; changes here are undone.
version: 1
"""

# The source of a function of Open WebUI, run there: headrace never imports it. It rings a bell and says nothing, so it
# needs no right on either side: Headrace then reads what is new, with its own account (chat/collect.py).

import asyncio
import logging
import os
import urllib.request

log = logging.getLogger(__name__)


class Event:
    async def event(self, event: dict, __event_name__: str) -> None:  # type: ignore[type-arg]
        url, token = os.environ.get("HEADRACE_CHAT_BELL_URL"), os.environ.get("HEADRACE_CHAT_BELL_TOKEN")
        if __event_name__.startswith("feedback.") and url and token:
            await asyncio.to_thread(_ring, url, token)


def _ring(url: str, token: str) -> None:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(url, data=b"{}", headers=headers, method="POST")  # noqa: S310 - of our environment
    try:
        with urllib.request.urlopen(request, timeout=3):  # noqa: S310
            pass
    except OSError as error:  # Headrace looks by itself every minute
        log.warning("Headrace does not answer: %s", error)
