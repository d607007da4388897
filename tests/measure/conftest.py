"""Small models and rows with concepts, for every measure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from narrows.concepts.layer import ConceptLayer
from narrows.data.record import Concepts, Examples
from narrows.heads import LinearHead, MLPHead
from narrows.model import NarrowModel


def _layer(k: int, kind: str, groups: tuple, extra: int, draw: Callable) -> ConceptLayer:
    layer = ConceptLayer(k, [f"c{j}" for j in range(k)], groups, kind, extra)
    with torch.no_grad():
        layer.linear.weight.copy_(draw(k + extra, k) / 2)
        layer.linear.weight[:k] += torch.eye(k)
        layer.linear.bias.copy_(draw(k + extra) / 4)
        layer.fit_range(layer.logits(draw(200, k)))
    return layer


def _head(inputs: int, classes: int, hidden: tuple[int, ...] | None, draw: Callable) -> nn.Module:
    head = LinearHead(inputs, classes) if hidden is None else MLPHead(inputs, classes, hidden)
    with torch.no_grad():
        for part in head.parameters():
            part.copy_(draw(*part.shape))
    return head


@pytest.fixture
def make_model() -> Callable[..., NarrowModel]:
    """`make_model(k, classes, kind=, groups=, extra=, hidden=, seed=)`: random weights."""

    def make(k, classes, kind="soft", groups=(), extra=0, hidden=None, seed=0) -> NarrowModel:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        layer = _layer(k, kind, groups, extra, draw)
        head = _head(k + extra, classes, hidden, draw)
        return NarrowModel(nn.Identity(), layer, head, tuple(range(classes))).eval()

    return make


@pytest.fixture
def make_rows() -> Callable[..., Examples]:
    """`make_rows(n, k, classes, groups=, unknown=, seed=)`: random rows, labels and concepts."""

    def make(n, k, classes, groups=(), unknown=0.0, seed=0) -> Examples:
        generator = torch.Generator().manual_seed(1000 + seed)
        c = (torch.rand(n, k, generator=generator) < 0.5).float()
        for group in groups:
            one = torch.randint(len(group), (n,), generator=generator)
            c[:, list(group)] = nn.functional.one_hot(one, len(group)).float()
        x = 2 * c - 1 + torch.randn(n, k, generator=generator)
        c[torch.rand(n, k, generator=generator) < unknown] = torch.nan
        y = torch.randint(classes, (n,), generator=generator)
        names = tuple(f"c{j}" for j in range(k))
        return Examples(x, y, c, tuple(range(classes)), Concepts(names, tuple(groups)))

    return make


@pytest.fixture
def naive_accuracy() -> Callable[[NarrowModel, Examples, Tensor], list[float]]:
    """Correct step by step through the public `correct`, re-running the head each time."""

    @torch.no_grad()
    def naive(model: NarrowModel, rows: Examples, order: Tensor) -> list[float]:
        reading = model.read(rows.x)
        place = {name: i for i, name in enumerate(model.bottleneck.names)}
        columns = [place[name] for name in rows.concepts.names]
        truth = torch.full(reading.units.shape, float("nan"), dtype=reading.units.dtype)
        truth[:, columns] = rows.c.to(truth.dtype)
        turns = [t for t in model.bottleneck.interventions if set(t) & set(columns)]
        mask = torch.zeros(truth.shape, dtype=torch.bool)
        curve = []
        for step in range(len(turns) + 1):
            if step:
                for row in range(len(rows)):
                    mask[row, list(turns[int(order[row, step - 1])])] = True
            known = mask & ~truth.isnan()
            said = model.correct(reading, (known, truth.nan_to_num(0.0))).prediction.argmax(1)
            curve.append(float((said == rows.y).double().mean()))
        return curve

    return naive
