"""Shuffled pairs: exact as a test, and the same whatever holds the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from narrows.errors import InvalidInput
from narrows.measure.mi import mutual_information
from narrows.measure.mi.null import permutation_null


def test_p_values_of_independent_pairs_are_even():
    """With 19 shuffles, p takes 1/20 to 1 with equal chance."""
    generator = np.random.default_rng(0)
    p = [
        permutation_null(*generator.standard_normal((2, 30)), "gcmi", n=19, seed=seed).p_value
        for seed in range(150)
    ]
    assert np.mean(p) == pytest.approx(0.525, abs=0.08)
    assert 0.05 < np.mean(np.array(p) <= 0.2) < 0.33
    assert min(p) >= 1 / 20


def test_each_value_is_an_estimate_of_shuffled_rows():
    x, y = np.random.default_rng(1).standard_normal((2, 80, 2))
    found = permutation_null(x, y, "ksg", n=3, seed=5, k=4)
    generator = np.random.default_rng(5)
    for value in found.values:
        order = generator.permutation(80)
        assert value == mutual_information(x, y[order], "ksg", k=4).value
    assert found.result.value == mutual_information(x, y, "ksg", k=4).value
    assert found.excess == pytest.approx(found.result.value - found.values.mean())
    assert found.sd == pytest.approx(found.values.std(ddof=1))


def test_dependence_gives_the_smallest_p():
    x, noise = np.random.default_rng(2).standard_normal((2, 200))
    for method in ("ksg", "hsic", "binning"):
        found = permutation_null(x, x + noise, method, n=39)
        assert found.p_value == 1 / 40
        assert "p = 0.025" in repr(found)
        assert len(found.to_dict()["values"]) == 39


def test_tensors_lists_and_labels_are_shuffled_alike():
    x, y = np.random.default_rng(3).standard_normal((2, 60)).astype(np.float32)
    here = permutation_null(x, y, n=4).values
    assert (permutation_null(torch.from_numpy(x), torch.from_numpy(y), n=4).values == here).all()
    assert (permutation_null(x.tolist(), y.tolist(), n=4).values == here).all()
    labels = ["even" if i % 2 else "odd" for i in range(60)]
    assert len(permutation_null(x, labels, "ross", n=4, y_kind="discrete").values) == 4


def test_bad_settings_are_named():
    x = np.arange(30.0)
    with pytest.raises(InvalidInput, match="n: found 1, wanted 2 shuffles"):
        permutation_null(x, x, n=1)
    with pytest.raises(InvalidInput, match="each: found True"):
        permutation_null(x, x, each=True)
