from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from narrows.errors import InvalidInput, InvalidType
from narrows.functional.attacks import fgsm


def _rows(seed: int, n: int = 6, features: int = 4, classes: int = 3):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=source, dtype=torch.float64)
    y = torch.randint(classes, (n,), generator=source)
    weight = torch.randn(features, classes, generator=source, dtype=torch.float64)
    return x, y, weight


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 2))
def test_step_equals_the_closed_form_of_softmax_regression(seed, eps):
    x, y, weight = _rows(seed)
    attacked = fgsm(lambda rows: rows @ weight, x, y, eps)
    logits = x.numpy() @ weight.numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    slope = (p - np.eye(3)[y.numpy()]) @ weight.numpy().T
    np.testing.assert_allclose(attacked.numpy(), x.numpy() + eps * np.sign(slope), atol=1e-12)


def test_no_other_step_of_the_ball_hurts_a_binary_linear_model_more():
    x, y, weight = _rows(3, classes=2)
    corners = torch.cartesian_prod(*[torch.tensor([-0.3, 0.3], dtype=torch.float64)] * 4)
    attacked = fgsm(lambda rows: rows @ weight, x, y, 0.3)
    found = cross_entropy(attacked @ weight, y, reduction="none")
    for i in range(len(x)):
        every = cross_entropy((x[i] + corners) @ weight, y[i].expand(16), reduction="none")
        torch.testing.assert_close(found[i], every.max())


def test_rows_are_attacked_independently_of_their_batch():
    x, y, _ = _rows(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    whole = fgsm(net, x, y, 0.1)
    alone = torch.cat([fgsm(net, x[i : i + 1], y[i : i + 1], 0.1) for i in range(len(x))])
    torch.testing.assert_close(whole, alone)


def test_inputs_and_parameters_are_left_as_they_were():
    x, y, _ = _rows(0)
    net = nn.Linear(4, 3).double()
    before = x.clone()
    with torch.no_grad():
        attacked = fgsm(net, x, y, 0.1, clamp=(-1.0, 1.0))
    assert torch.equal(x, before)
    assert not attacked.requires_grad
    assert net.weight.grad is None
    assert attacked.abs().max() <= 1


def test_frozen_parameters_are_no_obstacle():
    x, y, _ = _rows(0)
    net = nn.Linear(4, 3).double().requires_grad_(False)
    assert not torch.equal(fgsm(net, x, y, 0.1), x)


def test_eps_zero_changes_nothing():
    x, y, weight = _rows(1)
    assert torch.equal(fgsm(lambda rows: rows @ weight, x, y, 0.0), x)


@pytest.mark.parametrize(
    ("changes", "error", "names"),
    [
        ({"eps": -0.1}, InvalidInput, "eps"),
        ({"eps": float("nan")}, InvalidInput, "eps"),
        ({"eps": float("inf")}, InvalidInput, "eps"),
        ({"clamp": (1.0, 0.0)}, InvalidInput, "clamp"),
        ({"y": torch.zeros(2, dtype=torch.int64)}, InvalidInput, "y"),
        ({"y": torch.zeros(6)}, InvalidType, "y"),
        ({"x": torch.zeros(6, 4, dtype=torch.int64)}, InvalidType, "x"),
    ],
)
def test_bad_arguments_are_named(changes, error, names):
    x, y, _ = _rows(0)
    arguments = {"x": x, "y": y, "eps": 0.1} | changes
    with pytest.raises(error, match=f"^{names}: found"):
        fgsm(lambda rows: rows[:, :3], **arguments)
