"""Critics against their networks applied pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from narrows.measure.mi.neural import Concatenated, Conditional, Separable, infonce
from narrows.measure.mi.neural.critics import Networks


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int = 6, seeds: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.randn(seeds, n, 3, generator=generator(1)),
        torch.randn(seeds, n, 2, generator=generator(2)),
    )


def plain(networks: Networks, seed: int, row: torch.Tensor) -> torch.Tensor:
    """One seed's network by torch's own layers."""
    layers: list[nn.Module] = []
    for weight, bias in zip(networks.weights, networks.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2])
        layer.weight.data, layer.bias.data = weight[seed].T, bias[seed, 0]
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])(row)


@torch.no_grad()
def pair(critic: nn.Module, seed: int, x: torch.Tensor, y: torch.Tensor) -> float:
    if isinstance(critic, Separable):
        return float(plain(critic.left, seed, x) @ plain(critic.right, seed, y))
    if isinstance(critic, Concatenated):
        return float(plain(critic.network, seed, torch.cat([x, y])))
    mean, raw = plain(critic.network, seed, x).chunk(2)
    spread = (3 * (raw / 6).tanh()).exp()
    return float(torch.distributions.Normal(mean, spread).log_prob(y).sum())


@pytest.mark.parametrize("kind", [Separable, Concatenated, Conditional])
@pytest.mark.parametrize("block", [0, 3])
def test_scores_are_those_of_each_pair_alone(kind, block):
    critic, (x, y) = kind(2, 3, 2, 8, generator()), rows()
    joint, product = (scores.detach() for scores in critic(x, y, block))
    size = block or 6
    partners = critic.partners(size)
    assert product.shape == (2, 6, partners.shape[1])
    for seed in range(2):
        for i in range(6):
            assert float(joint[seed, i]) == pytest.approx(
                pair(critic, seed, x[seed, i], y[seed, i]), abs=1e-5
            )
            for place, partner in enumerate(partners[i % size].tolist()):
                j = i // size * size + partner
                assert j != i
                assert float(product[seed, i, place]) == pytest.approx(
                    pair(critic, seed, x[seed, i], y[seed, j]), abs=1e-5
                )


def test_the_likelihood_that_fits_q_is_the_joint_score():
    critic, (x, y) = Conditional(2, 3, 2, 8, generator()), rows()
    assert torch.allclose(critic.log_prob(x, y), critic(x, y)[0], atol=1e-5)


@pytest.mark.parametrize("kind", [Separable, Concatenated, Conditional])
def test_the_gradient_of_one_seed_stays_with_it(kind):
    critic, (x, y) = kind(2, 3, 2, 8, generator()), rows()
    infonce(*critic(x, y))[0].backward()
    for part in critic.parameters():
        assert part.grad is not None
        assert not part.grad[1].any()


def test_as_a_loss_a_bound_reaches_the_inputs():
    x = torch.randn(1, 8, 3, generator=generator()).requires_grad_()
    critic = Separable(1, 3, 3, 8, generator())
    value = infonce(*critic(x, x.tanh())).sum()
    value.backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert float(value.detach()) < math.log(8)
