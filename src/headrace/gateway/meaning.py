"""The semantic cache at work: an answer that was given to a prompt that means the same.

Called by complete.py after the exact cache had nothing, for versions that ask for it. Decides nothing: semantic.py says
what may be the same, the exact cache what is still good. Meanings are made elsewhere, beside the event loop.
"""

from __future__ import annotations

from headrace.gateway.board import Embeds, Version
from headrace.gateway.cache import USUAL, Kept, Wish
from headrace.gateway.guard import Guards
from headrace.gateway.semantic import Near, prompt_of
from headrace.gateway.visit import Visit


async def look(visit: Visit, version: Version, wish: Wish, embeds: Embeds) -> Kept | None:
    """And note what this prompt means, for when it is answered. Raises Blocked: what must not be asked is not told."""
    settings, lane = version.chat.cache, visit.lane
    if version.before:
        visit.guards = Guards(version.before, ())
        visit.guards.asked(visit.asked)
    prompt = prompt_of(version.package, visit.request.wire, visit.asked, visit.caller, shared=settings.shared)
    vector = await embeds.embed(prompt.text) if prompt is not None and (wish.look or wish.keep) else None
    if prompt is None or vector is None:
        return None
    visit.near = Near(prompt, vector)
    for score, key in list(lane.shelves.close(visit.near, settings.semantic)):
        kept = lane.cache.get(key, settings, wish)
        if kept is not None:
            visit.similarity = score
            return kept
        if lane.cache.get(key, settings, USUAL) is None:  # not only too old for this caller
            lane.shelves.drop(visit.near, key)
    return None
