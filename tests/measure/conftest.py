"""Small models and rows with concepts, for every measure."""

from __future__ import annotations

import math
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
def brute() -> Callable[..., tuple[list[float], list[list[tuple[float, list[float]]]]]]:
    """`brute(model, rows, i, done)`: what a loop over all answers finds, in plain numbers.

    Row `i` with the turns `done` corrected by the truth, through `correct` and names: the class
    probabilities now, and for each turn, each answer: how probable it is, and the class
    probabilities after it.
    """

    @torch.no_grad()
    def probabilities(model, reading, known) -> list[float]:
        logits = model.correct(reading, known).prediction[0].tolist()
        exps = [math.exp(z - max(logits)) for z in logits]
        return [e / sum(exps) for e in exps]

    @torch.no_grad()
    def find(model, rows, i, done=()):
        names = model.bottleneck.names
        turns = [t for t in model.bottleneck.interventions if names[t[0]] in rows.concepts.names]
        truth = dict(zip(rows.concepts.names, rows.c[i].tolist(), strict=True))
        said = {names[u]: truth[names[u]] for t in done for u in turns[t]}
        said = {name: value for name, value in said.items() if not math.isnan(value)}
        reading = model.read(rows.x[i : i + 1])
        scores = model.bottleneck.scores(model.bottleneck.condition(reading, said))[0].tolist()
        found = []
        for turn in turns:
            total, after = sum(scores[u] for u in turn), []
            if len(turn) == 1:
                told = [({names[turn[0]]: v}, [1 - total, total][v]) for v in (0, 1)]
            else:
                told = [({names[u]: int(u == m) for u in turn}, scores[m] / total) for m in turn]
            for answer, p in told:
                after.append((p, probabilities(model, reading, said | answer)))
            found.append(after)
        return probabilities(model, reading, said), found

    return find


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
