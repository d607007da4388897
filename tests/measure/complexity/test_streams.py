"""Second moments in batches are those of all rows, and tell the error of any probe."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.complexity.streams import CrossStream, together


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 50))
def test_any_batches_and_any_merging_give_the_moments_of_all_rows(
    sizes: list[int], seed: int
) -> None:
    n = sum(sizes)
    x, z = draw(n, 3, seed=seed) * 5 + 100, draw(n, 2, seed=seed + 1) - 7
    stream = CrossStream(3, 2)
    for a, b in zip(x.split(sizes), z.split(sizes), strict=True):
        stream.update(a, b)
    parts = [
        CrossStream(3, 2).update(a, b) for a, b in zip(x.split(sizes), z.split(sizes), strict=True)
    ]
    for found in (stream, together(parts)):
        dx, dz = x - x.mean(0), z - z.mean(0)
        assert found.n == n
        torch.testing.assert_close(found.cross, dx.T @ dz, atol=1e-8, rtol=1e-9)
        torch.testing.assert_close(found.x.scatter, dx.T @ dx, atol=1e-8, rtol=1e-9)
        torch.testing.assert_close(found.z_scatter, dz.square().sum(0), atol=1e-8, rtol=1e-9)
        torch.testing.assert_close(found.z_mean, z.mean(0))


def test_the_error_of_a_probe_is_that_of_its_rows() -> None:
    x, z, weight, bias = draw(40, 3) + 2, draw(40, 2), draw(3, 2, seed=5), draw(2, seed=6)
    found = CrossStream(3, 2).update(x.float(), z.float()).errors(weight, bias)
    expected = (z - x @ weight - bias).square().mean(0)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_rows_that_do_not_fit_are_refused_and_nothing_is_taken_in() -> None:
    stream = CrossStream(3, 2)
    for x, z in (
        (draw(4, 3), draw(3, 2)),
        (draw(4, 3), draw(4, 1)),
        (draw(4, 2), draw(4, 2)),
        (draw(4, 3) / 0, draw(4, 2)),
    ):
        with pytest.raises(InvalidInput):
            stream.update(x, z)
    assert stream.n == 0
    assert stream.update(draw(0, 3), draw(0, 2)).n == 0
