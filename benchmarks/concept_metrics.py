"""The three scores of concept importance at the size of the paper's benchmark.

5,000 pictures of 224 x 224, 512 feature maps of 7 x 7 (ResNet-18), 112 concepts, 200 classes, a
place for 12 parts a picture. All of it is timed: activation maps, existence with its baselines,
location for three areas, global importance with 1,000 shuffles. Then 40 pictures once more,
against loops over pictures, concepts and pixels that a reader would write first. The loops are
numpy and sort each enlarged map; both must give the same numbers before either is timed.
Target: all 5,000 in less than 60 seconds on two cores (timed on one), maps at least 20 times as
fast as a plain loop. A loop over pictures and concepts alone, each a numpy einsum, is timed too.

    python benchmarks/concept_metrics.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor

from narrows.measure import (
    activation_map,
    class_means,
    enlarge,
    existence,
    global_importance,
    local_importance,
    location,
)

PICTURES, CONCEPTS, CLASSES, WIDTH, SIDE, SIZE = 5000, 112, 200, 512, 7, 224
PARTS, TOP, AREAS = 12, (1, 3, 5), (1 / 12, 3 / 12, 6 / 12)
PIECE, FEW, REPEATS = 500, 40, 3


def features(rows: int, source: torch.Generator) -> Tensor:
    return torch.rand(rows, WIDTH, SIDE, SIDE, generator=source)


def data(rows: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(0)
    part = torch.randint(PARTS, (CONCEPTS,), generator=source)
    places = torch.rand(rows, PARTS, 2, generator=source) * SIZE
    labels = (torch.rand(rows, CONCEPTS, generator=source) < 0.3).float()
    points = places[:, part].masked_fill((labels == 0)[..., None], torch.nan)
    return {
        "directions": torch.randn(CONCEPTS, WIDTH, generator=source),
        "weight": torch.randn(CLASSES, CONCEPTS, generator=source),
        "labels": labels,
        "points": points,
        "y": torch.arange(rows) % CLASSES,
    }


def whole() -> dict[str, float]:
    """Processor and clock seconds of each step over all pictures."""
    rows, source = data(PICTURES), torch.Generator().manual_seed(1)
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        busy, clock = time.process_time(), time.perf_counter()
        found = call()
        for unit, spent in (
            ("processor", time.process_time() - busy),
            ("clock", time.perf_counter() - clock),
        ):
            seconds[f"{name}, {unit}"] = seconds.get(f"{name}, {unit}", 0.0) + spent
        return found

    maps = []
    for _ in range(PICTURES // PIECE):
        some = features(PIECE, source)
        maps.append(timed("maps", lambda some=some: activation_map(some, rows["directions"])))
    mapped = torch.cat(maps)
    scores = mapped.mean((2, 3)) * WIDTH
    said = (scores @ rows["weight"].T).argmax(1)
    frequency = class_means(rows["labels"], rows["y"], CLASSES)

    def agreement() -> Any:
        present = class_means(scores, said, CLASSES)
        return global_importance(rows["weight"], frequency, present, kind=3)

    timed("global importance", agreement)
    importance = local_importance(rows["weight"], scores, said)
    timed("existence", lambda: existence(importance, rows["labels"], said, frequency, top=TOP))
    timed(
        "location",
        lambda: location(mapped, rows["points"], importance, (SIZE, SIZE), areas=AREAS, top=TOP),
    )
    for unit in ("processor", "clock"):
        seconds[f"all, {unit}"] = sum(v for k, v in seconds.items() if k.endswith(unit))
    return seconds


def looped_maps(some: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """One picture, one concept, one channel at a time; positions are one array."""
    found = np.zeros((len(some), len(directions), SIDE, SIDE), dtype=np.float32)
    for i, picture in enumerate(some):
        for j, direction in enumerate(directions):
            for m, number in enumerate(direction):
                found[i, j] += number * picture[m]
            found[i, j] /= WIDTH
    return found


def einsum_maps(some: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """One picture and one concept at a time; channels are one product."""
    found = np.zeros((len(some), len(directions), SIDE, SIDE), dtype=np.float32)
    for i, picture in enumerate(some):
        for j, direction in enumerate(directions):
            found[i, j] = np.einsum("m,mhw->hw", direction, picture) / WIDTH
    return found


def looped_location(maps: Tensor, points: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """`(areas, top)`: each concept's map enlarged, its pixels sorted, the place looked up."""
    large = [enlarge(row[None].double(), (SIZE, SIZE))[0].numpy() for row in maps]
    shares = np.zeros((len(maps), len(AREAS), len(TOP)))
    for i, picture in enumerate(large):
        order = [j for j in np.argsort(-importance[i], kind="stable") if points[i, j, 0] >= 0]
        for a, area in enumerate(AREAS):
            hits = []
            for j in order[: max(TOP)]:
                highest = np.argsort(-picture[j].ravel(), kind="stable")
                highest = highest[: round(area * SIZE * SIZE)]
                y, x = points[i, j].astype(int)
                hits.append(y * SIZE + x in set(highest.tolist()))
            shares[i, a] = [np.mean(hits[:n]) for n in TOP]
    return shares.mean(0)


def against_loops() -> dict[str, Any]:
    rows, some = data(FEW), features(FEW, torch.Generator().manual_seed(1))
    directions = rows["directions"]
    maps = activation_map(some, directions)
    plain, wanted = some.numpy(), directions.numpy()
    for theirs in (looped_maps(plain, wanted), einsum_maps(plain, wanted)):
        np.testing.assert_allclose(maps.numpy(), theirs, atol=2e-6)
    importance = local_importance(rows["weight"], maps.mean((2, 3)), rows["y"])
    points = rows["points"].nan_to_num(-1).numpy()

    def ours() -> Any:
        return location(
            maps, rows["points"], importance, (SIZE, SIZE), areas=AREAS, top=TOP
        ).by_area

    shares = np.stack([found.share.numpy() for found in ours()])
    np.testing.assert_allclose(
        shares, looped_location(maps, points, importance.numpy()), atol=1e-12
    )
    seconds = in_turns(
        {
            "maps": lambda: activation_map(some, directions),
            "maps, loop over pictures and concepts": lambda: einsum_maps(plain, wanted),
            "maps, loop over channels too": lambda: looped_maps(plain, wanted),
            "location": ours,
            "location, loop": lambda: looped_location(maps, points, importance.numpy()),
        },
        REPEATS,
    )
    pairs = {
        "maps, loop over pictures and concepts": "maps",
        "maps, loop over channels too": "maps",
        "location, loop": "location",
    }
    ratios = {slow: times_as_fast(seconds, fast, slow) for slow, fast in pairs.items()}
    return {"pictures": FEW, "seconds": seconds, "times as fast as": ratios}


def main() -> None:
    torch.set_num_threads(1)
    report(
        "concept_metrics",
        {
            "pictures": PICTURES,
            "concepts": CONCEPTS,
            "feature maps": [WIDTH, SIDE, SIDE],
            "picture": [SIZE, SIZE],
            "target": "all in less than 60 seconds; maps at least 20 times as fast as a loop",
            "seconds": whole(),
            "against loops": against_loops(),
        },
    )


if __name__ == "__main__":
    main()
