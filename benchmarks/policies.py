"""Every policy at the size of CUB: seconds and memory, after equality with loops on a small case.

112 concepts, 5,794 rows, 200 classes: the whole curve, orders included, with a linear head, with a
head of 64 hidden units, and for the two policies that try every answer also with concept
embeddings of 16 numbers below a linear head. `random` draws 5 orders. `coop` stands there with
weights of 1, and with weights chosen on validation rows ("coop tuned").

First, on 7 concepts, two groups among them, 40 rows and 5 classes, each policy's curve must equal
that of loops written from the formulas (`_policies_by_loops.py`), with either kind of head.

Each policy is measured in a process of its own. "added MB" is the largest resident memory of the
process while the curve is computed over that just before; "process MB" is all of it. Run with the
machine otherwise idle:

    python benchmarks/policies.py [threads] [repeats]
    python benchmarks/policies.py 2 3 coop "hidden 64"     # one of them again
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import intervention as cub
import torch
from _policies_by_loops import ORDERS, check
from _timing import report, spread
from torch import Tensor

from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.data import Examples
from narrows.heads import LinearHead, MLPHead
from narrows.measure import intervention_curve, policies
from narrows.model import NarrowModel

ROWS = cub.ROWS
RESULT = Path(__file__).parent / "results" / "policies.json"
CASES = [
    *((name, "linear") for name in (*policies(), "coop tuned")),
    *((name, "hidden 64") for name in policies()),
    *((name, "embeddings 16") for name in ("ectp", "coop")),
]


def task(head: str) -> tuple[NarrowModel, Examples, Examples]:
    """A model with one of the heads, rows to measure on and rows to validate on."""
    cub.ROWS = 2 * ROWS
    model, both = cub.task()
    generator = torch.Generator().manual_seed(0)
    if head == "hidden 64":
        made = MLPHead(cub.CONCEPTS, cub.CLASSES, (64,))
        randomise(made, generator)
        tell_apart(made, both)
        model = NarrowModel(model.encoder, model.bottleneck, made, model.classes).eval()
    if head == "embeddings 16":
        layer = ConceptEmbeddingLayer(cub.CONCEPTS, model.bottleneck.names)
        linear = LinearHead(cub.CONCEPTS * layer.width, cub.CLASSES)
        randomise(layer, generator)
        randomise(linear, generator)
        model = NarrowModel(model.encoder, layer, linear, model.classes).eval()
    return model, both[:ROWS], both[ROWS:]


@torch.no_grad()
def randomise(part: torch.nn.Module, generator: torch.Generator) -> None:
    """Random weights of the usual size."""
    for parameter in part.parameters():
        scale = parameter.shape[-1] ** -0.5
        parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def tell_apart(head: MLPHead, rows: Examples) -> None:
    """Random hidden features of the true concepts, their mean per class as its weights."""
    first, relu, last = head.layers
    features = relu(first(2 * rows.c - 1))
    total = torch.zeros(cub.CLASSES, features.shape[1]).index_add_(0, rows.y, features)
    mean = total / torch.bincount(rows.y, minlength=cub.CLASSES)[:, None]
    # Nearest mean: (f - m)^2 is least where f m - m^2 / 2 is largest. On c itself: 2 c - 1.
    first.bias.sub_(first.weight.sum(1))
    first.weight.mul_(2)
    last.weight.copy_(4 * mean)
    last.bias.copy_(-2 * mean.square().sum(1))


def resident(what: str) -> float:
    """Resident memory of this process in MB: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith(f"{what}:"))
    return int(kib) * 1024 / 1e6


def one(name: str, head: str, threads: int, repeats: int) -> dict[str, Any]:
    """Measure one policy, in this process."""
    torch.set_num_threads(threads)
    model, rows, held = task(head)
    policy = name.split()[0]
    validation = held if name in ("lcp", "coop tuned") else None
    warm = torch.arange(20)
    intervention_curve(model, rows[warm], policy, 1, validation=validation and validation[warm])
    clock, busy, added, whole = [], [], [], []
    curve: Tensor
    for _ in range(repeats):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts anew
        before, start, used = resident("VmRSS"), time.perf_counter(), time.process_time()
        found = intervention_curve(model, rows, policy, ORDERS, validation=validation)
        clock.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
        whole.append(resident("VmHWM"))
        added.append(whole[-1] - before)
        curve = found.mean
    return {
        "seconds": spread(clock, busy),
        "runs": repeats,
        "orders": len(found.accuracy),
        "added MB": max(added),
        "process MB": max(whole),
        "accuracy": {"none": float(curve[0]), "ten": float(curve[10]), "all": float(curve[-1])},
        "area": found.area,
    }


def apart(name: str, head: str, threads: int, repeats: int) -> dict[str, Any]:
    """The same in a process of its own."""
    said = subprocess.run(
        [sys.executable, __file__, "--one", name, head, str(threads), str(repeats)],
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(said.stdout)
    clock, busy = (measured["seconds"][what] for what in ("median", "processor median"))
    print(
        f"{name}, {head}: {clock:.2f} s, processor {busy:.2f} s, {measured['added MB']:.0f} MB",
        file=sys.stderr,
        flush=True,
    )
    return measured


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        name, head, threads, repeats = sys.argv[2:]
        print(json.dumps(one(name, head, int(threads), int(repeats))))
        return
    threads, repeats = (int(v) for v in (*sys.argv[1:3], *("2", "3")[len(sys.argv[1:3]) :]))
    cases = [case for case in CASES if not sys.argv[3:] or case == tuple(sys.argv[3:])]
    result: dict[str, Any] = json.loads(RESULT.read_text("utf-8")) if sys.argv[3:] else {}
    result["size"] = {"concepts": cub.CONCEPTS, "rows": ROWS, "classes": cub.CLASSES}
    result["equal to loops on a small case"] = check()
    for name, head in cases:
        measured = apart(name, head, threads, repeats)
        load = os.getloadavg()[0]
        result.setdefault(head, {})[name] = measured | {"threads": threads, "load average": load}
    report("policies", result)


if __name__ == "__main__":
    main()
