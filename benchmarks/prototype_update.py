"""Learning a million embeddings online, against one bare `index_add_` of the same rows.

`PrototypeMemory.update` validates, counts, sums in blocks and merges; `index_add_` into a ready
table of float32 sums is the least a mean can cost. Target: below twice its time. The means must
equal numpy's in double precision before anything is timed. Run with the machine otherwise idle:

    python benchmarks/prototype_update.py [threads]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor

from narrows.prototypes import PrototypeMemory

ROWS, DIM, REPEATS = 1_000_000, 64, 11
CLASSES = (10, 100, 1000)


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
        result["by classes"][str(classes)] = {
            "largest difference from numpy": gap,
            "seconds": seconds,
            "times index_add_": times_as_fast(seconds, "index_add_", "update"),
        }
    report("prototype_update", result)


if __name__ == "__main__":
    main()
