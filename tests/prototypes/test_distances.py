"""Distances against scipy in double precision, near and far from the origin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from narrows.prototypes import cosine_distances, squared_distances


def _points(seed: int, n: int, k: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(k, d))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), k=st.integers(1, 9), d=st.integers(1, 20))
def test_squared_distances_equal_scipy(seed: int, n: int, k: int, d: int) -> None:
    points, centres = _points(seed, n, k, d)
    found = squared_distances(torch.tensor(points), torch.tensor(centres)).numpy()
    np.testing.assert_allclose(found, cdist(points, centres, "sqeuclidean"), atol=1e-11)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_cosine_distances_equal_scipy(seed: int) -> None:
    points, centres = _points(seed, 6, 4, 5)
    found = cosine_distances(torch.tensor(points), torch.tensor(centres)).numpy()
    np.testing.assert_allclose(found, cdist(points, centres, "cosine"), atol=1e-11)


def test_a_shift_of_everything_costs_no_digits() -> None:
    """The plain expansion loses every digit here: the squared norms are 1e9 times the distances."""
    points, centres = _points(0, 50, 7, 64)
    moved = (points + 1e4).astype(np.float32), (centres + 1e4).astype(np.float32)
    exact = cdist(*(m.astype(np.float64) for m in moved), "sqeuclidean")
    found = squared_distances(*map(torch.tensor, moved)).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    plain = (moved[0] ** 2).sum(1)[:, None] - 2 * moved[0] @ moved[1].T + (moved[1] ** 2).sum(1)
    assert np.abs(plain - exact).max() > 100


def test_distances_are_never_negative_and_zero_at_the_centre() -> None:
    centres = torch.randn(40, 300, generator=torch.Generator().manual_seed(0))
    found = squared_distances(centres, centres)
    assert found.min() >= 0
    assert found.diagonal().max() < 1e-3
    assert (found.argmin(1) == torch.arange(40)).all()


def test_batch_dimensions_are_free() -> None:
    points, centres = (torch.tensor(a) for a in _points(1, 12, 3, 4))
    flat = squared_distances(points, centres)
    assert torch.equal(squared_distances(points.view(2, 6, 4), centres), flat.view(2, 6, 3))


@pytest.mark.parametrize("measure", [squared_distances, cosine_distances])
def test_gradients_are_right(measure) -> None:
    points, centres = (torch.tensor(a, requires_grad=True) for a in _points(2, 5, 3, 4))
    assert torch.autograd.gradcheck(measure, (points, centres))


@pytest.mark.parametrize("measure", [squared_distances, cosine_distances])
def test_half_precision_and_autocast_keep_single_precision(measure) -> None:
    points, centres = (torch.tensor(a).half() for a in _points(3, 5, 3, 64))
    exact = measure(points.double(), centres.double())
    assert torch.allclose(measure(points, centres).double(), exact, atol=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = measure(points.float(), centres.float())
    assert cast.dtype == torch.float32
    assert torch.allclose(cast.double(), exact, atol=1e-3)


def test_a_zero_vector_is_at_cosine_distance_one() -> None:
    assert cosine_distances(torch.zeros(1, 3), torch.eye(3)).tolist() == [[1.0, 1.0, 1.0]]
