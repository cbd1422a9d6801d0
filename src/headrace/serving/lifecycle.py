"""The life of one loaded package, from a folder on disk until its memory is given back.

    verifying → reserving → loading → warming → ready → live → draining → retained → unloaded
        └───────────┴──────────┴─────────┴→ refused              └──── live ←────┘   (a roll back takes the warm one)

Called by fleet.py, which alone moves a state. Decides which moves exist.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    VERIFYING = "verifying"  # its files are hashed and compared with the manifest
    RESERVING = "reserving"  # memory is set aside for it
    LOADING = "loading"  # the runtime reads it, beside what runs
    WARMING = "warming"  # real rows go through it; outputs must be finite and fit the signature
    READY = "ready"  # could take traffic; waits until the whole plan can be realised
    LIVE = "live"  # the plan in force uses it
    DRAINING = "draining"  # the plan no longer uses it; calls that began on it are finishing
    RETAINED = "retained"  # idle, kept loaded so that a roll back is instant
    UNLOADED = "unloaded"  # its memory is given back
    REFUSED = "refused"  # did not verify, load or warm; the reason is kept


MOVES: dict[State, frozenset[State]] = {
    State.VERIFYING: frozenset({State.RESERVING, State.REFUSED}),
    State.RESERVING: frozenset({State.LOADING, State.REFUSED}),
    State.LOADING: frozenset({State.WARMING, State.REFUSED}),
    State.WARMING: frozenset({State.READY, State.REFUSED}),
    State.READY: frozenset({State.LIVE, State.DRAINING}),
    State.LIVE: frozenset({State.DRAINING}),
    State.DRAINING: frozenset({State.LIVE, State.RETAINED, State.UNLOADED}),  # unloaded: it answers nobody
    State.RETAINED: frozenset({State.LIVE, State.UNLOADED}),
    State.UNLOADED: frozenset(),
    State.REFUSED: frozenset(),
}
