"""Inference in the joint energy, against a loop that reads the model anew for each batch.

112 concepts, 200 classes, 512 features, embeddings of 128 numbers, trained on rows of that shape;
256 rows are searched. Compared with the procedure as published, written anew here: two logits a
concept and one a class, mixed embeddings, the three energies by their formulas, gradients by
autograd, torch's Adam, batches of 64 rows. It runs twice: reading the weights from disk for each
batch, as the released code does, and with the weights in memory. The file holds the energy
networks alone; the released code reads a whole backbone with them. Features are computed once in
all cases. All stop by the same rule.

Before anything is timed: after 9 steps, when no row has stopped yet, concepts, labels and energies
must equal those of the loop; where all have stopped, the decisions must be the same; and the
answers for a row must not depend on the rows beside it. Run with the machine otherwise idle:

    python benchmarks/energy_search.py [threads]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from _timing import in_turns, report, times_as_fast
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from narrows.concepts import ECBM, EnergyBottleneck
from narrows.concepts.energy.energies import Energies
from narrows.data import Concepts, Examples

CONCEPTS, CLASSES, FEATURES, DIMS, ROWS, BATCH, REPEATS = 112, 200, 512, 128, 256, 64, 3
LABEL, CONCEPT, JOINT = 1.0, 1.0, 0.01
RATE, STEPS, STALE, PROGRESS = 0.1, 200, 10, 1e-3

Answer = tuple[Tensor, Tensor, Tensor]  # concepts, label, energy


def task(rows: int, seed: int) -> Examples:
    """Classes with a pattern of concepts each; the features show the concepts through noise."""
    shared = torch.Generator().manual_seed(0)
    pattern = (torch.rand(CLASSES, CONCEPTS, generator=shared) < 0.3).float()
    view = torch.randn(CONCEPTS, FEATURES, generator=shared)
    own = torch.Generator().manual_seed(seed)
    y = torch.randint(CLASSES, (rows,), generator=own)
    c = pattern[y]
    flip = torch.rand(c.shape, generator=own) < 0.05
    c = torch.where(flip, 1 - c, c)
    x = (2 * c - 1) @ view / CONCEPTS**0.5 + torch.randn(rows, FEATURES, generator=own)
    names = Concepts(tuple(f"c{k}" for k in range(CONCEPTS)))
    return Examples(x, y, c, tuple(range(CLASSES)), names)


def ours(layer: EnergyBottleneck, h: Tensor, steps: int = STEPS) -> Answer:
    found = layer.infer(h, weights=(LABEL, CONCEPT, JOINT), steps=steps)
    return found.concepts, found.label, found.energy


def published(e: Energies, z: Tensor, steps: int = STEPS) -> Answer:
    """One batch, as the paper puts it."""
    with torch.no_grad():
        a, h = e.class_map(z), e.concept_map(z)
        stack = e.mixer.flatten(0, 1)
        # Our energies leave out what all states share; the rule for stopping must see the same.
        shared = LABEL * (a.relu() @ e.class_weight)
        shared = shared + CONCEPT * (h.relu() @ e.concept_weight.sum(0))
    q = torch.zeros(len(z), CONCEPTS, 2, requires_grad=True)
    r = torch.zeros(len(z), CLASSES, requires_grad=True)
    adam = torch.optim.Adam([q, r], lr=RATE)
    answer: Any = (torch.zeros(len(z), CONCEPTS), torch.zeros(len(z), CLASSES), torch.zeros(len(z)))
    best, stale = torch.full((len(z),), torch.inf), torch.zeros(len(z))
    for step in range(steps + 1):
        p, label = q.softmax(-1), r.softmax(-1)
        mixed = (p[..., None] * e.concept_embedding).sum(-2)
        direction = normalize(label @ e.class_embedding, dim=-1)
        of_class = (a * direction + a).relu() @ e.class_weight
        seen = h[:, None] * normalize(mixed, dim=-1) + h[:, None]
        of_concepts = (seen.relu() * e.concept_weight).sum((-1, -2))
        placed = mixed.flatten(1) @ stack
        joint = (placed * direction + placed).relu() @ e.joint_weight
        energy = LABEL * of_class + CONCEPT * of_concepts + JOINT * joint
        now = energy.detach() - shared
        better = now < best - PROGRESS * (1 + now.abs())
        best = torch.where(better, now, best)
        going = stale < STALE
        stale = torch.where(better & going, 0.0, stale + 1)
        # Adam moves each number by itself: a row's answer is where it stood when it stopped.
        state = (p[..., 1].detach(), label.detach(), now)
        answer = tuple(
            torch.where(going.reshape(-1, *[1] * (s.ndim - 1)), s, old)
            for s, old in zip(state, answer, strict=True)
        )
        if step == steps or bool((stale >= STALE).all()):
            break
        adam.zero_grad()
        energy.sum().backward()
        adam.step()
    return answer


def loop(e: Energies, h: Tensor, file: Path | None = None, steps: int = STEPS) -> Answer:
    """Batch by batch; with a file, its weights are read for each of them."""
    parts = []
    for rows in h.split(BATCH):
        if file is not None:
            e = Energies(FEATURES, CONCEPTS, CLASSES, DIMS).eval()
            e.load_state_dict(load_file(file))
            e.requires_grad_(False)
        parts.append(published(e, rows, steps))
    concepts, label, energy = (torch.cat(part) for part in zip(*parts, strict=True))
    return concepts, label, energy


def gap(found: Answer, wanted: Answer) -> float:
    """The largest difference of probabilities, and of energies relative to theirs."""
    scale = (torch.ones(()), torch.ones(()), 1 + wanted[2].abs())
    parts = zip(found, wanted, scale, strict=True)
    return max(float(((a - b).abs() / s).max()) for a, b, s in parts)


def alike(found: Answer, wanted: Answer) -> float:
    """The share of rows with the same label and all the same concepts."""
    same = ((found[0] > 0.5) == (wanted[0] > 0.5)).all(1)
    return float((same & (found[1].argmax(1) == wanted[1].argmax(1))).float().mean())


def checks(layer: EnergyBottleneck, h: Tensor, file: Path) -> dict[str, float]:
    early = gap(ours(layer, h, 9), loop(layer.energies, h, file, 9))
    assert early < 1e-4, f"after 9 steps answers differ by {early}"
    whole = ours(layer, h)
    batches = [ours(layer, rows) for rows in h.split(BATCH)]
    alone = [ours(layer, h[n : n + 1]) for n in range(0, ROWS, 8)]
    together = tuple(torch.cat(part) for part in zip(*batches, strict=True))
    singly = tuple(torch.cat(part) for part in zip(*alone, strict=True))
    beside = max(gap(together, whole), gap(singly, (whole[0][::8], whole[1][::8], whole[2][::8])))
    assert beside < 1e-3, f"answers depend on the batch by {beside}"
    same = alike(whole, loop(layer.energies, h))
    assert same >= 0.99, f"only {same} of the rows are decided as the loop decides them"
    return {
        "largest difference after 9 steps": early,
        "largest difference between batches of 256, 64 and 1": beside,
        "rows with all decisions the same": same,
    }


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    method = ECBM(encoder="identity", dims=DIMS, epochs=20).fit(task(2_000, seed=1))
    test = task(ROWS, seed=2)
    layer: EnergyBottleneck = method.model_.bottleneck
    result: dict[str, Any] = {
        "concepts": CONCEPTS,
        "classes": CLASSES,
        "features": FEATURES,
        "dims": DIMS,
        "rows": ROWS,
        "batch of the loop": BATCH,
        "runs": REPEATS,
    }
    with torch.no_grad():
        h = method.model_.encoder(test.x)
    found = layer.infer(h)
    result["concepts right"] = float(((found.concepts > 0.5) == (test.c > 0.5)).float().mean())
    result["labels right"] = float((found.label.argmax(1) == test.y).float().mean())
    result["rows converged"] = float(found.converged.float().mean())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "energies.safetensors"
        save_file(layer.energies.state_dict(), file)
        result["checks"] = checks(layer, h, file)
        seconds = in_turns(
            {
                "narrows": lambda: ours(layer, h),
                "narrows, batches of 64": lambda: [ours(layer, rows) for rows in h.split(BATCH)],
                "loop, weights read for each batch": lambda: loop(layer.energies, h, file),
                "loop, weights in memory": lambda: loop(layer.energies, h),
            },
            REPEATS,
        )
    result["seconds"] = seconds
    result["times as fast"] = {
        theirs: times_as_fast(seconds, "narrows, batches of 64", theirs)
        for theirs in seconds
        if theirs.startswith("loop")
    }
    result["target"] = "at least 5 times the loop that reads its weights for each batch"
    report("energy_search", result)


if __name__ == "__main__":
    main()
