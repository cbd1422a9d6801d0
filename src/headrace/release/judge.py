"""Whether two texts mean the same: asked of a URL or a function of somebody else, beside the release clock.

Called by pairs.py for texts of a shadow that differ (`pairs.judge` of the plan). A judge may take seconds, and the
clock must not wait: what is not known yet is asked in a thread and known later; the pair waits for it. A URL gets
{"baseline": "…", "candidate": "…"} by POST and answers {"distance": 0.2}: 0 they mean the same, 1 they do not, null it
cannot say. A function of the entry point group headrace.judges gets both texts and returns that number or None. Who
cannot be asked, twice, cannot say: then the edits decide.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from headrace.base.log import fields
from headrace.release import hook
from headrace.types.errors import HeadraceError, UpstreamError

GROUP = "headrace.judges"
FIELD = "pairs.judge"
SECONDS = 30.0  # a language model may be behind it
AT_ONCE = 8
TRIES = 2
REMEMBERED = 5_000  # answers
TEXT_LIMIT = 20_000  # characters of a text that it gets

Ask = Callable[[str, str], float | None]

log = logging.getLogger("headrace.release")


class _Answer(msgspec.Struct):
    distance: float | None = None


class TextJudge:
    """`ask` may block, and raises HeadraceError when it cannot be asked. Its threads end with the process: nobody waits
    for an answer that nobody needs any more."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.missing = False  # something was asked that is not known yet; whoever cares for it sets it back
        self._name, self._ask = name, ask
        self._known: OrderedDict[tuple[str, str], float | None] = OrderedDict()
        self._asked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, baseline: str, candidate: str) -> float | None:
        both = (baseline[:TEXT_LIMIT], candidate[:TEXT_LIMIT])
        with self._lock:
            if both in self._known:
                return self._known[both]
            self.missing = True
            if both not in self._asked and len(self._asked) < AT_ONCE:
                self._asked.add(both)
                threading.Thread(target=self._hear, args=both, name="judge", daemon=True).start()
        return None

    def _hear(self, baseline: str, candidate: str) -> None:
        told = self._say(baseline, candidate)
        with self._lock:
            self._known[baseline, candidate] = told
            self._asked.discard((baseline, candidate))
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _say(self, baseline: str, candidate: str) -> float | None:
        for _ in range(TRIES):
            try:
                told = self._ask(baseline, candidate)
            except HeadraceError as error:
                log.warning("a judge cannot be asked", extra=fields(judge=self._name, error=error.sentence()))
                continue
            return None if told is None else min(1.0, max(0.0, told))
        return None


def judge_of(which: str) -> TextJudge | None:
    """None when none is wanted."""
    if not which:
        return None
    if hook.is_url(which):
        return TextJudge(which, lambda baseline, candidate: _post(which, baseline, candidate))
    return TextJudge(which, lambda baseline, candidate: _call(which, baseline, candidate))


def check_judge(which: str) -> None:
    """Raises BadInput for one that can never be asked."""
    hook.check(which, group=GROUP, field=FIELD)


def _post(url: str, baseline: str, candidate: str) -> float | None:
    facts = {"baseline": baseline, "candidate": candidate}
    return hook.post(url, facts, _Answer, name="the judge", seconds=SECONDS).distance


def _call(name: str, baseline: str, candidate: str) -> float | None:
    asked = hook.function(name, group=GROUP)
    try:
        told = asked(baseline, candidate)
        return None if told is None else float(told)
    except Exception as error:  # somebody else's code: whatever it raises, it cannot say
        raise UpstreamError(f"{type(error).__name__}: {error}") from error
