"""Principal components against scikit-learn and against the laws of projections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.mi.compression import (
    Compressor,
    FittedCompressor,
    PCACompressor,
    relative_error,
)


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    source = np.random.default_rng(seed)
    return source.standard_normal((n, d)) @ source.standard_normal((d, d)) + 5


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(1, 40), st.integers(1, 4), st.integers(0, 99))
def test_components_are_those_of_scikit_learn(n, d, k, seed) -> None:
    k = min(k, d)
    x = rows(n, d, seed)
    fitted, peer = PCACompressor(k).fit(x), PCA(k, svd_solver="full").fit(x)
    assert fitted.variances == pytest.approx(peer.explained_variance_, rel=1e-6)
    codes, theirs = fitted.encode(x), peer.transform(x)
    sign = np.sign((codes * theirs).sum(0))
    assert codes == pytest.approx(theirs * sign, abs=1e-5 * np.abs(theirs).max())
    assert fitted.directions.T @ fitted.directions == pytest.approx(np.eye(k), abs=1e-8)
    lost = 1 - peer.explained_variance_ratio_.sum()
    assert relative_error(fitted, x) == pytest.approx(lost, abs=1e-8)


def test_flat_and_shaped_rows_tensors_and_arrays_are_alike() -> None:
    x = rows(30, 12).astype(np.float32)
    one = PCACompressor(3).fit(x).encode(x)
    shaped = torch.from_numpy(x).reshape(30, 3, 2, 2)
    assert np.array_equal(PCACompressor(3).fit(shaped).encode(shaped), one)
    assert isinstance(PCACompressor(3), Compressor)
    assert isinstance(PCACompressor(3).fit(x), FittedCompressor)


@pytest.mark.parametrize("n", [200, 8])
def test_directions_without_variance_are_dropped_and_told(n) -> None:
    x = np.zeros((n, 10))
    x[:, :2] = rows(n, 2)
    fitted = PCACompressor(4).fit(x)
    assert fitted.k == 2
    assert fitted.encode(x).shape == (n, 2)
    assert relative_error(fitted, x) == pytest.approx(0, abs=1e-9)
    assert "span 2 directions" in fitted.warnings[0]


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_size_does_not_matter(size) -> None:
    x = rows(50, 4)
    fitted = PCACompressor(2).fit(size * x)
    assert fitted.encode(size * x) / size == pytest.approx(PCACompressor(2).fit(x).encode(x))


def test_what_has_no_components_is_refused() -> None:
    x = rows(20, 3)
    for match, call in (
        ("at most the 3 columns", lambda: PCACompressor(4).fit(x)),
        ("more than k = 3", lambda: PCACompressor(3).fit(x[:3])),
        ("all alike", lambda: PCACompressor(1).fit(np.ones((9, 2)))),
        ("whole number", lambda: PCACompressor(0)),
        ("whole number", lambda: PCACompressor(1.5)),  # type: ignore[arg-type]
        ("inf at row 0", lambda: PCACompressor(1).fit(np.full((9, 2), np.inf))),
        ("shape", lambda: PCACompressor(1).fit(np.ones((0, 2)))),
        ("2 columns", lambda: PCACompressor(1).fit(x).encode(x[:, :2])),
    ):
        with pytest.raises(InvalidInput, match=match):
            call()
    with pytest.raises(InvalidType):
        PCACompressor(1).fit(np.array([["a"], ["b"]]))
    with pytest.raises(InvalidInput, match="alike"):
        relative_error(PCACompressor(1).fit(x), np.ones((4, 3)))
