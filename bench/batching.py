"""What running calls together gives on a heavy model, and what it costs when there is nothing to run together.

Called by `python -m bench batching`. The endpoint's own setting is changed under a running plane: max_batch_size 0
(each call alone) against 64, in turn, in rounds.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.cost import Cost, generator, measure
from bench.options import Options, say
from bench.running import Platform
from bench.serving import prepare_model, sample_of
from bench.wire import Wire, infer, predict, prepare

MODES = {"each call alone": 0, "together, 64 rows at most": 64}
CONCURRENCY = (1, 64)


def batching(platform: Platform, home: Path, options: Options) -> list[str]:
    sample = sample_of(prepare_model(platform, home, "mlp"))
    forms = {"/predict": predict(sample), "V2 binary": infer(sample, Wire.BINARY)}
    pid = platform.pid("data")
    seen: dict[tuple[str, int, str], list[Cost]] = {}
    for number in range(options.rounds):
        for mode, size in MODES.items() if number % 2 == 0 else [*MODES.items()][::-1]:
            _set(platform, size)
            for concurrency in CONCURRENCY:
                for form, request in forms.items():
                    file = prepare(home / "requests", [request])
                    cost = measure(pid, platform.port, file, concurrency=concurrency, seconds=options.seconds)
                    seen.setdefault((form, concurrency, mode), []).append(cost)
                    say(f"  {form}, c={concurrency}, {mode}: {cost.cpu_ms:.3f} ms, {cost.per_second:,.0f}/s")
    lines = [
        (
            f"MLP 784-2048-2048-10, one row per request; the same plane, its endpoint set in turn. Load: {generator()};"
            f" medians of {options.rounds} rounds of {options.seconds:g} s."
        ),
        "",
        "| request | c | mode | CPU-ms/request | requests/s | p50 ms | p99 ms | failed |",
        "|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    for (form, concurrency, mode), costs in sorted(seen.items()):
        rate, p50, p99 = (median(getattr(c, name) for c in costs) for name in ("per_second", "p50_ms", "p99_ms"))
        failed = sum(c.failed for c in costs)
        lines.append(
            f"| {form} | {concurrency} | {mode} | **{_cpu(costs):.3f}** | {rate:,.0f} | {p50:.2f} | {p99:.2f} |"
            f" {failed} |"
        )
    alone, together = MODES
    for form in forms:
        gain, idle = (_cpu(seen[form, c, alone]) / _cpu(seen[form, c, together]) for c in (64, 1))
        waited = median(c.p50_ms for c in seen[form, 1, together]) - median(c.p50_ms for c in seen[form, 1, alone])
        lines += [
            "",
            (
                f"{form}: together takes 1/{gain:.2f} of the CPU at c=64 and 1/{idle:.2f} at c=1, where it adds"
                f" {waited:+.3f} ms to the p50."
            ),
        ]
    return lines


def _cpu(costs: list[Cost]) -> float:
    return median(cost.cpu_ms for cost in costs)


def _set(platform: Platform, size: int) -> None:
    """In force on the plane when it is answered."""
    url = f"{platform.control}/api/v1/endpoints/mlp"
    done = platform.http.patch(url, json={"batching": {"max_batch_size": size}})
    done.raise_for_status()
    found = platform.http.get(url).json()["batching"]["max_batch_size"]
    if found != size:
        raise RuntimeError(f"max_batch_size is {found}, {size} was asked for")
