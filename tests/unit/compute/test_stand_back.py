"""Standing back for a processor is asked for; where the system refuses, a program starts all the same."""

from __future__ import annotations

import builtins
import errno
import os

import pytest

from headrace.compute import leash


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EROFS, errno.EACCES])
def test_a_session_that_may_not_stand_back_is_no_reason_not_to_start(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asked: list[str] = []

    def refuse(path: str, mode: str) -> None:
        asked.append(path)
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "nice", lambda more: more)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    monkeypatch.setattr(builtins, "open", refuse)
    leash.stand_back(5)
    assert asked == ["/proc/self/autogroup"]


def test_a_session_that_is_shared_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(path: str, mode: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(os, "nice", lambda more: more)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid() + 1)
    monkeypatch.setattr(builtins, "open", never)
    leash.stand_back(5)
