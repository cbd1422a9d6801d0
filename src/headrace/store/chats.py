"""Which answer of the chat application is which trace, and what was made of each rating there.

Called by chat/collect.py. An answer with several calls (tools, a continuation) is the trace of its last one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update

from headrace.store.tables import chat_answer, chat_rating, pack, unpack
from headrace.types.chat import Heard


def put_answers(conn: Connection, answers: Iterable[tuple[str, str, float]]) -> None:
    """(message id, trace id, time)."""
    newest = {message: (trace_id, time) for message, trace_id, time in sorted(answers, key=lambda answer: answer[2])}
    for message, (trace_id, time) in newest.items():
        here = chat_answer.c.message == message
        if conn.scalar(select(chat_answer.c.message).where(here)) is None:
            conn.execute(insert(chat_answer).values(message=message, trace_id=trace_id, time=time))
        else:
            conn.execute(
                update(chat_answer).where(here, chat_answer.c.time <= time).values(trace_id=trace_id, time=time)
            )


def trace_of(conn: Connection, message: str) -> str:
    """Empty: not known."""
    return conn.scalar(select(chat_answer.c.trace_id).where(chat_answer.c.message == message)) or ""


def forget_answers(conn: Connection, before: float) -> int:
    """Those whose calls are no longer kept."""
    return int(conn.execute(delete(chat_answer).where(chat_answer.c.time < before)).rowcount)


def heard(conn: Connection) -> tuple[Heard, ...]:
    return tuple(unpack(body, Heard) for body in conn.scalars(select(chat_rating.c.body)))


def put_heard(conn: Connection, made: Heard) -> None:
    body = pack(made)
    if not conn.execute(update(chat_rating).where(chat_rating.c.id == made.id).values(body=body)).rowcount:
        conn.execute(insert(chat_rating).values(id=made.id, body=body))


def forget(conn: Connection, rating_id: str) -> None:
    conn.execute(delete(chat_rating).where(chat_rating.c.id == rating_id))
