"""An audit of 500 images and 20 concepts: integrated gradients of 32 steps, and swaps of pixels.

Targets: the whole audit below 120 s on two cores, and swaps at least ten times as fast as
integrated gradients of every concept in every row. The audit itself attributes a concept only
where it is present and predicted so. Each call runs once, after a small one that warms up. Cost
does not depend on weights, so the network is fresh. Run with the machine otherwise idle:

    python benchmarks/locality_audit.py [threads]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _timing import report, spread, times_as_fast

from narrows.concepts.layer import ConceptLayer
from narrows.data import Examples, load
from narrows.encoders import ConvEncoder
from narrows.heads import LinearHead
from narrows.measure import concept_maps, swap
from narrows.measure.audit import audit
from narrows.model import NarrowModel

ROWS, STEPS = 500, 32
TARGET, RATIO = 120.0, 10.0


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    data = load("digit_pairs", sizes=(100, 100, ROWS))
    rows, names = data.test, data.concepts.names
    regions = torch.zeros(len(names), 8, 16, dtype=torch.bool)
    regions[:10, :, :8] = regions[10:, :, 8:] = True
    encoder = ConvEncoder((1, 8, 16))
    layer = ConceptLayer(encoder.outputs, names, data.concepts.groups)
    with torch.no_grad():
        layer.linear.bias.fill_(10.0)  # every concept that is present is predicted so
    model = NarrowModel(encoder, layer, LinearHead(len(names), 19), data.classes).eval()

    calls: dict[str, Callable[[Examples], Any]] = {
        "audit": lambda some: audit(model, some, regions, steps=STEPS),
        "integrated gradients of everything": lambda some: concept_maps(model, some.x, steps=STEPS),
        "swap": lambda some: swap(model, some, regions),
    }
    seconds = {}
    for name, call in calls.items():
        call(rows[:20])
        start, busy = time.perf_counter(), time.process_time()
        call(rows)
        clock, processor = time.perf_counter() - start, time.process_time() - busy
        seconds[name] = spread([clock], [processor])
    ratio = times_as_fast(seconds, "swap", "integrated gradients of everything")
    report(
        "locality_audit",
        {
            "size": {"rows": ROWS, "concepts": len(names), "steps": STEPS, "pixels": [8, 16]},
            "runs": 1,
            "seconds": seconds,
            "swap is times as fast as integrated gradients of everything": ratio,
            "target": f"audit below {TARGET:g} s; swap {RATIO:g} times as fast",
            "met": seconds["audit"]["most"] < TARGET and ratio["processor median"] >= RATIO,
        },
    )


if __name__ == "__main__":
    main()
