"""The claims on complexity of features, on Fashion-MNIST with a residual network of seven blocks.

The network has widths of 16 to 64 and is trained for six epochs. Features are the codes of a
dictionary of its penultimate layer, ten atoms a class. Complexity, time to decode and branches are
measured on one half of the test pictures, importance on the other. There are more atoms than
units, so codes are not linear in the layer they are made of; the claims are about features that
the last block holds (R² of 0.5 and more), rows beside them about all. Other rows: the same for a
network that has not been trained, and for the trained one's features in another order.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.data import Dataset, load
from narrows.measure.complexity import (
    FeatureComplexity,
    PooledLayers,
    ResidualFlow,
    dictionary_stability,
    feature_complexity,
    feature_dictionary,
    feature_importance,
    nonnegative_codes,
    rank_correlation,
    residual_flow,
    time_to_decode,
)
from narrows.train import isolated

PAPER = (
    "Understanding Visual Feature Reliance through the Lens of Complexity "
    "(Fel et al., NeurIPS 2024, arXiv 2407.06076)"
)
WIDTHS = (16, 16, 16, 32, 32, 64, 64)  # one a block
_EPOCHS, _BATCH, _RATE = 6, 128, 2e-3
_CHECKPOINTS = 10
_ATOMS = 100
_EARLY = 3  # blocks that count as early, of seven
_HELD = 0.5  # R² of the last block from which on a feature is the network's own

CLAIMS = (
    Claim(
        "learned_first",
        "Simple features are learned first.",
        "Spearman's rho of complexity and time to decode",
        "strong and positive, value not found; ResNet50, ImageNet",
        "at least",
        0.4,
        "what would be a clear relation",
    ),
    Claim(
        "matter_less",
        "Complex features matter less for the decision.",
        "Spearman's rho of complexity and importance",
        "negative, a figure",
        "at most",
        0.0,
        "no relation",
    ),
    Claim(
        "bypass",
        "Simple features bypass the hierarchy through the skip branches.",
        "CKA of early blocks' skip branches with the simplest fifth of features, less that with "
        "the most complex",
        "a figure",
        "at least",
        0.0,
        "no difference",
    ),
    Claim(
        "sedimentation",
        "Important features become accessible at earlier layers while the network trains.",
        "complexity of the most important fifth at the end, less that after a fifth of training",
        "falls, a figure",
        "at most",
        0.0,
        "no fall",
    ),
)

_SIZES = {"small": (6_000, 500, 6_000), "gpu": (50_000, 10_000, 10_000)}


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; `gpu` trains on all pictures."""
    if size == "full":
        return untested(CLAIMS, "ImageNet and checkpoints of a ResNet50 must be brought")
    try:
        data = load("fashion_attributes", sizes=_SIZES[size])
    except FileNotFoundError as error:
        return untested(CLAIMS, str(error))
    told = f"Fashion-MNIST, {_SIZES[size][0]:,} training pictures, {_EPOCHS} epochs"
    return over_seeds(partial(_one_seed, data), seeds, told)


