"""The batched L-BFGS direction against the recursion of the textbook."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from narrows.functional.lbfgs import Memory


def _two_loops(g: Tensor, metric: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Algorithm 7.4 of Nocedal and Wright for one vector, with `metric` scaled as (7.20)."""
    q, alpha = g.clone(), []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        alpha.append(a)
        q = q - a * y
    s, y = pairs[-1]
    r = (s @ y) / (y @ metric @ y) * (metric @ q)
    for (s, y), a in zip(pairs, reversed(alpha), strict=True):
        r = r + s * (a - (y @ r) / (s @ y))
    return -r


def _problem(k: int, p: int, steps: int) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
    g = torch.Generator().manual_seed(0)
    root = torch.randn(p, p, generator=g, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(p)
    metric = torch.linalg.inv(hessian.diag().diag())
    pairs = []
    for _ in range(steps):
        s = torch.randn(k, p, generator=g, dtype=torch.float64)
        pairs.append((s, s @ hessian))
    return metric, pairs, torch.randn(k, p, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 3, 5, 9])
def test_each_row_gets_the_textbooks_direction(steps: int) -> None:
    metric, pairs, gradient = _problem(3, 6, steps)
    memory = Memory(gradient, lambda rows: rows, 5)
    for s, y in pairs:
        memory.add(s, y, y @ metric)
    got = memory.direction(gradient, gradient @ metric)
    for row in range(3):
        own = [(s[row], y[row]) for s, y in pairs[-5:]]
        torch.testing.assert_close(got[row], _two_loops(gradient[row], metric, own))


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_joined_rows_are_one_long_vector(steps: int) -> None:
    metric, pairs, gradient = _problem(3, 6, steps)
    memory = Memory(gradient, lambda rows: rows.sum(0, keepdim=True), 5)
    for s, y in pairs:
        memory.add(s, y, y @ metric)
    got = memory.direction(gradient, gradient @ metric)
    whole = torch.block_diag(metric, metric, metric)
    want = _two_loops(
        gradient.flatten(), whole, [(s.flatten(), y.flatten()) for s, y in pairs[-5:]]
    )
    torch.testing.assert_close(got.flatten(), want)


def test_rows_that_stay_remember_their_own_past() -> None:
    metric, pairs, gradient = _problem(3, 6, 4)
    memory = Memory(gradient, lambda rows: rows, 5)
    for s, y in pairs:
        memory.add(s, y, y @ metric)
    before = memory.direction(gradient, gradient @ metric)
    left = torch.tensor([True, False, True])
    memory.keep(left)
    after = memory.direction(gradient[left], gradient[left] @ metric)
    torch.testing.assert_close(after, before[left])


def test_without_a_past_the_metric_decides() -> None:
    metric, _, gradient = _problem(2, 4, 1)
    memory = Memory(gradient, lambda rows: rows, 5)
    assert torch.equal(memory.direction(gradient, gradient @ metric), -(gradient @ metric))


def test_a_step_without_curvature_is_ignored() -> None:
    metric, pairs, gradient = _problem(2, 4, 2)
    memory, clean = (Memory(gradient, lambda rows: rows, 5) for _ in range(2))
    zero = torch.zeros_like(gradient)
    memory.add(zero, zero, zero)
    for s, y in pairs:
        memory.add(s, y, y @ metric)
        clean.add(s, y, y @ metric)
    got = memory.direction(gradient, gradient @ metric)
    torch.testing.assert_close(got, clean.direction(gradient, gradient @ metric))
