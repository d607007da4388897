"""Gradient phases are the mean and the deviation of gradients, one batch at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput
from narrows.measure.watching import gradient_phases, knee


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    return list(zip(x.split(12), (x[:, 0] > 0).long().split(12), strict=True))


@pytest.fixture
def model() -> nn.Sequential:
    with torch.random.fork_rng():
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def test_they_are_numpys_mean_and_deviation_of_each_batchs_gradient(model, batches) -> None:
    stacked: dict[str, list[np.ndarray]] = {"0.weight": [], "2.weight": []}
    for x, y in batches:
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        for name in stacked:
            stacked[name].append(model.get_parameter(name).grad.double().numpy().copy())
    found = gradient_phases(model, batches)
    assert set(found) == set(stacked)
    for name, gradients in stacked.items():
        size = np.linalg.norm(model.get_parameter(name).detach().numpy())
        mean = np.linalg.norm(np.mean(gradients, 0)) / size
        deviation = np.linalg.norm(np.std(gradients, 0)) / size
        assert found[name].mean == pytest.approx(mean, rel=1e-5)
        assert found[name].deviation == pytest.approx(deviation, rel=1e-5)
        assert found[name].snr == pytest.approx(mean / deviation, rel=1e-4)


def test_weights_and_gradients_stay_as_they_are(model, batches) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        gradient_phases(model, batches, parameters=["2.bias"])
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_equal_batches_have_no_noise(model, batches) -> None:
    found = gradient_phases(model, [batches[0]] * 3)
    assert found["0.weight"].deviation == pytest.approx(0, abs=1e-12)
    assert found["0.weight"].snr > 1e6


def test_the_knee_is_where_two_slopes_meet_under_noise() -> None:
    epochs = np.unique(np.geomspace(1, 5000, 80).astype(int))
    noise = np.exp(np.random.default_rng(0).normal(0, 0.05, len(epochs)))
    snr = np.where(epochs < 300, 2.0, 2.0 * (300 / epochs) ** 1.5) * noise
    assert knee([0, *epochs], [9.0, *snr]) == pytest.approx(300, rel=0.15)


def test_too_little_is_refused(model, batches) -> None:
    with pytest.raises(InvalidInput, match="batches"):
        gradient_phases(model, batches[:1])
    with pytest.raises(InvalidInput, match="parameters"):
        gradient_phases(model, batches, parameters=["9.weight"])
    with torch.no_grad():
        model[0].weight.zero_()
    with pytest.raises(InvalidInput, match="all 0"):
        gradient_phases(model, batches)
    with pytest.raises(InvalidInput, match="snr"):
        knee([0, 1, 2, 3, 4], [1.0] * 5)
    with pytest.raises(InvalidInput, match="snr"):
        knee(range(9), [math.nan] * 9)
