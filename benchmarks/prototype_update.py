"""Learning a million embeddings online, against one bare `index_add_` of the same rows.

`PrototypeMemory.update` validates, counts, sums in blocks and merges; `index_add_` into a ready
table of float32 sums is the least a mean can cost. Target: below twice its time. The means must
equal numpy's in double precision before anything is timed. Run with the machine otherwise idle:

    python benchmarks/prototype_update.py [threads]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.prototypes import PrototypeMemory

ROWS, DIM, REPEATS = 1_000_000, 64, 11
CLASSES = (10, 100, 1000)


def in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of each call; they take turns, so that a busy moment hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    # The first round warms up.
    return {
        name: {"median": statistics.median(times), "least": min(times), "most": max(times)}
        for name, times in ((name, times[1:]) for name, times in taken.items())
    }


def report(name: str, result: dict[str, Any]) -> None:
    """Write a result beside what it was measured on, and print it."""
    result |= {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load average after": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def worst_gap(z: Tensor, y: Tensor, classes: int) -> float:
    """Largest difference from numpy's means in double precision."""
    found = PrototypeMemory(DIM).update(z, y).means.numpy()
    order, counts = np.argsort(y.numpy(), kind="stable"), np.bincount(y.numpy(), minlength=classes)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(z.numpy().astype(np.float64)[order], starts, axis=0)
    return float(np.abs(found - sums / counts[:, None]).max())


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    result: dict[str, Any] = {"rows": ROWS, "dim": DIM, "runs": REPEATS, "by classes": {}}
    for classes in CLASSES:
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(ROWS, DIM, generator=generator)
        y = torch.randint(classes, (ROWS,), generator=generator)
        gap = worst_gap(z, y, classes)
        assert gap < 1e-6, f"means differ from numpy's by {gap}"
        sums = torch.zeros(classes, DIM)
        seconds = in_turns(
            {
                "update": lambda z=z, y=y: PrototypeMemory(DIM).update(z, y),
                "index_add_": lambda z=z, y=y, sums=sums: sums.index_add_(0, y, z),
            },
            REPEATS,
        )
        ratio = seconds["update"]["median"] / seconds["index_add_"]["median"]
        result["by classes"][str(classes)] = {
            "largest difference from numpy": gap,
            "seconds": seconds,
            "times index_add_": ratio,
        }
    report("prototype_update", result)


if __name__ == "__main__":
    main()
