from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.channel.factorized import FactorizedPrior
from narrows.errors import InvalidInput
from narrows.train import isolated


def _prior(seed: int = 0, units: int = 3, spread: float = 10.0) -> FactorizedPrior:
    """Densities far from their start: random matrices, gates and biases."""
    with isolated(seed, "init"), torch.no_grad():
        prior = FactorizedPrior(units, spread=spread)
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter))
    return prior


def _by_loops(prior: FactorizedPrior, x: float, unit: int) -> float:
    """The cumulative of one unit at one number, element by element."""
    f = [x]
    for k, (matrix, bias) in enumerate(zip(prior.matrices, prior.biases, strict=True)):
        rows = []
        for i, row in enumerate(matrix[unit].tolist()):
            total = float(bias[unit, i, 0])
            for j, raw in enumerate(row):
                total += math.log1p(math.exp(raw)) * f[j]
            if k < len(prior.gates):
                total += math.tanh(float(prior.gates[k][unit, i, 0])) * math.tanh(total)
            rows.append(total)
        f = rows
    return 1 / (1 + math.exp(-f[0]))


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-30, 30))
def test_cumulative_and_nats_equal_loops_over_the_formula(seed, x):
    prior = _prior(seed).requires_grad_(False)
    at = torch.full((1, 3), x, dtype=torch.float64)
    for unit in range(3):
        assert float(prior.cumulative(at)[0, unit]) == pytest.approx(
            _by_loops(prior, x, unit), rel=1e-9, abs=1e-12
        )
        mass = _by_loops(prior, x + 0.5, unit) - _by_loops(prior, x - 0.5, unit)
        if mass > 1e-9:  # below, the difference of the loops has no digits left
            found = float(prior.nats(at)[0, unit])
            assert found == pytest.approx(-math.log(mass), rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_cumulative_grows_strictly_from_zero_to_one(seed):
    prior = _prior(seed).requires_grad_(False)
    x = torch.linspace(-40, 40, 2001, dtype=torch.float64)[:, None].expand(-1, 3)
    assert (prior.logits(x).diff(dim=0) > 0).all()
    ends = prior.cumulative(torch.tensor([[-1e5] * 3, [1e5] * 3], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64))


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_probabilities_of_the_integers_sum_to_one(seed):
    prior = _prior(seed).requires_grad_(False)
    symbols = torch.arange(-5000.0, 5001.0)[:, None].expand(-1, 3)
    total = (-prior.nats(symbols)).exp().double().sum(0)
    torch.testing.assert_close(total, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)


def test_without_gates_a_unit_is_logistic():
    from scipy.stats import logistic

    prior = _prior(4).requires_grad_(False)
    for gate in prior.gates:
        gate.zero_()
    zero = torch.zeros(1, 3, dtype=torch.float64)
    shift = prior.logits(zero)[0]
    slope = prior.logits(zero + 1)[0] - shift
    x = torch.linspace(-20, 20, 41, dtype=torch.float64)
    nats = prior.nats(x[:, None].expand(-1, 3))
    for unit in range(3):
        law = logistic(loc=float(-shift[unit] / slope[unit]), scale=float(1 / slope[unit]))
        # The survival function keeps the digits of the upper tail.
        low, high = x.numpy() - 0.5, x.numpy() + 0.5
        mass = np.where(
            low > law.median(), law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low)
        )
        np.testing.assert_allclose(nats[:, unit], -np.log(mass), rtol=1e-6)


def test_start_is_wide_and_centred_near_zero():
    with isolated(0, "init"):
        prior = FactorizedPrior(200, spread=10.0).requires_grad_(False)
    # Without gates f is a line: each layer's rows sum to its width times the step's inverse.
    zero = torch.zeros(1, 200, dtype=torch.float64)
    slope = prior.logits(zero + 1) - prior.logits(zero)
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / 10), rtol=1e-5, atol=0)
    assert (prior.cumulative(zero) - 0.5).abs().max() < 0.35


def test_gradient_of_nats_is_right_for_symbols_and_parameters():
    prior = _prior(1, units=2).double()
    x = torch.tensor([[-1.3, 0.4], [2.2, -0.1]], dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in prior.named_parameters()]

    def nats(x, *parameters):
        module = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(
            _Nats(prior), {f"prior.{k}": v for k, v in module.items()}, x
        )

    assert torch.autograd.gradcheck(nats, (x, *prior.parameters()))


class _Nats(torch.nn.Module):
    def __init__(self, prior: FactorizedPrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prior.nats(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_tails_are_finite_grow_and_keep_a_gradient(dtype):
    with isolated(0, "init"):
        prior = FactorizedPrior(1)
    x = torch.tensor([[100.0], [1000.0], [30000.0], [-30000.0]], dtype=dtype, requires_grad=True)
    nats = prior.nats(x)
    (slope,) = torch.autograd.grad(nats.sum(), x)
    assert torch.isfinite(nats).all()
    assert nats[0] < nats[1] < nats[2]
    assert (slope[:3] > 0).all()
    assert slope[3] < 0


def test_a_fitted_density_approaches_the_law_of_its_symbols():
    """Mean nats come down to the entropy of the empirical law of the integers."""
    rng = np.random.default_rng(0)
    symbols = torch.as_tensor(np.stack([rng.poisson(4, 4000), rng.geometric(0.3, 4000)], 1))
    entropy = 0.0
    for column in symbols.T:
        p = torch.bincount(column).double() / len(column)
        entropy -= float((p[p > 0] * p[p > 0].log()).sum())
    with isolated(0, "init"):
        prior = FactorizedPrior(2)
    optimizer = torch.optim.Adam(prior.parameters(), 0.03)
    for _ in range(600):
        loss = prior.nats(symbols.float()).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert entropy - 1e-6 <= loss.item() <= entropy + 0.06


def test_any_batch_shape_is_priced_number_by_number():
    prior = _prior(2).requires_grad_(False)
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([prior.nats(x[i, j]) for i in range(2) for j in range(4)])
    torch.testing.assert_close(prior.nats(x), rows.view(2, 4, 3))


@pytest.mark.parametrize(
    "changes",
    [{"units": 0}, {"filters": (3, 0)}, {"spread": 0.0}, {"spread": float("inf")}],
)
def test_bad_settings_are_named(changes):
    with pytest.raises(InvalidInput, match=rf"{next(iter(changes))}.*: found"):
        FactorizedPrior(**{"units": 2} | changes)


def test_a_wrong_width_is_refused():
    with pytest.raises(
        InvalidInput, match=r"^x: found shape \(4, 2\), wanted shape \(\*batch, 3\)"
    ):
        _prior().nats(torch.zeros(4, 2))
