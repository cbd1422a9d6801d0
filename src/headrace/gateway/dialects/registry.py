"""Which dialect reads which form. A new form is one file and one row here.

Called by complete.py, the edges, and translate/.
"""

from __future__ import annotations

from headrace.gateway.dialects.anthropic_count import CountDialect
from headrace.gateway.dialects.anthropic_messages import MessagesDialect
from headrace.gateway.dialects.base import Dialect
from headrace.gateway.dialects.gemini_generate import GenerateDialect
from headrace.gateway.dialects.openai_chat import ChatDialect
from headrace.gateway.dialects.openai_completions import CompletionsDialect
from headrace.gateway.dialects.openai_embeddings import EmbeddingsDialect
from headrace.gateway.dialects.openai_responses import ResponsesDialect
from headrace.gateway.dialects.raw import RawDialect
from headrace.types.gateway import Wire

_ALL: tuple[Dialect, ...] = (
    ChatDialect(),
    CompletionsDialect(),
    ResponsesDialect(),
    EmbeddingsDialect(),
    MessagesDialect(),
    CountDialect(),
    GenerateDialect(),
    RawDialect(Wire.IMAGES, named=True),
    RawDialect(Wire.AUDIO, named=True),
    RawDialect(Wire.MODERATIONS, named=True),
    RawDialect(Wire.RERANK, named=True),
    RawDialect(Wire.RAW, named=False),
)
DIALECTS: dict[Wire, Dialect] = {dialect.wire: dialect for dialect in _ALL}
