"""Are the two stores the same? Sums of all rows first, then the rows of those ranges whose sums differ, one by one.

Called by migrate.py, while applications write. Decides what counts as different: a row that still is when both stores
have the same version of it, or when nothing is pending and the follower's is older. What was merely on its way is not.
Memory is bounded: two lists of sums, and one page of rows at a time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from headrace.migration.copy import Shown
from headrace.migration.drain import carry_all
from headrace.migration.stores.base import Store
from headrace.migration.values import Sums, bucket_of, same
from headrace.types.migration import Check, Difference, Differing, Key, Layout, Page, Progress, Row

SHOWN = 100  # differing rows that are listed
LOOKS = 10  # at a row that is being written


class Checking:
    """One check. `repair`: the follower is given what the truth has."""

    def __init__(self, truth: Store, follower: Store, layout: Layout, *, limit: int, repair: bool, show: Shown) -> None:
        self._truth, self._follower, self._layout = truth, follower, layout
        self._limit, self._repair, self._show = limit, repair, show
        self._listed: list[Differing] = []
        self._differences = self._repaired = self._compared = 0

    def all_rows(self, now: float) -> Check:
        total = self._truth.size()
        mine, others = Sums(self._layout), Sums(self._layout)
        for name, store, sums in (
            ("sum up the truth", self._truth, mine),
            ("sum up the follower", self._follower, others),
        ):
            for page in pages(store, self._limit):
                sums.add(page.rows)
                self._show(Progress(what=name, done=sums.rows, total=max(total, sums.rows)))
        buckets = mine.differing(others)
        if buckets:
            self._compare_ranges(buckets, total)
        self._compared += mine.rows
        return self._result(now, mine.rows, sums=mine)

    def sample(self, now: float, share: float) -> Check:
        """Some rows of the truth, others each time. A row that only the follower has is not found."""
        salt, rows = random.randbytes(8), 0  # noqa: S311 - no secret
        total = self._truth.size()
        for page in pages(self._truth, self._limit):
            rows += len(page.rows)
            self._compare([row.key for row in page.rows if _drawn(row.key, salt, share)])
            self._show(Progress(what="compare", done=rows, total=max(total, rows)))
        return self._result(now, rows, sample=share)

    def keys(self, now: float, keys: Sequence[Key]) -> Check:
        self._compare(keys)
        return self._result(now, len(keys))

    def _compare_ranges(self, buckets: frozenset[int], total: int) -> None:
        done = 0
        for page in pages(self._truth, self._limit):
            done += len(page.rows)
            self._compare([row.key for row in page.rows if bucket_of(row.key) in buckets])
            self._show(Progress(what="compare", done=done, total=max(total, done)))
        for page in pages(self._follower, self._limit):
            keys = [row.key for row in page.rows if bucket_of(row.key) in buckets]
            there = self._truth.get(keys).rows if keys else ()
            self._compare([row.key for row in there if row.values is None])

    def _compare(self, keys: Sequence[Key]) -> None:
        self._compared += len(keys)
        differing = [
            d for d in (self._looked_at(keys) if keys else ()) if d.key not in {known.key for known in self._listed}
        ]
        self._differences += len(differing)
        self._listed += differing[: SHOWN - len(self._listed)]
        if self._repair and differing:
            mended = [d.key for d in differing if d.what is not Difference.AHEAD]
            self._follower.follow(self._truth.get(mended).rows)
            left = {d.key for d in self._looked_at([d.key for d in differing])}
            self._repaired += len(differing) - len(left)

    def _looked_at(self, keys: Sequence[Key]) -> list[Differing]:
        """Once, and again for those that differ, after everything pending has been carried."""
        differing: list[Differing] = []
        seen: dict[Key, tuple[int, int]] = {}
        for look in range(LOOKS):
            if look:
                carry_all(self._truth, self._follower)
            # The follower first: what the truth shows then is the same version, or a later one.
            behind, ahead = self._follower.get(keys).rows, self._truth.get(keys).rows
            pairs = [(a, b) for a, b in zip(ahead, behind, strict=True) if not same(self._layout, a, b)]
            if look:
                # A follower's row of a later version than before was just given to it, values and all.
                pairs = [(a, b) for a, b in pairs if b.version >= a.version or b.version == seen[a.key][1]]
                stayed = [(a, b) for a, b in pairs if b.version >= a.version or seen[a.key] == (a.version, b.version)]
                differing += [self._told(a, b) for a, b in stayed]
            told = {d.key for d in differing}
            seen = {a.key: (a.version, b.version) for a, b in pairs if a.key not in told}
            keys = list(seen)
            if not keys:
                return differing
        return [*differing, *(self._told(a, b, unsettled=True) for a, b in pairs if a.key in seen)]

    def _told(self, truth: Row, follower: Row, *, unsettled: bool = False) -> Differing:
        if follower.version > truth.version:
            what = Difference.AHEAD
        elif follower.values is None:
            what = Difference.MISSING
        elif truth.values is None:
            what = Difference.EXTRA
        else:
            what = Difference.UNSETTLED if unsettled else Difference.CHANGED
        return Differing(key=truth.key, what=what, truth=truth, follower=follower)

    def _result(self, now: float, rows: int, *, sums: Sums | None = None, sample: float = 1.0) -> Check:
        return Check(
            time=now,
            rows=rows,
            compared=self._compared,
            differing=tuple(self._listed),
            differences=self._differences - self._repaired,
            repaired=self._repaired,
            fingerprint=sums.fingerprint() if sums and not self._differences else "",
            sample=sample,
        )


def pages(store: Store, limit: int) -> Iterator[Page]:
    after = ""
    while True:
        page = store.page(after, limit)
        yield page
        if not page.after:
            return
        after = page.after


def _drawn(key: Key, salt: bytes, share: float) -> bool:
    return int.from_bytes(blake2b(str(key).encode(), key=salt, digest_size=4).digest(), "big") < share * (1 << 32)


def shown(differing: Iterable[Differing]) -> list[str]:
    """Each in a few words; no values, which may be nobody's business."""
    return [f"{d.key!r} {d.what.value} (version {d.truth.version}, {d.follower.version})" for d in differing]
