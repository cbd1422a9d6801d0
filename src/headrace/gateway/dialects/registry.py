"""Which dialect reads which form. A new form is one file and one row here.

Called by complete.py, the edges, and translate/.
"""

from __future__ import annotations

from headrace.gateway.dialects.anthropic_messages import MessagesDialect
from headrace.gateway.dialects.base import Dialect
from headrace.gateway.dialects.openai_chat import ChatDialect
from headrace.types.gateway import Wire

DIALECTS: dict[Wire, Dialect] = {dialect.wire: dialect for dialect in (ChatDialect(), MessagesDialect())}
