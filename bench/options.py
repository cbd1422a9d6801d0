"""What the command line of `python -m bench` says, and where progress is told.

Called by __main__.py and the sections. Decides what quick and full mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from bench.wire import Wire

MODELS = ("digits", "forest", "mlp", "magika")
QUICK = {"digits": (16,), "mlp": (64,)}  # what the server itself costs, and what running rows together gives
LONG = ("soak", "chats")  # sections that a quick run leaves out
_BEGAN = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    peers: tuple[str, ...]  # parts of names; none: all
    models: tuple[str, ...]
    wires: tuple[Wire, ...]
    concurrency: tuple[int, ...]  # none: QUICK's
    rounds: int
    seconds: float  # of one point in one round
    minutes: float  # of soak and chats
    rate: float  # of the soak, requests/s
    pause: float  # of chats: seconds between two calls of one caller

    def levels(self, model: str) -> tuple[int, ...]:
        return self.concurrency or QUICK.get(model, (16,))


def parse(sections: tuple[str, ...], arguments: list[str]) -> tuple[list[str], bool, str, Options]:
    """The sections to run, whether to write the results, a remark for them, and the rest."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures Headrace, and peers beside it, on this machine."
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of: {', '.join(sections)}")
    parser.add_argument(
        "--full", action="store_true", help="all models, all concurrencies, longer rounds: 1 to 2 hours"
    )
    parser.add_argument("--peers", default="", help="parts of names, such as mlserver,triton,floor; default: all")
    parser.add_argument("--models", default="", help=f"some of: {', '.join(MODELS)}")
    parser.add_argument("--wires", default="", help="json,binary")
    parser.add_argument("--concurrency", default="", help="such as 1,16,64")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0, help="of one point in one round")
    parser.add_argument("--minutes", type=float, default=0.0, help="of soak and chats; default 10, quick 1")
    parser.add_argument("--rate", type=float, default=2000.0, help="of the soak, requests/s")
    parser.add_argument("--pause", type=float, default=0.0, help="of chats: seconds between two calls of one caller")
    parser.add_argument("--write", action="store_true", help="replace these sections in bench/results.md")
    parser.add_argument("--remark", default="", help="said in the head of each section, such as the machine's load")
    given = parser.parse_args(arguments)
    for name in given.sections:
        if name not in sections:
            parser.error(f"there is no section {name!r}; there are: {', '.join(sections)}")
    for name in _words(given.models):
        if name not in MODELS:
            parser.error(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    full = given.full
    options = Options(
        peers=_words(given.peers),
        models=_words(given.models) or (MODELS if full else tuple(QUICK)),
        wires=tuple(Wire(word) for word in _words(given.wires)) or tuple(Wire),
        concurrency=tuple(int(word) for word in _words(given.concurrency)) or ((1, 16, 64) if full else ()),
        rounds=given.rounds or (3 if full else 2),
        seconds=given.seconds or (4.0 if full else 2.0),
        minutes=given.minutes or (10.0 if full else 1.0),
        rate=given.rate,
        pause=given.pause,
    )
    wanted = given.sections or [name for name in sections if full or name not in LONG]
    return wanted, given.write or not given.sections, given.remark, options


def say(text: str) -> None:
    sys.stderr.write(f"{time.monotonic() - _BEGAN:5.0f} s  {text}\n")
    sys.stderr.flush()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
