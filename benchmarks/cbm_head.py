"""One epoch of a joint concept bottleneck on cached features at CUB's size, against a bare loop.

5,994 rows of 2,048 features, 112 concepts, 200 classes. The bare loop is what one would write by
hand: permute, index, two linear layers, two losses, AdamW; ours adds masks for unknown labels,
logs and resume, and takes torch's fused AdamW as `CBM` does. Target: at most 1.15 times its time.
After the epoch both must hold the same weights before anything is timed.

    python benchmarks/cbm_head.py [threads]
"""

from __future__ import annotations

import copy
import sys

import torch
from _timing import in_turns, report
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from narrows.concepts import ConceptLayer
from narrows.functional.losses import concept_loss, label_loss
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.train import Run, fit_stage, generator

ROWS, FEATURES, CONCEPTS, CLASSES, BATCH, REPEATS = 5994, 2048, 112, 200, 64, 9
LAMBDA, RATE = 1.0, 3e-3


def data() -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, FEATURES, generator=source)
    c = (x[:, :CONCEPTS] > 0).float()
    return {"x": x, "y": torch.randint(CLASSES, (ROWS,), generator=source), "c": c}


def optimizer(module: nn.Module, fused: bool | None = None) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), RATE, weight_decay=4e-4, fused=fused)


def ours(model: NarrowModel, columns: dict[str, Tensor]) -> None:
    layer, head = model.bottleneck, model.head

    def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = layer.logits(batch["x"])
        label = label_loss(head(layer.write(layer.let_through(logits))), batch["y"])
        concepts = concept_loss(logits, batch["c"])
        total = (label + LAMBDA * concepts.sum()) / (1 + LAMBDA * CONCEPTS)
        return {"loss": total, "label": label, "concepts": concepts.mean()}

    fit_stage(
        Run(),
        "joint",
        model,
        loss,
        columns,
        optimizer(model, fused=True),
        epochs=1,
        batch_size=BATCH,
    )


def bare(model: NarrowModel, columns: dict[str, Tensor]) -> None:
    linear, head, steps = model.bottleneck.linear, model.head, optimizer(model)
    order = torch.randperm(ROWS, generator=generator(0, "order", 0, 0))
    for rows in order.split(BATCH):
        x, y, c = columns["x"][rows], columns["y"][rows], columns["c"][rows]
        logits = linear(x)
        label = cross_entropy(head(logits.sigmoid()), y)
        concepts = binary_cross_entropy_with_logits(logits, c)
        loss = (label + LAMBDA * CONCEPTS * concepts) / (1 + LAMBDA * CONCEPTS)
        steps.zero_grad()
        loss.backward()
        steps.step()


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    names = [f"c{j}" for j in range(CONCEPTS)]
    head = LinearHead(CONCEPTS, CLASSES)
    start = NarrowModel(nn.Identity(), ConceptLayer(FEATURES, names), head)
    columns = data()
    trained = [copy.deepcopy(start), copy.deepcopy(start)]
    for model, train in zip(trained, (ours, bare), strict=True):
        train(model, columns)
    gap = max(
        float((a - b).detach().abs().max())
        for a, b in zip(trained[0].parameters(), trained[1].parameters(), strict=True)
    )
    assert gap < 1e-3, f"weights differ by {gap}"
    seconds = in_turns(
        {
            "narrows": lambda: ours(copy.deepcopy(start), columns),
            "bare loop": lambda: bare(copy.deepcopy(start), columns),
        },
        REPEATS,
    )
    ratio = seconds["narrows"]["median"] / seconds["bare loop"]["median"]
    report(
        "cbm_head",
        {
            "rows": ROWS,
            "features": FEATURES,
            "concepts": CONCEPTS,
            "classes": CLASSES,
            "runs": REPEATS,
            "largest difference of weights": gap,
            "seconds": seconds,
            "ratio": ratio,
            "target": "at most 1.15",
        },
    )


if __name__ == "__main__":
    main()
