"""The rank correlation is scipy's, and its chance interval holds what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from narrows.errors import InvalidInput
from narrows.measure.complexity import rank_correlation


def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_it_is_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 40), rng.integers(0, 5, 40)
    b = b + a
    found = rank_correlation(a, b, generator=source())
    assert found.rho == pytest.approx(spearmanr(a, b).statistic)
    assert found.n == 40


def test_chance_is_about_one_over_the_root_of_the_number() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 100))
    found = rank_correlation(a, b, generator=source(), draws=4000)
    low, high = found.chance
    assert high == pytest.approx(1.96 / np.sqrt(99), rel=0.1)
    assert low == pytest.approx(-1.96 / np.sqrt(99), rel=0.1)
    peer = spearmanr(a, b).pvalue
    assert found.p == pytest.approx(peer, abs=0.04)
    assert rank_correlation(a, a, generator=source()).p < 0.001
    assert "by chance" in repr(found)


def test_bad_input_is_named() -> None:
    for a, b, named in (
        ([1, 2], [1, 2], "b"),
        ([1, 2, 3], [1, 2], "b"),
        ([1, 1, 1], [1, 2, 3], "a"),
    ):
        with pytest.raises(InvalidInput, match=named):
            rank_correlation(a, b, generator=source())
    with pytest.raises(InvalidInput, match="draws"):
        rank_correlation([1, 2, 3], [1, 2, 3], generator=source(), draws=3)
