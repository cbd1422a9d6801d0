"""Train, for a program that asks a language model: it is compiled with what people said, by the flywheel's optimizer.

Called by train.py. Compiled in a confined child without keys (programs/compile.py), within the budget that
flywheel.yaml says; measured by the step evaluate and not here, so nothing is asked twice. Killed, it begins again, and
what the language model answered before is in `work`: it gets to where it was without paying again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from headrace.base.files import tree_sha256
from headrace.compute.executors.base import Stopped
from headrace.flywheel.cases import read_cases
from headrace.flywheel.made import KEPT, MODEL, PAID, Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.curate import TRAIN
from headrace.flywheel.teaching import rows_of
from headrace.programs import compile as compilation
from headrace.programs.compile import Request, Told, compile_now
from headrace.programs.definition import signature_of
from headrace.programs.figures import chosen, facts, spent
from headrace.programs.package import Packed, write_package
from headrace.programs.source import read_source
from headrace.store.programs import Registration, save_program
from headrace.store.registry import SHA256_TAG
from headrace.types.errors import BadInput, Conflict, UpstreamError
from headrace.types.program import Compilation, Compiled
from headrace.types.turn import StepName

PACKAGE = "program"


def step(shop: Shop, curated: Made) -> Step:
    turn = shop.turn
    how = turn.flywheel.train.compile or Compilation()
    packed = read_source(shop.code, turn.flywheel.train.program)
    return Step(
        name=StepName.TRAIN,
        key=key_of(
            StepName.TRAIN,
            compilation,
            inputs={"cases": curated.digest, "code": turn.code, "lm": _leads(shop, packed.program.lm, how)},
            params=(turn.endpoint, turn.flywheel.train),
        ),
        build=lambda folder, say: build(shop, curated, packed, folder, say),
    )


def build(shop: Shop, curated: Made, packed: Packed, folder: Path, say: Say) -> Made:
    how = shop.turn.flywheel.train.compile or Compilation()
    taught = rows_of(packed.program, read_cases(curated.file(TRAIN)))
    if not taught.rows and taught.odd:
        raise BadInput(f"no row fits the program {packed.program.name!r}: {taught.why}", field="data")
    request = Request(packed=packed, how=how, rows=tuple(taught.rows), measured=False)

    def tell(told: Told) -> None:
        say(told.share, told.words)

    try:
        found = compile_now(
            request,
            aliases=shop.aliases,
            work=folder / KEPT,
            progress=tell,
            cancelled=shop.stop,
            paid=folder / PAID,
        )
    except Conflict:
        if shop.stop.is_set():
            raise Stopped from None
        raise
    _save(packed, found, request, folder)
    return _made(found, request, folder, taught.odd)


def _leads(shop: Shop, lm: str, how: Compilation) -> str:
    """An alias may lead to another model by the next turn. One that leads nowhere is an error when it is asked."""
    told = []
    for alias in filter(None, (lm, how.reflection_lm)):
        try:
            route = shop.aliases.route(alias)
        except UpstreamError:
            told.append("nowhere")
        else:
            told.append(f"{route.url} {route.model}")
    return "; ".join(told)


def _save(packed: Packed, found: Compiled, request: Request, folder: Path) -> None:
    """As MLflow saves models."""
    done = Packed(program=packed.program, state=found.state, code=packed.code, compiled=facts(request, found))
    package = folder / PACKAGE
    write_package(done, package)
    save_program(
        folder / MODEL,
        Registration(name=packed.program.name, folder=package, signature=signature_of(packed.program)),
    )
    shutil.rmtree(package)


def _made(found: Compiled, request: Request, folder: Path, odd: int) -> Made:
    usage = found.usage
    stopped = f"; stopped early: {found.stopped}" if found.stopped else ""
    money = f", {usage.money:.4g} spent" if usage.money else ""
    metrics = {name: value for name, value in spent(found).items() if name != "seconds"}
    return Made(
        says=f"compiled with {len(request.rows)} rows in {found.seconds:.1f} s, {usage.calls} calls{money}{stopped}",
        counts={"seconds": round(found.seconds, 3), "cost": usage.money, "rows": len(request.rows), "odd": odd}
        | metrics,
        facts={
            "seconds": found.seconds,
            "cost": usage.money,
            "metrics": metrics,
            "params": {name: str(value) for name, value in chosen(request).items()},
            "tags": {"headrace.kind": "program", SHA256_TAG: tree_sha256(folder / MODEL)},
        },
    )
