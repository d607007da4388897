from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.distributions import Independent, Normal, kl_divergence

from narrows.blueprint import build
from narrows.errors import InvalidInput
from narrows.information.gaussian import GaussianBottleneck, diag_gaussian_kl
from narrows.train import isolated

_SHAPE = (3, 4)
_means = arrays(np.float64, _SHAPE, elements=st.floats(-1e3, 1e3))
_logs = arrays(np.float64, _SHAPE, elements=st.floats(-15, 9))


def _layer(features: int = 5, units: int = 3, **changes) -> GaussianBottleneck:
    layer = GaussianBottleneck(features, units, **changes)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source))
    return layer


def _features(rows: int = 4, features: int = 5) -> torch.Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(1))


@settings(deadline=None)
@given(_means, _logs)
def test_kl_equals_the_one_of_torch_distributions(mean, log_std):
    mean, log_std = torch.tensor(mean), torch.tensor(log_std)
    q = Independent(Normal(mean, log_std.exp()), 1)
    r = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(
        diag_gaussian_kl(mean, log_std), kl_divergence(q, r), rtol=1e-9, atol=1e-9
    )


@settings(deadline=None)
@given(_means, _logs, st.permutations(range(_SHAPE[1])))
def test_kl_is_not_negative_adds_over_dimensions_and_forgets_their_order_and_sign(m, s, order):
    mean, log_std = torch.tensor(m), torch.tensor(s)
    kl = diag_gaussian_kl(mean, log_std)
    assert (kl >= 0).all()
    parts = diag_gaussian_kl(mean[:, :1], log_std[:, :1]) + diag_gaussian_kl(
        mean[:, 1:], log_std[:, 1:]
    )
    torch.testing.assert_close(kl, parts)
    torch.testing.assert_close(kl, diag_gaussian_kl(-mean[:, order], log_std[:, order]))


@settings(deadline=None)
@given(arrays(np.float32, _SHAPE, elements=st.floats(-(2**-10), 2**-10, width=32)))
def test_kl_near_the_prior_keeps_its_digits_and_is_zero_only_there(small):
    zero, small = torch.zeros(_SHAPE), torch.tensor(small)
    assert (diag_gaussian_kl(zero, zero) == 0).all()
    wide = diag_gaussian_kl(small.double(), small.double())
    found = diag_gaussian_kl(small, small)
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), wide, rtol=1e-2, atol=1e-9)


def test_gradient_of_kl_is_right():
    mean = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_std = mean.flip(0).clone() * 0.5
    assert torch.autograd.gradcheck(
        diag_gaussian_kl, (mean.requires_grad_(), log_std.requires_grad_())
    )


def test_gradient_through_the_bottleneck_is_right():
    layer = _layer().double()

    def rate_and_code(h):
        reading = layer.read(h)
        return reading.rate, reading.units, reading.context["std"], reading.penalty

    assert torch.autograd.gradcheck(rate_and_code, _features().double().requires_grad_())


def test_half_precision_is_summed_in_single():
    mean = torch.full((1, 4096), 0.3, dtype=torch.bfloat16)
    kl = diag_gaussian_kl(mean, torch.zeros_like(mean))
    assert kl.dtype == torch.float32
    torch.testing.assert_close(kl.item(), 4096 * float(mean[0, 0]) ** 2 / 2, rtol=1e-5, atol=0)


def test_rate_is_the_kl_of_softplus_deviations_and_penalty_its_weighted_mean():
    layer, h = _layer(rate_weight=0.25), _features()
    raw = h.double().numpy() @ layer.linear.weight.detach().double().numpy().T
    raw += layer.linear.bias.detach().double().numpy()
    mean, std = raw[:, :3], np.log1p(np.exp(raw[:, 3:] - 5))
    kl = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum(1)
    reading = layer.read(h)
    np.testing.assert_allclose(reading.units.detach(), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reading.context["std"].detach(), std, rtol=1e-4)
    np.testing.assert_allclose(reading.rate.detach(), kl, rtol=1e-4)
    assert reading.penalty.item() == pytest.approx(0.25 * kl.mean(), rel=1e-4)


