"""What a compilation was asked and what it took, as words and numbers for people: MLflow's UI, and who opens a package.

Called by service.py and by the flywheel's turns. Pure, but for the time of day.
"""

from __future__ import annotations

import time
from typing import Any

from headrace.programs.compile import Request
from headrace.types.program import Compiled, ModuleKind

SAMPLED = 50  # rows whose length is looked at
CHARACTERS = 4  # of a token
FRAME = 60  # tokens that a prompt has beside
THOUGHT = 80  # tokens of a chain of thought or a step


def chosen(request: Request) -> dict[str, Any]:
    program, how = request.packed.program, request.how
    return {
        "optimizer": how.optimizer.value,
        "metric": how.metric,
        "seed": how.seed,
        "lm": program.lm,
        "kind": program.kind.value if program.code is None else "code",
        "rows": len(request.rows),
        "budget_calls": how.budget.calls,
        "budget_money": how.budget.money,
        **{f"settings.{name}": value for name, value in how.settings.items()},
    }


def tokens_of_call(request: Request) -> tuple[int, int]:
    """About how many one call reads and writes: four characters make a token, and what optimizers add is not known."""
    program, rows = request.packed.program, request.rows[:SAMPLED]
    asked = [len(str(row.get(item.name, ""))) for row in rows for item in program.inputs]
    answered = [len(str(row.get(item.name, ""))) for row in rows for item in program.outputs]
    fields = sum(len(item.name) + len(item.description) + 40 for item in (*program.inputs, *program.outputs))
    shown = sum(len(str(example)) for example in program.examples)
    read = len(program.instructions) + fields + shown + sum(asked) / max(1, len(rows))
    written = sum(answered) / max(1, len(rows)) + 20 * len(program.outputs)
    thinks = 0 if program.kind is ModuleKind.PREDICT else THOUGHT
    return round(read / CHARACTERS) + FRAME, round(written / CHARACTERS) + thinks


def spent(compiled: Compiled) -> dict[str, float]:
    usage = compiled.usage
    return {
        "lm_calls": float(usage.calls),
        "lm_prompt_tokens": float(usage.prompt_tokens),
        "lm_completion_tokens": float(usage.completion_tokens),
        "lm_money": usage.money,
        "seconds": compiled.seconds,
        "demos": float(compiled.demos),
    }


def facts(request: Request, compiled: Compiled) -> dict[str, Any]:
    """For people who open the package: by what it was compiled, and what that brought."""
    return {
        "optimizer": compiled.optimizer.value,
        "metric": request.how.metric,
        "seed": request.how.seed,
        "before": compiled.before,
        "after": compiled.after,
        "gain": compiled.gain,
        "usage": compiled.usage,
        "time": round(time.time(), 3),
    }
