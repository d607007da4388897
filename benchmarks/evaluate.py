"""All measures of `measure.evaluate` on 2,000 test rows, 20 concepts and 19 classes.

`digit_pairs` with 2,000 training, 400 validation and 2,000 test rows; a joint concept bottleneck
(concepts are numbers) and a concept embedding model (concepts are vectors of 16), trained for a
few epochs: how good they are does not matter here. Each measure is timed alone, then all of them
in one call with 5 seeds. Target: below 60 seconds on two cores. The second of two calls must
give the same numbers.

    python benchmarks/evaluate.py [threads] [cbm|cem]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _timing import report

import narrows as nw
from narrows import measure
from narrows.measure.evaluate import WHICH

SIZES, SEEDS, EPOCHS = (2000, 400, 2000), 5, 10


def timed(call: Any) -> tuple[Any, dict[str, float]]:
    start, busy = time.perf_counter(), time.process_time()
    found = call()
    return found, {
        "seconds": time.perf_counter() - start,
        "processor seconds": time.process_time() - busy,
    }


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    chosen = sys.argv[2] if len(sys.argv) > 2 else "cbm"
    method = {"cbm": nw.CBM("joint", epochs=EPOCHS), "cem": nw.CEM(epochs=EPOCHS)}[chosen]
    data = nw.load("digit_pairs", seed=0, sizes=SIZES)
    assert len(data.concepts) == 20
    assert len(data.classes) == 19
    model = method.fit(data).model_
    measure.evaluate(model, data, which=["auc"])  # imports and first calls
    each = {}
    for which in WHICH:
        _, each[which] = timed(
            lambda which=which: measure.evaluate(model, data, [which], seeds=SEEDS)
        )
    found, whole = timed(lambda: measure.evaluate(model, data, seeds=SEEDS))
    print(found.table())
    again = measure.evaluate(model, data, ["cas", "nis", "anec"], seeds=SEEDS)
    same = all(again.to_dict()[name] == found.to_dict()[name] for name in ("cas", "nis", "anec"))
    assert same, "two calls with one seed differ"
    path = Path(__file__).parent / "results" / "evaluate.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result = {
        "size": {"train, val, test": SIZES, "concepts": 20, "classes": 19, "seeds": SEEDS},
        "target": "below 60 seconds on two cores",
        "models": before.get("models", {})
        | {
            chosen: {
                "all": whole,
                "each alone": each,
                "the same twice": same,
                "threads": torch.get_num_threads(),
                "table": {row.name: [row.value, row.beside] for row in found.rows},
            }
        },
    }
    report("evaluate", result)


if __name__ == "__main__":
    main()
