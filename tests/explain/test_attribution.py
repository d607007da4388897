"""Attributions against closed forms, quadrature and autograd."""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, MissingExtra, UnknownName
from narrows.explain import attribution
from narrows.explain.attribution import attribute, heat

METHODS = ("gradient_x_input", "integrated_gradients")


def draw(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def network(seed: int = 0) -> nn.Module:
    """Smooth, with three scores of pictures (2, 4, 5)."""
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3))
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in layers.parameters():
            part.copy_(torch.randn(part.shape, generator=source) / 2)
    return layers.double().requires_grad_(False)


@pytest.mark.parametrize("method", METHODS)
@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_linear_score_gives_each_input_its_own_term(method, seed, shifted) -> None:
    w, b, x = draw(3, 2, 4, seed=seed), draw(3, seed=seed + 1), draw(5, 2, 4, seed=seed + 2)
    start = draw(2, 4, seed=seed + 3) if shifted else None

    def score(rows: Tensor) -> Tensor:
        return torch.einsum("npq,upq->nu", rows, w) + b

    found = attribute(score, x, [2, 0], method, baseline=start, steps=3)
    wanted = w[[2, 0]] * (x - (0 if start is None else start))[:, None]
    torch.testing.assert_close(found, wanted)


def test_a_product_is_shared_equally_between_its_factors() -> None:
    x = torch.tensor([[3.0, 5.0]], dtype=torch.float64)
    found = attribute(lambda r: r.prod(1, keepdim=True), x, [0])
    torch.testing.assert_close(found, torch.full((1, 1, 2), 7.5, dtype=torch.float64))


@pytest.mark.parametrize("steps", [16, 64])
def test_integrated_gradients_equal_scipys_integral_along_the_path(steps) -> None:
    model, x, start = network(), draw(1, 2, 4, 5), draw(2, 4, 5, seed=1)
    found = attribute(model, x, [1], baseline=start, steps=steps)
    jacobian = torch.func.jacrev(lambda row: model(row[None])[0, 1])
    for at in ((0, 0, 0), (1, 2, 3), (0, 3, 4)):

        def slope(t: float, at: tuple[int, ...] = at) -> float:
            return float(jacobian(start + t * (x[0] - start))[at])

        wanted = quad(slope, 0, 1)[0] * float((x[0] - start)[at])
        assert float(found[0, 0][at]) == pytest.approx(wanted, abs=0.5 / steps**2)


def test_integrated_gradients_are_complete_and_the_error_falls_with_the_square_of_steps() -> None:
    model, x, start = network(), draw(6, 2, 4, 5), draw(2, 4, 5, seed=1)
    whole = model(x) - model(start[None])
    errors = []
    for steps in (4, 8, 16, 32):
        found = attribute(model, x, range(3), baseline=start, steps=steps)
        errors.append(float((found.sum((2, 3, 4)) - whole).abs().max()))
    assert errors[-1] < 2e-3
    rates = [a / b for a, b in pairwise(errors[1:])]
    assert rates == pytest.approx([4, 4], rel=0.15)


def test_gradient_x_input_equals_central_differences() -> None:
    model, x = network(), draw(2, 2, 4, 5)
    found = attribute(model, x, range(3), "gradient_x_input")
    step = 1e-5 * torch.eye(40, dtype=torch.float64).reshape(40, 2, 4, 5)
    for row in range(2):
        slope = (model(x[row] + step) - model(x[row] - step)) / 2e-5
        wanted = slope.T.reshape(3, 2, 4, 5) * x[row]
        torch.testing.assert_close(found[row], wanted, rtol=1e-7, atol=1e-8)


def test_a_relu_network_without_biases_is_complete_at_once() -> None:
    """It is homogeneous, so the gradient is the same all along the path from zero."""
    layers = nn.Sequential(
        nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False)
    ).double()
    x = draw(7, 4)
    for method in METHODS:
        found = attribute(layers, x, [0, 1], method, steps=1)
        torch.testing.assert_close(found.sum(2), layers(x).detach())


def test_rows_and_pieces_do_not_matter(monkeypatch) -> None:
    model, x = network(), draw(5, 2, 4, 5)
    found = attribute(model, x, [0, 2], steps=7)
    torch.testing.assert_close(attribute(model, x[3:4], [0, 2], steps=7), found[3:4])
    for numbers in (1, 40 * 3, 40 * 7 * 2):
        monkeypatch.setattr(attribution, "_NUMBERS", numbers)
        torch.testing.assert_close(attribute(model, x, [0, 2], steps=7), found)


