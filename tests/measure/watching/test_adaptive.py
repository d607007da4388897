"""Adaptive cells and noise against counting, brute force and the laws they promise."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import InformationPlane
from narrows.measure.watching import AdaptiveBins, AdaptiveNoise, FixedBins, MixtureBounds


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(estimator, t: Tensor, y: Tensor):
    return estimator.measure(torch.cat([estimator.encode(part) for part in t.split(7)]), y)


def by_hand(rows: list, y: list[int]) -> tuple[float, float]:
    """I(X;T) and I(T;Y) of cells from dictionaries of counts."""
    h, within = entropy(list(Counter(rows).values())), 0.0
    for label, count in Counter(y).items():
        mine = [row for row, own in zip(rows, y, strict=True) if own == label]
        within += count / len(y) * entropy(list(Counter(mine).values()))
    return h, h - within


def cells_by_hand(values: list[float], bins: int) -> dict[float, int]:
    """Level to cell by cutting the sorted levels into runs of as equal length as can be."""
    levels = sorted(set(values))
    runs = np.array_split(np.array(levels), min(bins, len(levels)))
    return {float(level): i for i, run in enumerate(runs) for level in run}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 60), st.integers(1, 6), st.integers(2, 40), st.integers(0, 3), st.integers(0, 99)
)
def test_cells_hold_equal_counts_of_distinct_levels(n, d, bins, digits, seed) -> None:
    t = draw(n, d, seed=seed).round(decimals=digits)
    for scope, columns in (("layer", t.reshape(-1, 1)), ("unit", t)):
        cells = AdaptiveBins(bins, scope).fit(t).transform(t).reshape(columns.shape)
        for values, own in zip(columns.T, cells.T, strict=True):
            of = {}
            for value, cell in zip(values.tolist(), own.tolist(), strict=True):
                assert of.setdefault(value, cell) == cell  # ties share a cell
            levels = sorted(of)
            assert [of[v] for v in levels] == sorted(of[v] for v in levels)
            held = Counter(of.values())
            assert sorted(held) == list(range(min(bins, len(levels))))
            assert max(held.values()) - min(held.values()) <= 1


def test_a_constant_layer_tells_nothing() -> None:
    y = torch.arange(20) % 2
    for value in (0.0, 0.3):
        t = torch.full((20, 3), value)
        for estimator in (AdaptiveBins(), AdaptiveBins(30, "unit"), AdaptiveNoise()):
            found = run(estimator, t, y)
            assert (found.xt, found.ty) == (0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 80), st.integers(1, 6), st.integers(2, 40), st.integers(0, 99))
def test_an_increasing_map_of_all_units_changes_no_cell(n, d, bins, seed) -> None:
    t, y = draw(n, d, seed=seed), torch.arange(n) % 2
    alone = AdaptiveBins(bins).fit(t).transform(t)
    for mapped in (t.exp(), t.tanh(), 5 * t + 3, t.float().double()):
        assert torch.equal(AdaptiveBins(bins).fit(mapped).transform(mapped), alone)
        found, other = run(AdaptiveBins(bins), mapped, y), run(AdaptiveBins(bins), t, y)
        assert (found.xt, found.ty) == (other.xt, other.ty)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 99))
def test_noise_by_the_square_of_the_maximum_follows_the_scale_and_fixed_noise_does_not(
    c, seed
) -> None:
    t, y = draw(40, 3, seed=seed), torch.arange(40) % 2
    for scale in ("max2", "std2"):
        one, other = (AdaptiveNoise(0.05, scale).measure(s, y) for s in (t, c * t))
        assert (other.xt, other.ty) == pytest.approx((one.xt, one.ty), rel=1e-9, abs=1e-12)
    # by a power of two not a digit differs
    exact = AdaptiveNoise(0.05)
    assert exact.measure(t, y) == exact.measure(2.0**20 * t, y)
    wide, narrow = (MixtureBounds(0.05).measure(s, y).xt for s in (100 * t, t / 100))
    assert wide > narrow + 1
    wide, narrow = (AdaptiveNoise(0.05, "max").measure(s, y).xt for s in (100 * t, t / 100))
    assert wide > narrow + 1


@pytest.mark.parametrize("bound", ["upper", "lower"])
@pytest.mark.parametrize("scale", ["max2", "max", "std2"])
def test_adaptive_noise_is_the_bounds_at_the_variance_it_names(scale, bound) -> None:
    t, y = 3.7 * draw(50, 4) + 1, torch.arange(50) % 3
    top = float(t.abs().max())
    variance = {"max2": top**2, "max": top, "std2": float(t.numpy().var())}[scale] * 0.01
    estimator = AdaptiveNoise(0.01, scale, bound)
    assert estimator.variance(t) == pytest.approx(variance, rel=1e-12)
    found, fixed = estimator.measure(t, y), MixtureBounds(variance, bound).measure(t, y)
    assert (found.xt, found.ty) == pytest.approx((fixed.xt, fixed.ty), rel=1e-9)


def test_a_uniform_grid_fills_all_cells_alike() -> None:
    t, y = torch.linspace(-3, 900, 4096)[:, None], torch.arange(4096) % 2
    assert run(AdaptiveBins(32), t, y).xt == pytest.approx(5 * math.log(2), abs=1e-12)
    side = torch.linspace(0, 1, 64)
    both = torch.cartesian_prod(side, side)
    for scope in ("layer", "unit"):
        two = run(AdaptiveBins(32, scope), both, y)
        assert two.xt == pytest.approx(10 * math.log(2), abs=1e-12)
    # log P is all that 4096 rows can show
    all_apart = run(AdaptiveBins(64), both, y)
    assert all_apart.xt == pytest.approx(12 * math.log(2), abs=1e-12) == all_apart.ceiling


@pytest.mark.parametrize("scope", ["layer", "unit"])
def test_three_bits_by_enumeration(scope) -> None:
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=torch.float64)
    t = torch.relu(x @ torch.tensor([[1.0, 0.5], [-0.3, 2.0], [0.7, -1.0]], dtype=torch.float64))
    y = (x.prod(1) > 0).long()
    if scope == "layer":
        of = cells_by_hand(t.flatten().tolist(), 4)
        rows = [tuple(of[v] for v in row) for row in t.tolist()]
    else:
        own = [cells_by_hand(column.tolist(), 4) for column in t.T]
        rows = [tuple(o[v] for o, v in zip(own, row, strict=True)) for row in t.tolist()]
    found = run(AdaptiveBins(4, scope), t, y)
    assert (found.xt, found.ty) == pytest.approx(by_hand(rows, y.tolist()), abs=1e-12)


def test_noise_on_three_bits_by_enumeration() -> None:
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)))
    t, y = torch.relu(x @ torch.tensor([[1.0], [-0.3], [0.7]])).double(), (x.prod(1) > 0).long()
    variance = 0.02 * float(t.max()) ** 2
    values, labels = t[:, 0].tolist(), y.tolist()

    def bound(points: list[float]) -> float:
        logs = [
            math.log(sum(math.exp(-((a - b) ** 2) / (2 * variance)) for b in points) / len(points))
            for a in points
        ]
        return -sum(logs) / len(points)

    parts = [[v for v, own in zip(values, labels, strict=True) if own == k] for k in (0, 1)]
    within = sum(len(part) / 8 * bound(part) for part in parts)
    found = AdaptiveNoise(0.02).measure(t, y)
    assert (found.xt, found.ty) == pytest.approx((bound(values), bound(values) - within), rel=1e-9)


def test_zeros_of_rectified_units_take_one_cell_of_thirty_not_most() -> None:
    t = torch.relu(draw(2000, 1) - 0.2533)  # 60 % zeros
    assert 0.58 < float((t == 0).double().mean()) < 0.62
    quantiles = np.quantile(t.numpy(), np.linspace(0, 1, 31))
    assert (quantiles[1:] == 0).mean() > 0.5
    cells = AdaptiveBins(30).fit(t).transform(t)
    assert set(cells[t == 0].tolist()) == {0}
    assert len(cells.unique()) == 30


def test_kept_edges_are_the_ablation_in_which_only_the_layer_moves() -> None:
    early, late, y = draw(200, 3), 0.05 * draw(200, 3), torch.arange(200) % 2
    frozen = AdaptiveBins(30).fit(early)
    assert run(frozen, early, y) == run(AdaptiveBins(30), early, y)
    assert run(AdaptiveBins(30), late, y).xt == pytest.approx(run(AdaptiveBins(30), early, y).xt)
    assert run(frozen, late, y).xt < run(AdaptiveBins(30), late, y).xt - 0.5
    with pytest.raises(InvalidInput, match="3 units"):
        AdaptiveBins(30, "unit").fit(early).transform(early[:, :2])


def test_edges_between_neighbouring_floats_part_them() -> None:
    low = torch.tensor(1.0, dtype=torch.float64)
    t = torch.stack([low, torch.nextafter(low, low + 1)])[:, None]
    assert AdaptiveBins(2).fit(t).transform(t).flatten().tolist() == [0, 1]
    most = torch.finfo(torch.float64).max
    t = torch.tensor([[most / 2], [most]], dtype=torch.float64)
    assert AdaptiveBins(2).fit(t).transform(t).flatten().tolist() == [0, 1]


def test_few_levels_are_told_and_a_quantile_of_zero_falls_back_with_a_note() -> None:
    y = torch.arange(40) % 2
    t = torch.arange(40.0)[:, None] % 5
    assert "5 distinct values for 30 cells" in run(AdaptiveBins(30), t, y).warnings[-1]
    assert run(AdaptiveBins(5), t, y).warnings == ()
    assert run(AdaptiveBins(5), t, y).xt == pytest.approx(math.log(5))
    sparse = torch.zeros(40, 1)
    sparse[:4, 0] = torch.arange(1.0, 5)
    clipped = AdaptiveNoise(1e-3, quantile=0.5).measure(sparse, y)
    assert clipped.xt == AdaptiveNoise(1e-3).measure(sparse, y).xt
    assert "maximum scales the noise" in clipped.warnings[-1]
    outlier = torch.cat([draw(39, 1), torch.tensor([[1e6]])])
    assert AdaptiveNoise(0.01).measure(outlier, y).xt < 0.5
    assert AdaptiveNoise(0.01, quantile=0.95).measure(outlier, y).xt > 1


def test_the_plane_takes_them_and_names_a_layer_that_is_not_finite() -> None:
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)))
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    model.requires_grad_(requires_grad=False)
    model[0].weight.copy_(draw(4, 5))
    both = {"ebab": AdaptiveBins(4), "akde": AdaptiveNoise(0.05), "bins": FixedBins(4)}
    plane = InformationPlane(model, x, x[:, 0].long(), "1", both)
    plane.snapshot(0)
    t = model[:2](x)
    assert plane.table()["I(X;T)"][0] == run(AdaptiveBins(4), t, x[:, 0].long()).xt
    model[0].weight.mul_(64)
    model[0].bias.mul_(64)
    plane.snapshot(1)
    ebab, akde = (plane.table().where(estimator=e)["I(X;T)"] for e in ("ebab", "akde"))
    assert ebab[0] == ebab[1]
    assert akde[0] == pytest.approx(akde[1], rel=1e-5)
    model[0].bias.fill_(math.nan)
    with pytest.raises(InvalidInput, match=r"layer '1'.*NaN"):
        plane.snapshot(2)


def test_settings_and_activations_that_make_no_sense_are_refused() -> None:
    for make in (
        lambda: AdaptiveBins(1),
        lambda: AdaptiveBins(True),
        lambda: AdaptiveBins(2.5),  # type: ignore[arg-type]
        lambda: AdaptiveBins(30, "net"),
        lambda: AdaptiveNoise(0),
        lambda: AdaptiveNoise(-1e-3),
        lambda: AdaptiveNoise(math.nan),
        lambda: AdaptiveNoise(scale="sum"),
        lambda: AdaptiveNoise(bound="both"),
        lambda: AdaptiveNoise(quantile=0),
    ):
        with pytest.raises(InvalidInput):
            make()
    y = torch.arange(4) % 2
    bad = torch.ones(4, 2)
    bad[1, 1] = math.inf
    for estimator in (AdaptiveBins(), AdaptiveNoise()):
        with pytest.raises(InvalidInput, match="NaN or infinite"):
            estimator.measure(bad, y)
        with pytest.raises(InvalidInput, match="shape"):
            estimator.measure(torch.ones(4), y)
        with pytest.raises(InvalidType):
            estimator.measure(torch.ones(4, 2, dtype=torch.long), y)
