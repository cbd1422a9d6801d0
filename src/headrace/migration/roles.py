"""Which of the two stores is the truth, and the way from one to the other. Reads from top to bottom as one switch.

Called by client.py (whose turn is it) and migrate.py (change it). Decides every change of roles. The order is the
guarantee:

    1. the truth yields, in one atomic step of its own: from then on it takes no write;
    2. whatever it has taken and the other one has not is carried over;
    3. the other one becomes the truth, in one atomic step of its own.

Between 1 and 3 no store takes a write, so none can be lost; applications wait, for as long as step 2 takes. Whoever
finds stores in that state, an application too, does steps 2 and 3 itself, so that a killed switch holds nobody up. Each
step names the epoch that it expects: of two who do it at once, one finds it done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.migration.drain import carry_all
from headrace.migration.stores.base import Store
from headrace.types.errors import Conflict, Unavailable, UpstreamError
from headrace.types.migration import Role, Standing

Stores = tuple[Store, Store]  # the source, the target
SOURCE, TARGET = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """`truth` and `yielded`: places among the stores. A standing is None where the store does not answer."""

    truth: int | None
    yielded: int | None
    standings: tuple[Standing | None, Standing | None]
    trouble: str = ""


def look(stores: Stores) -> Sides:
    """One after the other: during a switch two may both say that they are the truth, and the later epoch is right; or
    neither, and a second look tells."""
    standings: list[Standing | None] = []
    trouble = ""
    for store in stores:
        try:
            standings.append(store.standing())
        except (UpstreamError, Unavailable) as error:
            standings.append(None)
            trouble = trouble or error.sentence()
    return Sides(
        truth=_latest(standings, Role.TRUTH),
        yielded=_latest(standings, Role.YIELDED),
        standings=(standings[SOURCE], standings[TARGET]),
        trouble=trouble,
    )


def _latest(standings: Sequence[Standing | None], role: Role) -> int | None:
    found = [(s.epoch, n) for n, s in enumerate(standings) if s is not None and s.role is role]
    return max(found)[1] if found else None


def truth_of(stores: Stores) -> int | None:
    """Where reads and writes go. Ends a switch that somebody else has begun; None while that is not yet seen."""
    sides = look(stores)
    if sides.truth is None and sides.yielded is not None:
        complete(stores, old=sides.yielded)
        sides = look(stores)
    if sides.truth is None and sides.trouble:
        raise UpstreamError(f"no store takes writes: {sides.trouble}")
    return sides.truth


def hand_over(stores: Stores, *, old: int) -> None:
    """All three steps. Raises Conflict when the store is not the truth; a store's trouble leaves it yielded."""
    standing = stores[old].standing()
    yielded = Standing(role=Role.YIELDED, epoch=standing.epoch + 1, dual=standing.dual)
    if standing.role is not Role.TRUTH or not standing.dual or not stores[old].stand(yielded, standing):
        raise Conflict(
            f"{stores[old].name} is {standing.role.value} and cannot hand over", hint="headrace migrate status"
        )
    complete(stores, old=old)


def complete(stores: Stores, *, old: int) -> None:
    """Steps 2 and 3, from wherever they are. May be done by several at once."""
    new = 1 - old
    yielded, waiting = stores[old].standing(), stores[new].standing()
    if not _is_open(yielded, waiting):
        return  # somebody else was faster
    carry_all(stores[old], stores[new])
    stores[new].stand(Standing(role=Role.TRUTH, epoch=yielded.epoch, dual=yielded.dual), waiting)
    stores[old].stand(Standing(role=Role.FOLLOWER, epoch=yielded.epoch, dual=yielded.dual), yielded)


def take_back(stores: Stores, *, old: int) -> bool:
    """A store that has yielded is the truth again, because the other one cannot take what it has. False: too late."""
    new = 1 - old
    yielded, waiting = stores[old].standing(), stores[new].standing()
    if not _is_open(yielded, waiting):
        return False
    later = yielded.epoch + 1  # the other one first: whoever is about to make it the truth expects its old epoch
    if not stores[new].stand(Standing(role=Role.FOLLOWER, epoch=later), waiting):
        return False
    return stores[old].stand(Standing(role=Role.TRUTH, epoch=later, dual=yielded.dual), yielded)


def _is_open(yielded: Standing, waiting: Standing) -> bool:
    """A switch that is not ended. The other one may still be called yielded, of an earlier switch that was cut off
    after its last step that matters."""
    waits = waiting.role in (Role.FOLLOWER, Role.YIELDED)
    return yielded.role is Role.YIELDED and waits and waiting.epoch < yielded.epoch


def set_roles(stores: Stores, wanted: Sequence[tuple[int, Role, bool]]) -> None:
    """In this order, in a new epoch: the truth stays where it is, or there would be two. Raises Conflict."""
    epoch = max(store.standing().epoch for store in stores) + 1
    for number, role, dual in wanted:
        old = stores[number].standing()
        if not stores[number].stand(Standing(role=role, epoch=epoch, dual=dual), old):
            raise Conflict(
                f"the role of {stores[number].name} was changed by somebody else meanwhile", hint="try again"
            )