class Block(nn.Module):
    """A residual block: two convolutions beside the input, or beside a projection of it.

    Example:
        >>> Block(4, 8, 2)(torch.zeros(1, 4, 6, 6)).shape
        torch.Size([1, 8, 3, 3])
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = inputs == width and stride == 1
        projected = [nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)]
        self.skip = nn.Identity() if same else nn.Sequential(*projected)

    def forward(self, x: Tensor) -> Tensor:
        """`(rows, width, ...)` from `(rows, inputs, ...)`."""
        return torch.relu(self.main(x) + self.skip(x))


class ResNet(nn.Module):
    """A stem of stride 2, the blocks, the mean over places, a linear head."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        first = WIDTHS[0]
        conv = nn.Conv2d(1, first, 3, 2, 1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(first), nn.ReLU())
        entering = (first, *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(Block(a, b, 1 if a == b else 2) for a, b in zip(entering, WIDTHS, strict=True))
        )
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(rows, classes)` of pictures `(rows, 1, 28, 28)`."""
        logits: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


LAYERS = tuple(f"blocks.{i}" for i in range(len(WIDTHS)))


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Inputs of each step: for the dictionary, for complexity, for importance."""

    learn: Tensor
    labels: Tensor
    probe: Tensor
    judge: Tensor

    @classmethod
    def of(cls, data: Dataset) -> Pictures:
        """Training pictures, and the test pictures in two halves."""
        half = len(data.test) // 2
        test = data.test.x[torch.arange(len(data.test))]
        train = data.train.x[torch.arange(len(data.train))]
        return cls(train, data.train.y, test[:half], test[half:])


@dataclasses.dataclass(frozen=True)
class Features:
    """A network's features on the probe's pictures, and what was measured of them."""

    z: Tensor
    atoms: Tensor
    complexity: FeatureComplexity
    flow: ResidualFlow
    explained: float


def train(data: Dataset, seed: int) -> tuple[ResNet, list[ResNet]]:
    """The network as it began, and its checkpoints at equal steps; the last is the trained one."""
    with isolated(seed, "complexity claim"):
        model = ResNet(len(data.classes))
    begun = copy.deepcopy(model)
    x, y = data.train.x[torch.arange(len(data.train))], data.train.y
    source = torch.Generator().manual_seed(seed)
    steps = _EPOCHS * (len(x) // _BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps)
    saved = {round(steps * (i + 1) / _CHECKPOINTS) for i in range(_CHECKPOINTS)}
    kept, done = [], 0
    model.train()
    for _ in range(_EPOCHS):
        order = torch.randperm(len(x), generator=source)
        for rows in order[: len(x) // _BATCH * _BATCH].split(_BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done in saved:
                kept.append(copy.deepcopy(model).eval())
    return begun.eval(), kept


def layers_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Each block's output on pictures, mean over places."""
    return PooledLayers(model, x.split(500), LAYERS).record()


def features(model: ResNet, pictures: Pictures, seed: int) -> Features:
    """The dictionary's codes, their complexity over blocks and their branches."""
    learned = layers_of(model, pictures.learn)[LAYERS[-1]]
    found = feature_dictionary(learned, _ATOMS, labels=pictures.labels, seed=seed)
    layers = layers_of(model, pictures.probe)
    z = nonnegative_codes(layers[LAYERS[-1]], found.atoms)
    blocks: Mapping[str, tuple[str, str | None]] = dict.fromkeys(LAYERS, ("main", "skip"))
    complexity = feature_complexity(layers, z, seed=seed)
    flow = residual_flow(model, pictures.probe.split(500), blocks, z)
    return Features(z, found.atoms, complexity, flow, found.r2)


def importance(model: ResNet, pictures: Pictures, atoms: Tensor) -> Tensor:
    """Of each atom, on pictures that complexity has not seen."""
    penultimate = layers_of(model, pictures.judge)[LAYERS[-1]]
    with torch.no_grad():
        predicted = model.head(penultimate).argmax(1)
    z = nonnegative_codes(penultimate, atoms)
    return feature_importance(z, atoms, model.head.weight, predicted)


def _one_seed(data: Dataset, seed: int, values: Any, rows: Any) -> None:
    pictures = Pictures.of(data)
    begun, kept = train(data, seed)
    source = torch.Generator().manual_seed(seed)
    own = features(kept[-1], pictures, seed)
    gamma = importance(kept[-1], pictures, own.atoms)[own.complexity.kept]
    k, skip = own.complexity.complexity, own.flow.skip[:_EARLY].mean(0)[own.complexity.kept]
    epochs = {f"{i + 1}": layers_of(m, pictures.probe)[LAYERS[-1]] for i, m in enumerate(kept)}
    late = time_to_decode(epochs, own.z, seed=seed).complexity
    fifth = layers_of(kept[len(kept) // 5 - 1], pictures.probe)
    moved = k - feature_complexity(fifth, own.z, seed=seed).complexity
    beside = {"time to decode": late, "importance": gamma, "early skip CKA": skip}
    held = own.complexity.v_information[-1] >= _HELD
    rho = _correlations(rows, "", k[held], {n: v[held] for n, v in beside.items()}, source)
    _correlations(rows, ", all features", k, beside, source)
    # Both hold how well the final penultimate layer tells the feature: once without that.
    last = own.complexity.v_information[-1][held]
    alone = {"time to decode": _without(late[held], last)}
    _correlations(rows, ", last block's R² taken out", _without(k[held], last), alone, source)
    values["learned_first"].append(rho["time to decode"])
    values["matter_less"].append(rho["importance"])
    order = k[held].argsort()
    simple, complex_ = order[: len(order) // 5], order[-(len(order) // 5) :]
    values["bypass"].append(float(skip[held][simple].mean() - skip[held][complex_].mean()))
    top = gamma[held].argsort(descending=True)[: len(order) // 5]
    values["sedimentation"].append(float(moved[held][top].mean()))
    row = rows["complexity at the end less that after a fifth of training"]
    row["most important fifth"].append(float(moved[held][top].mean()))
    row["all features"].append(float(moved[held].mean()))
    for i in (0, len(LAYERS) - 1):
        for which, part in (("simplest", simple), ("most complex", complex_)):
            row = rows[f"CKA, block {i + 1}, {which} fifth"]
            row["skip"].append(float(own.flow.skip[i][own.complexity.kept][held][part].mean()))
            row["main"].append(float(own.flow.main[i][own.complexity.kept][held][part].mean()))
    _describe(rows["trained network"], own, kept[-1], data)
    _stability(rows["trained network"], kept[-1], pictures, own.atoms, seed)
    _controls(begun, kept[-1], pictures, own, data, seed, rows)


def _without(values: Tensor, other: Tensor) -> Tensor:
    """Ranks of values that ranks of another number do not tell linearly."""
    a, b = (v.argsort().argsort().double() for v in (values, other))
    a, b = a - a.mean(), b - b.mean()
    left: Tensor = a - b * (a @ b) / (b @ b)
    return left


def _controls(
    begun: ResNet,
    trained: ResNet,
    pictures: Pictures,
    own: Features,
    data: Dataset,
    seed: int,
    rows: Any,
) -> None:
    """The same of a network that was not trained, and features that belong to other pictures."""
    source = torch.Generator().manual_seed(seed + 1)
    other = features(begun, pictures, seed)
    gamma = importance(begun, pictures, other.atoms)[other.complexity.kept]
    found = other.complexity
    _correlations(rows, ", untrained network", found.complexity, {"importance": gamma}, source)
    _describe(rows["untrained network"], other, begun, data)
    order = torch.randperm(len(own.z), generator=source)
    shuffled = feature_complexity(layers_of(trained, pictures.probe), own.z[order], seed=seed)
    rows["features in another order"]["K, median"].append(float(shuffled.complexity.median()))


def _stability(row: Any, model: ResNet, pictures: Pictures, atoms: Tensor, seed: int) -> None:
    learned = layers_of(model, pictures.learn)[LAYERS[-1]]
    again = feature_dictionary(learned, _ATOMS, labels=pictures.labels, seed=seed + 1000)
    row["stability of atoms"].append(float(dictionary_stability(atoms, again.atoms).mean()))


def _correlations(
    rows: Any, of: str, k: Tensor, beside: Mapping[str, Tensor], source: torch.Generator
) -> dict[str, float]:
    rho = {}
    for name, other in beside.items():
        found = rank_correlation(k, other, generator=source)
        row = rows[f"complexity and {name}{of}"]
        low, high = found.chance
        told = {"rho": found.rho, "by chance, low": low, "by chance, high": high, "p": found.p}
        for column, value in told.items():
            row[column].append(value)
        rho[name] = found.rho
    return rho


def _describe(row: Any, own: Features, model: ResNet, data: Dataset) -> None:
    k, last = own.complexity.complexity, own.complexity.v_information[-1]
    for share, name in ((0.1, "K, lowest tenth"), (0.5, "K, median"), (0.9, "K, highest tenth")):
        row[name].append(float(k.quantile(share)))
    row["features"].append(float(len(k)))
    row["of these held by the last block"].append(float((last >= _HELD).sum()))
    row["explained by atoms"].append(own.explained)
    x = data.test.x[torch.arange(len(data.test))]
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in x.split(500)]) == data.test.y
    row["test accuracy"].append(float(right.double().mean()))
