"""The stack trains each network as it would train alone, and gives its layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from narrows.claims.shared.bit_networks import (
    BATCH,
    LAYERS,
    TRAIN,
    UNITS,
    Absolute,
    CentredSoftplus,
    Plan,
    Stack,
    net,
    task,
)

PLANS = (
    Plan("tanh", 1),
    Plan("relu", 1),
    Plan("relu", 2, 1e-2),
    Plan("relu", 2, shuffled=True),
    Plan("absolute", 2),
)


def alone(stack: Stack, i: int) -> nn.Sequential:
    """One network of a stack as modules."""
    model = net(stack.plans[i].units, 0)
    linear = [m for m in model if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for layer, w, b in zip(linear, stack.weights, stack.biases, strict=True):
            layer.weight.copy_(w[i])
            layer.bias.copy_(b[i])
    return model


def test_all_at_once_train_as_each_does_alone() -> None:
    stack = Stack(PLANS)
    start = [alone(stack, i) for i in range(len(PLANS))]
    sources = {seed: torch.Generator().manual_seed(seed) for seed in (1, 2)}
    for source in sources.values():
        torch.randperm(4096, generator=source)
    train = {s: torch.randperm(4096, generator=source)[:TRAIN] for s, source in sources.items()}
    orders = {s: train[s][torch.randperm(TRAIN, generator=g)] for s, g in sources.items()}
    stack.epoch()
    for i, (plan, model) in enumerate(zip(PLANS, start, strict=True)):
        optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
        for rows in orders[plan.seed].split(BATCH):
            loss = nn.functional.cross_entropy(model(stack.x[rows]), stack.y[i, rows])
            squares = sum(m.weight.square().sum() for m in model if isinstance(m, nn.Linear))
            optimizer.zero_grad()
            (loss + plan.penalty * squares).backward()
            optimizer.step()
        for one, other in zip(model.parameters(), alone(stack, i).parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_layers_are_those_of_the_modules_and_accuracy_counts_both_parts() -> None:
    stack = Stack(PLANS)
    layers = stack.layers()
    train, test = stack.accuracy()
    for i in range(len(PLANS)):
        model = alone(stack, i)
        for name, t in zip(LAYERS, layers, strict=True):
            last = name == "softmax"
            known = model(stack.x).softmax(1) if last else model[: int(name) + 1](stack.x)
            torch.testing.assert_close(t[i], known, atol=1e-5, rtol=1e-4)
        right = (model(stack.x).argmax(1) == stack.y[i]).double()
        rows = stack.train[stack.plans[i].seed - 1]
        assert train[i] == pytest.approx(float(right[rows].mean()))
        whole = (train[i] * TRAIN + test[i] * (4096 - TRAIN)) / 4096
        assert whole == pytest.approx(float(right.mean()))


def test_labels_by_chance_are_the_same_labels_in_another_order() -> None:
    stack, y = Stack(PLANS), task()[1]
    assert torch.equal(stack.y[0], y)
    assert int(stack.y[3].sum()) == int(y.sum())
    assert 0.4 < float((stack.y[3] == y).double().mean()) < 0.6


def test_units_are_what_their_names_say() -> None:
    t = torch.linspace(-3, 3, 25)
    assert torch.equal(Absolute()(t), t.abs())
    torch.testing.assert_close(CentredSoftplus()(t), (t.exp() + 1).log() - math.log(2))
    assert float(CentredSoftplus()(torch.zeros(1))) == pytest.approx(0)
    assert len(UNITS) == 7
