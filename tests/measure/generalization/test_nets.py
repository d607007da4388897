"""Nets trained at once are the nets trained one by one, by torch's own optimizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput
from narrows.measure.generalization import (
    SWAG,
    MIConstraint,
    Recipe,
    StochasticMLP,
    local_information,
    train_nets,
)
from narrows.measure.generalization.chance import own_source

WIDTHS = (3, 8, 6, 4, 2)
RECIPE = Recipe(epochs=6, collect=2, batch=10, columns=3, lr=0.1)


def task(nets: int, rows: int = 24) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(nets, rows, 3, generator=source, dtype=torch.float64)
    return x, (x[..., 0] > 0).long()


def alone(
    x: Tensor, y: Tensor, decay: float, seed: int, rate: float, shared: int
) -> tuple[nn.Module, SWAG]:
    net = StochasticMLP(WIDTHS, shared, seed).double()
    optimizer = torch.optim.SGD(net.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=decay)
    source, hold, swag = own_source(seed + 1), MIConstraint(1.5, rate), SWAG(3)
    for epoch in range(RECIPE.epochs):
        if epoch >= RECIPE.collect:
            swag.collect(net)
        for rows in torch.randperm(len(x), generator=source).split(RECIPE.batch):
            noise = torch.randn(len(rows), 4, generator=source).double()
            loss = nn.functional.cross_entropy(net(x[rows], noise)[0], y[rows])
            if rate:
                order = torch.randperm(len(x), generator=source)
                noise = torch.randn(len(x), 4, generator=source).double()
                _, mean, std = net(x[order], noise)
                told = local_information(mean, std, noise).mean()
                loss = loss + hold(told)
                hold.step(told)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net, swag


@pytest.mark.parametrize(("rate", "shared"), [(0.0, 0), (0.05, 0), (0.0, 1), (0.05, 2)])
def test_all_at_once_is_one_by_one(rate: float, shared: int) -> None:
    x, y = task(3)
    decay, seeds = [0.0, 0.1, 0.1], [5, 5, 2]
    together = train_nets(
        WIDTHS, x, y, decay=decay, rate=rate, seeds=seeds, shared=shared, recipe=RECIPE
    )
    noise = torch.randn(3, 24, 4, generator=torch.Generator().manual_seed(1)).double()
    scores, mean, std = together(x, noise)
    for i, (pull, seed) in enumerate(zip(decay, seeds, strict=True)):
        net, swag = alone(x[i], y[i], pull, seed, rate, shared)
        with torch.no_grad():
            wanted = net(x[i], noise[i])
        for a, b in zip((scores[i], mean[i], std[i]), wanted, strict=True):
            assert torch.allclose(a, b, atol=1e-7)
        ours = together.swags[i]
        assert ours.collected == swag.collected == 4
        assert ours.names == swag.names
        for name in swag.names:
            assert torch.allclose(ours.mean[name], swag.mean[name], atol=1e-7)
            assert torch.allclose(ours.deviations[name], swag.deviations[name], atol=1e-7)
            assert torch.allclose(ours.variance[name], swag.variance[name], atol=1e-7)


def test_nets_of_one_seed_begin_alike_and_of_two_do_not() -> None:
    first, again, other = (StochasticMLP(WIDTHS, seed=s) for s in (1, 1, 2))
    pairs = zip(first.parameters(), again.parameters(), other.parameters(), strict=True)
    for a, b, c in pairs:
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert float(a.detach().abs().max()) <= 1


def test_decay_makes_weights_smaller() -> None:
    x, y = task(2)
    nets = train_nets(WIDTHS, x[:1].expand(2, -1, -1), y[:1].expand(2, -1),
                      decay=[0.0, 0.5], seeds=[0, 0], recipe=RECIPE)  # fmt: skip
    free, held = nets.state["classifier.weight"].flatten(1).norm(dim=1)
    assert held < free


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    x, y = task(1)
    nets = train_nets(WIDTHS, x, y, decay=[0.0], seeds=[0], recipe=Recipe(epochs=1))
    assert nets.swags == ()
    StochasticMLP(WIDTHS)
    after = torch.get_rng_state()
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decay": [0.0]}, "2, 2, 1 and 2 nets"),
        ({"widths": (3, 2)}, "widths"),
        ({"shared": 3}, "shared"),
        ({"rate": -1.0}, "rate"),
        ({"x": torch.zeros(2, 24, 2)}, "shape"),
        ({"x": torch.zeros(2, 24, 3, dtype=torch.int64)}, "floating point"),
        ({"x": torch.full((2, 24, 3), float("nan"))}, "finite"),
        ({"y": torch.zeros(2, 5, dtype=torch.int64)}, "y: found"),
        ({"y": torch.full((2, 24), 2)}, "0 to 1"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], message: str) -> None:
    x, y = task(2)
    given = {"widths": WIDTHS, "x": x, "y": y, "decay": [0.0, 0.0], "seeds": [0, 1]}
    with pytest.raises(InvalidInput, match=message):
        train_nets(**(given | {"recipe": RECIPE} | change))