def test_rate_minus_information_is_the_divergence_of_the_mixture_from_the_prior():
    """R = I(X; Z) + KL(q(z) || N(0, 1)), both integrals by quadrature in one dimension."""
    from scipy.integrate import quad

    layer = _layer(features=1, units=1).eval()
    h = torch.linspace(-1, 1, 5)[:, None]
    with torch.no_grad():
        mean, std = (part.double().flatten().tolist() for part in layer.code(h))
        rate = layer.read(h).rate.double().mean().item()

    def normal(z, m, s):
        return math.exp(-((z - m) ** 2) / (2 * s * s)) / (s * math.sqrt(2 * math.pi))

    def mixture(z):
        return sum(normal(z, m, s) for m, s in zip(mean, std, strict=True)) / len(mean)

    def divergence(p, q):
        edges = sorted({m + k * s for m, s in zip(mean, std, strict=True) for k in (-9, 0, 9)})
        total = 0.0
        for a, b in pairwise(edges):
            total += quad(lambda z: p(z) * math.log(p(z) / q(z)) if p(z) > 0 else 0.0, a, b)[0]
        return total

    information = 0.0
    for m, s in zip(mean, std, strict=True):
        information += divergence(lambda z, m=m, s=s: normal(z, m, s), mixture) / len(mean)
    excess = divergence(mixture, lambda z: normal(z, 0, 1))
    assert rate == pytest.approx(information + excess, rel=1e-5)
    assert rate >= information >= 0


def test_an_evaluated_reading_holds_the_means_and_nothing_else():
    layer = _layer().eval()
    reading = layer.read(_features())
    assert list(reading.tensors()) == ["units"]
    assert torch.equal(layer.write(reading), reading.units)


def test_a_sample_has_the_mean_and_deviation_that_were_read():
    layer = _layer()
    reading = layer.read(_features(1).expand(40_000, -1))
    with isolated(0, "noise"):
        z = layer.write(reading)
    std = reading.context["std"][0]
    deviation = (z.mean(0) - reading.units[0]) / (std / 200)
    assert deviation.abs().max() < 5
    torch.testing.assert_close(z.std(0), std, rtol=0.03, atol=0)


def test_evaluation_leaves_the_global_generator_alone():
    layer = _layer().eval()
    before = torch.get_rng_state()
    layer.write(layer.read(_features()))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("value", [-1e30, -1e4, -100.0, -20.0, 100.0, 1e4, 1e30])
def test_extreme_raw_deviations_stay_finite_with_their_gradients(value):
    layer = GaussianBottleneck(1, units=1)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[0.0], [value]]))
    h = torch.ones(2, 1, requires_grad=True)
    reading = layer.read(h)
    (reading.penalty + layer.write(reading).mean()).backward()
    for tensor in (reading.rate, reading.context["std"], h.grad, layer.linear.weight.grad):
        assert torch.isfinite(tensor).all()
    assert (reading.context["std"] > 0).all()


def test_a_correction_replaces_the_mean_that_is_written():
    layer = _layer().eval()
    reading = layer.read(_features())
    corrected = layer.write(layer.condition(reading, {"z1": 2.5}))
    assert (corrected[:, 1] == 2.5).all()
    assert torch.equal(corrected[:, ::2], reading.units[:, ::2])


def test_a_layer_is_rebuilt_from_its_description():
    layer = _layer(rate_weight=0.5).eval()
    again = build(layer.describe()).eval()
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.read(_features()).rate, layer.read(_features()).rate)
    assert again.rate_weight == 0.5


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"units": 0}, "units"),
        ({"rate_weight": -1e-3}, "rate_weight"),
        ({"rate_weight": float("nan")}, "rate_weight"),
        ({"rate_weight": float("inf")}, "rate_weight"),
    ],
)
def test_bad_settings_are_named(changes, name):
    with pytest.raises(InvalidInput, match=f"^{name}: found"):
        GaussianBottleneck(4, **changes)


def test_shapes_that_differ_are_refused():
    with pytest.raises(InvalidInput, match=r"^log_std: found shape \(2, 1\)"):
        diag_gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 1))
