"""The linear model of the geometry's claims descends its loss, and shows its phases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from narrows.claims.representation_geometry import TOYS, Toy, run, trace
from narrows.measure.geometry import CovarianceStream, rankme


@pytest.mark.parametrize("toy", list(TOYS.values()))
def test_its_steps_are_those_of_autograd_on_the_cross_entropy(toy: Toy) -> None:
    classes, lr = 64, 0.1
    share = 1 / torch.arange(1, classes + 1, dtype=torch.float64)
    share = share / share.sum() if toy.skewed else torch.full((classes,), 1 / classes).double()
    target = (1 - toy.noise) * torch.eye(classes, dtype=torch.float64) + toy.noise * share
    source = torch.Generator().manual_seed(0)
    start = 0.05 * torch.randn(2, classes, toy.dim, generator=source, dtype=torch.float64)
    parts: list[Tensor] = [part.clone().requires_grad_() for part in start]
    ranks = []
    for _ in range(30):
        f, w = parts
        ranks.append(rankme(CovarianceStream(toy.dim).update(f, share)))
        loss = -(share * classes / 4 * (target * (f @ w.T).log_softmax(1)).sum(1)).sum()
        gradients = torch.autograd.grad(loss, parts)
        # The descent changes one part after the other would differ: both use the old values.
        parts = [
            (p - lr * g).detach().requires_grad_() for p, g in zip(parts, gradients, strict=True)
        ]
    _, found = trace(toy, seeds=1, steps=29)
    assert found[0] == pytest.approx(ranks, rel=1e-9)


def test_three_phases_need_skew_and_a_bottleneck() -> None:
    evidence = run("small", 1)
    value = {key: values[0] for key, values in evidence.values.items()}
    assert value["collapse"] < 0.5
    assert value["expansion"] > 2
    assert value["contraction"] > 3
    assert value["needs_skew"] < 1
    assert value["needs_bottleneck"] < 1


def test_sizes_without_checkpoints_say_so() -> None:
    evidence = run("gpu", 3)
    assert not evidence.values
    assert "checkpoints" in evidence.reasons["collapse"]
