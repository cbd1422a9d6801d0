"""OpenAI's older completions: a text and what follows it. In all but the prompt and the `text` of a choice like a chat.

Called through registry.py.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields, openai
from headrace.gateway.dialects.base import Address, Asked
from headrace.gateway.dialects.openai_chat import ChatDialect, asked_of
from headrace.types.gateway import Chat, Wire


class CompletionsDialect(ChatDialect):
    wire = Wire.COMPLETIONS

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        """A prompt of token numbers stays as it is: only its model knows how to write text in them."""
        dressed = fields.with_parameters(asked.fields, chat, openai.SAME, {})
        if chat.prompt:
            begun = _begun(fields.value(asked.fields, "prompt"), chat.prompt)
            dressed["prompt"] = msgspec.Raw(fields.encoded(begun))
        return asked_of(dressed, Address(model=asked.model))


def _begun(prompt: Any, before: str) -> Any:
    if prompt is None:
        return before
    if isinstance(prompt, str):
        return f"{before}\n\n{prompt}"
    if isinstance(prompt, list):
        return [f"{before}\n\n{part}" if isinstance(part, str) else part for part in prompt]
    return prompt
