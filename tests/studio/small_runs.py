"""Small finished runs to open, and models whose weights are known."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import torch

from narrows import registry
from narrows.bottleneck import Bottleneck
from narrows.data import load
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.reading import Reading
from narrows.runs import fit_run

COLOURS = ("red", "green", "blue")
LABELS = ("=cherry", "leaf", "<b>sea</b>")  # names as hostile as users' data may be


def write_table(path: Path, rows: int = 160) -> Path:
    """A group of three colours, one more concept, half of whose cells are empty, three classes."""
    chance = random.Random(0)  # noqa: S311  # test data, not secrets
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [f"concept:colour={c}" for c in COLOURS]
        writer.writerow(["id", "a", "b", *names, "concept:large", "label"])
        for row in range(rows):
            a, b = chance.gauss(0, 1), chance.gauss(0, 1)
            colour = 0 if a > 0.4 else 1 if b > 0 else 2
            large = int(a + b > 0) if chance.random() < 0.5 else ""
            cells = [int(colour == c) for c in range(3)]
            writer.writerow([f"case {row}", f"{a:.4f}", f"{b:.4f}", *cells, large, LABELS[colour]])
    return path


def make_run(
    folder: Path, name: str, source: str, options: dict[str, Any], **settings: Any
) -> Path:
    """Train a method into a run folder."""
    data = load(source, **{k: tuple(v) for k, v in options.items()})
    method = registry.method(name)(**settings)
    fit_run(method, data, folder, source=source, options=options)
    return folder


def fresh(run: Path, folder: Path) -> Path:
    """A copy of a run, to write in."""
    return Path(shutil.copytree(run, folder / run.name))


class UnitsAsTheyAre(Bottleneck):
    """Features are units."""

    def read(self, h: torch.Tensor) -> Reading:
        return Reading(h)


def known_model(classes: int = 3, units: int = 4, seed: int = 0) -> NarrowModel:
    """A model with a linear head of random weights over its units; units 0 and 1 are a group."""
    chance = torch.Generator().manual_seed(seed)
    head = LinearHead(units, classes)
    head.weight.data = torch.randn(classes, units, generator=chance)
    head.bias.data = torch.randn(classes, generator=chance)
    names = [f"u{i}" for i in range(units)]
    model = NarrowModel(
        torch.nn.Identity(),
        UnitsAsTheyAre(names, [(0, 1)]),
        head,
        [f"c{i}" for i in range(classes)],
    )
    return model.eval().requires_grad_(False)
