"""Intervention curves at the size of CUB, against loops that run the head for each step.

112 concepts, 5,794 rows, 200 classes, a linear head, the random policy with 5 orders: 565 points.
Compared with two loops over the same cached readings (the encoder runs in none of them):

- `head per step`: all rows at once through `NarrowModel.correct`, for each step of each order;
- `row by row`: for each step a Python loop over rows with a list of corrected indices each, then
  the head in batches of 64, in the style of the test-time interventions published with concept
  bottleneck models (written anew here).

All accuracies must be equal before anything is timed. Run with the machine otherwise idle:

    python benchmarks/intervention.py [threads]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _timing import report, spread, times_as_fast
from torch import Tensor, nn

from narrows.concepts.layer import ConceptLayer
from narrows.data import Concepts, Examples
from narrows.heads import LinearHead
from narrows.measure import intervention_curve
from narrows.model import NarrowModel

CONCEPTS, ROWS, CLASSES, ORDERS, REPEATS = 112, 5794, 200, 5, 7


def task(seed: int = 0) -> tuple[NarrowModel, Examples]:
    """Classes with a pattern of concepts each, concepts read through noise."""
    generator = torch.Generator().manual_seed(seed)
    pattern = (torch.rand(CLASSES, CONCEPTS, generator=generator) < 0.3).float()
    y = torch.randint(CLASSES, (ROWS,), generator=generator)
    c = pattern[y]
    x = 2 * c - 1 + 3 * torch.randn(ROWS, CONCEPTS, generator=generator)
    layer = ConceptLayer(CONCEPTS, [f"c{j}" for j in range(CONCEPTS)])
    head = LinearHead(CONCEPTS, CLASSES)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.eye(CONCEPTS))
        layer.linear.bias.zero_()
        noise = 0.3 * torch.randn(CLASSES, CONCEPTS, generator=generator)
        head.weight.copy_(pattern - 0.3 + noise)
        head.bias.copy_(-pattern.sum(1) / 2)
    rows = Examples(x, y, c, tuple(range(CLASSES)), Concepts(layer.names))
    return NarrowModel(nn.Identity(), layer, head, rows.classes).eval(), rows


def orders() -> list[Tensor]:
    """The orders the random policy draws: its definition, written again."""
    return [
        torch.randperm(CONCEPTS, generator=torch.Generator().manual_seed(seed))
        for seed in range(ORDERS)
    ]


@torch.no_grad()
def head_per_step(model: NarrowModel, rows: Examples) -> list[list[float]]:
    reading = model.read(rows.x)
    curves = []
    for order in orders():
        mask = torch.zeros(ROWS, CONCEPTS, dtype=torch.bool)
        curve = []
        for step in range(CONCEPTS + 1):
            if step:
                mask[:, order[step - 1]] = True
            said = model.correct(reading, (mask, rows.c)).prediction.argmax(1)
            curve.append(int((said == rows.y).sum()) / ROWS)
        curves.append(curve)
    return curves


@torch.no_grad()
def row_by_row(model: NarrowModel, rows: Examples) -> list[list[float]]:
    units = model.read(rows.x).units
    curves = []
    for order in orders():
        picked = [order.tolist() for _ in range(ROWS)]
        curve = []
        for step in range(CONCEPTS + 1):
            inputs = []
            for row in range(ROWS):
                replaced = picked[row][:step]
                unit = units[row].clone()
                unit[replaced] = rows.c[row, replaced]
                inputs.append(unit)
            right = 0
            for batch, y in zip(torch.stack(inputs).split(64), rows.y.split(64), strict=True):
                right += int((model.head(batch).argmax(1) == y).sum())
            curve.append(right / ROWS)
        curves.append(curve)
    return curves


def once(call: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What a call gives, its seconds by the clock and its processor seconds."""
    start, busy = time.perf_counter(), time.process_time()
    found = call()
    return found, (time.perf_counter() - start, time.process_time() - busy)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    model, rows = task()
    ours = intervention_curve(model, rows, "random", ORDERS)
    accuracy = ours.accuracy.tolist()
    taken: dict[str, list[tuple[float, float]]] = {"narrows": []}
    for name, loop in {"head per step": head_per_step, "row by row": row_by_row}.items():
        curves, times = once(lambda loop=loop: loop(model, rows))
        assert curves == accuracy, f"{name}: accuracies differ"
        taken[name] = [times]
        # A loop takes so long that it is run once; ours is timed after each of them.
        for _ in range(REPEATS):
            again, times = once(lambda: intervention_curve(model, rows, "random", ORDERS))
            assert torch.equal(again.accuracy, ours.accuracy)
            taken["narrows"].append(times)
    seconds = {name: spread(*map(list, zip(*times, strict=True))) for name, times in taken.items()}
    report(
        "intervention",
        {
            "size": {"concepts": CONCEPTS, "rows": ROWS, "classes": CLASSES, "orders": ORDERS},
            "points": ORDERS * (CONCEPTS + 1),
            "accuracies equal at every point": True,
            "accuracy": {"none": ours.at(0), "ten": ours.at(10), "all": ours.at(CONCEPTS)},
            "runs": {name: len(times) for name, times in taken.items()},
            "seconds": seconds,
            "times as fast": {
                name: times_as_fast(seconds, "narrows", name) for name in taken if name != "narrows"
            },
        },
    )


if __name__ == "__main__":
    main()
