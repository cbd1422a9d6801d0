"""Release: the control plane is asked to move traffic to the new version, on evidence.

Asked once: the release's id follows from the turn's, so the control plane knows a second request for the first. While
another release runs on the endpoint it waits, as long as a step may.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from headrace.flywheel.made import Made, Say, Step
from headrace.flywheel.shop import Shop
from headrace.types.errors import ApprovalNeeded, Conflict, ModelError, Unavailable
from headrace.types.turn import StepName

WAIT_SECONDS = 3600.0
LOOK_SECONDS = 2.0
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def step(shop: Shop, registered: Made) -> Step:
    return Step(
        name=StepName.RELEASE,
        key=f"{StepName.RELEASE}-{shop.turn.id}",
        build=lambda folder, say: build(shop, registered, folder, say),
        kept=False,
    )


def build(shop: Shop, registered: Made, folder: Path, say: Say) -> Made:
    del folder
    plan, version = shop.turn.flywheel.release, registered.facts["version"]
    if plan is None:
        return Made(says=f"{version} is registered; no release is wanted")
    wanted, end = release_id(shop.turn.id), shop.clock.steady() + WAIT_SECONDS
    while True:
        say(0.5, f"asking for a release of {version}")
        try:
            begun = shop.control.release(shop.turn.endpoint, version, plan=plan, release_id=wanted)
        except ApprovalNeeded as needed:
            return Made(says=f"{version} waits for a second person: {needed.sentence()}")
        except ModelError as refused:
            return Made(refused=f"{version} was refused before it got traffic: {refused.sentence()}")
        except Conflict as busy:
            if busy.field == "candidate" or shop.clock.steady() > end:
                raise
            say(0.2, f"waits: {busy.message}")
            if shop.stop.wait(LOOK_SECONDS):
                raise Unavailable("stopped while waiting for another release") from busy
            continue
        return Made(
            says=f"release {begun['id']} of {version} began: {begun['phase']}", facts={"release": str(begun["id"])}
        )


def release_id(turn_id: str) -> str:
    """The same for the same turn, in the form of all releases' ids."""
    bits = int.from_bytes(blake2b(turn_id.encode(), digest_size=10, person=b"turn release").digest())
    return "rel_" + "".join(_ALPHABET[(bits >> shift) & 31] for shift in range(75, -1, -5))