def test_a_score_that_ignores_the_input_gets_nothing_and_no_parameter_gets_a_gradient() -> None:
    layer = nn.Linear(3, 2)

    def score(x: Tensor) -> Tensor:
        return torch.stack([layer(x)[:, 0], layer.bias[1].expand(len(x))], 1)

    x = torch.ones(2, 3)
    found = attribute(score, x, [0, 1])
    assert found[:, 1].eq(0).all()
    assert found[:, 0].ne(0).all()
    assert not found.requires_grad
    assert not x.requires_grad
    assert all(p.grad is None for p in layer.parameters())


def test_channels_are_summed_to_a_picture() -> None:
    parts = draw(2, 3, 4, 5, 6)
    assert np.allclose(heat(parts).numpy(), parts.numpy().sum(2))
    with pytest.raises(InvalidInput, match="attribution: found shape"):
        heat(parts[0])


def test_what_cannot_be_is_refused_by_name() -> None:
    x, linear = torch.ones(2, 3), nn.Linear(3, 2)
    with pytest.raises(InvalidInput, match="differentiable score"):
        attribute(lambda r: (r > 0).float(), x, [0])
    with pytest.raises(InvalidInput, match=r"units: found \(2,\), wanted places in 0\.\.1"):
        attribute(linear, x, [2])
    with pytest.raises(InvalidInput, match="units"):
        attribute(linear, x, [])
    with pytest.raises(UnknownName, match="nearest: 'integrated_gradients'"):
        attribute(linear, x, [0], "integrated_gradient")
    with pytest.raises(UnknownName, match="option: found 'step'"):
        attribute(linear, x, [0], step=3)
    with pytest.raises(InvalidInput, match="steps"):
        attribute(linear, x, [0], steps=0)
    with pytest.raises(InvalidInput, match="x: found a number"):
        attribute(linear, x * torch.nan, [0])
    with pytest.raises(InvalidType, match="x: found torch"):
        attribute(linear, x.long(), [0])
    with pytest.raises(InvalidInput, match="baseline: found shape"):
        attribute(linear, x, [0], baseline=torch.ones(2))
    with pytest.raises(InvalidInput, match="score: found output shape"):
        attribute(lambda r: r.sum(1), x, [0])
    with pytest.raises(InvalidInput, match="finite scores"):
        attribute(lambda r: linear(r) / 0, x, [0])


def test_without_captum_its_methods_say_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtra, match="captum"):
        attribute(nn.Linear(3, 2), torch.ones(1, 3), [0], "captum.IntegratedGradients")


def test_a_captum_class_is_asked_once_for_each_unit_with_the_baseline(monkeypatch) -> None:
    asked = []

    class Fake:
        def __init__(self, forward) -> None:
            self.forward = forward

        def attribute(self, inputs, baselines=None, target=None, scale=1.0) -> Tensor:
            asked.append(target)
            (slope,) = torch.autograd.grad(self.forward(inputs)[:, target].sum(), inputs)
            return scale * slope * (inputs - baselines)

    module = ModuleType("captum.attr")
    module.Fake = Fake
    monkeypatch.setitem(sys.modules, "captum.attr", module)
    x, start, linear = torch.ones(2, 3), torch.full((3,), 0.5), nn.Linear(3, 2)
    found = attribute(linear, x, [1, 0], "captum.Fake", baseline=start, scale=2.0)
    torch.testing.assert_close(found, 2 * attribute(linear, x, [1, 0], baseline=start))
    assert asked == [1, 0]
    with pytest.raises(UnknownName, match=r"captum\.Fakes"):
        attribute(linear, x, [0], "captum.Fakes")
    with pytest.raises(InvalidInput, match="units"):
        attribute(linear, x, [2], "captum.Fake")


def test_captum_itself_gives_the_same() -> None:
    pytest.importorskip("captum.attr", reason="captum is not installed")
    model, x, start = network(), draw(3, 2, 4, 5), draw(2, 4, 5, seed=1)
    theirs = attribute(model, x, [0, 2], "captum.InputXGradient")
    torch.testing.assert_close(attribute(model, x, [0, 2], "gradient_x_input"), theirs)
    theirs = attribute(
        model,
        x,
        [0, 2],
        "captum.IntegratedGradients",
        baseline=start,
        n_steps=32,
        method="riemann_middle",
    )
    torch.testing.assert_close(attribute(model, x, [0, 2], baseline=start), theirs)
