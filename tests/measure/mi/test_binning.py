"""Bins: scipy's counts, exact grids, and what depends on order alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.mi import mutual_information
from narrows.measure.mi.binning import cell_codes, digitize, edges

columns = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=80)


@given(columns, st.integers(2, 12))
def test_levels_share_the_unique_values_evenly(values, bins):
    """As many in each bin, but for one; fewer levels than bins get one bin each."""
    levels = np.unique(values)
    ids = digitize(np.array(levels)[:, None], bins)[:, 0]
    sizes = np.bincount(ids)
    assert len(sizes) == min(bins, len(levels))
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(ids) >= 0).all()


@given(columns, st.integers(2, 12), st.sampled_from(["width", "quantile", "levels"]))
def test_equal_values_share_a_bin_and_order_is_kept(values, bins, rule):
    given_values = np.array(values)[:, None]
    ids = digitize(given_values, bins, rule)[:, 0]
    order = np.argsort(given_values[:, 0], kind="stable")
    assert (np.diff(ids[order]) >= 0).all()
    assert ids.max() < bins
    for value in values[:10]:
        assert len(set(ids[given_values[:, 0] == value])) == 1


@pytest.mark.parametrize("rule", ["quantile", "levels"])
def test_strictly_monotone_maps_change_no_digit(rule):
    """One map for all columns, with the edges of all columns or of each."""
    t = np.random.default_rng(0).standard_normal((400, 2))
    y = np.random.default_rng(1).standard_normal((400, 1)) + t[:, :1]
    for scope in ("column", "all"):
        here = mutual_information(t, y, "binning", bins=6, rule=rule, scope=scope).value
        for bent in (np.exp(t), np.tanh(t), 5 * t + 3):
            there = mutual_information(bent, y, "binning", bins=6, rule=rule, scope=scope)
            assert there.value == here


def test_a_grid_of_4096_values_in_32_bins_holds_five_bits():
    grid = np.arange(4096.0)
    for rule in ("width", "quantile", "levels"):
        found = mutual_information(
            grid, grid, "binning", bins=32, rule=rule, correction="none", units="bits"
        )
        assert found.value == pytest.approx(5)
        assert "finer bins" in found.warnings[0]


def test_two_units_over_all_combinations_hold_ten_bits_of_twelve():
    a, b = np.meshgrid(np.arange(64.0), np.arange(64.0))
    t = np.stack([a.ravel(), b.ravel()], axis=1)
    found = mutual_information(t, t, "binning", bins=32, correction="none", units="bits")
    assert found.value == pytest.approx(10)


def test_zeros_of_a_relu_fill_one_bin_by_levels_and_most_by_quantiles():
    relu = np.maximum(np.random.default_rng(0).standard_normal((2000, 1)) - 0.25, 0)
    assert len(edges(relu, 30, "levels")) == 29
    assert len(edges(relu, 30, "quantile")) < 15


def test_one_column_equals_numpy_histograms_and_scikit_learn():
    generator = np.random.default_rng(2)
    x = generator.standard_normal(500)
    y = x + generator.standard_normal(500)
    found = mutual_information(x, y, "binning", bins=7, rule="width", correction="none")
    table = np.histogram2d(x, y, bins=7)[0]
    assert found.value == pytest.approx(mutual_info_score(None, None, contingency=table))


def test_cells_of_many_columns_are_those_of_whole_rows():
    """Wide enough to be numbered anew several times."""
    ids = np.random.default_rng(3).integers(0, 900, (50, 40))
    ids = np.concatenate([ids, ids[::2]])
    code = cell_codes(ids)
    same = (ids[:, None] == ids[None]).all(2)
    assert ((code[:, None] == code[None]) == same).all()
    _, counts = np.unique(ids, axis=0, return_counts=True)
    assert scipy.stats.entropy(np.bincount(code)) == pytest.approx(scipy.stats.entropy(counts))


def test_saturation_and_few_levels_are_called_out():
    t = np.random.default_rng(4).standard_normal((300, 6))
    notes = mutual_information(t, t[:, :1], "binning", bins=8).warnings
    assert any("alone in their cell" in note for note in notes)
    steps = np.arange(300.0) % 3
    notes = mutual_information(steps, t[:, 0], "binning", bins=8).warnings
    assert "x: 3 different values for 8 bins" in notes[0]


def test_bad_settings_are_named():
    x = np.arange(20.0)
    with pytest.raises(InvalidInput, match="bins: found 1, wanted a whole number, 2 or more"):
        mutual_information(x, x, "binning", bins=1)
    with pytest.raises(InvalidInput, match="bins: found 2\\.5"):
        mutual_information(x, x, "binning", bins=2.5)
    with pytest.raises(UnknownName, match="rule: found 'quantil'"):
        mutual_information(x, x, "binning", rule="quantil")
    with pytest.raises(UnknownName, match="scope: found 'layer'"):
        mutual_information(x, x, "binning", scope="layer")
