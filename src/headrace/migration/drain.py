"""The second write: what the truth has taken is carried to the other store, as often as it takes.

Called by the client's thread, by a switch, and by checks. Decides nothing by time or order of arrival: it reads the
row as it is now, gives it to the other store, which refuses older versions, and only then notes it as settled. Killed
between any two, it is done again and comes to the same.
"""

from __future__ import annotations

from headrace.migration.stores.base import Store

BATCH = 500


def carry(truth: Store, follower: Store, *, limit: int = BATCH) -> int:
    """Some of what is pending; how many rows. Raises UpstreamError when one of the stores cannot."""
    keys = truth.pending(limit)
    if not keys:
        return 0
    rows = truth.get(keys).rows
    follower.follow(rows)
    truth.settle(rows)
    return len(rows)


def carry_all(truth: Store, follower: Store) -> int:
    """Until nothing is pending, or, where writes go on, until they are as fast as this."""
    done = 0
    while count := carry(truth, follower):
        done += count
        if count < BATCH:
            break
    return done
