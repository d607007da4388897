"""Layer estimates against counting, closed forms and simulation."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import entropy, norm
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.watching import (
    FixedBins,
    MixtureBounds,
    RangeBins,
    WidthBins,
    mixture_bounds,
    mixture_information,
)
from narrows.measure.watching.estimators import codes_of, pack


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(estimator, t: Tensor, y: Tensor):
    return estimator.measure(torch.cat([estimator.encode(part) for part in t.split(7)]), y)


def by_hand(rows: list, y: list[int]) -> tuple[float, float]:
    """I(X;T) and I(T;Y) of cells from dictionaries of counts."""
    h = entropy(list(Counter(rows).values()))
    within = 0.0
    for label, count in Counter(y).items():
        mine = [row for row, own in zip(rows, y, strict=True) if own == label]
        within += count / len(y) * entropy(list(Counter(mine).values()))
    return h, h - within


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 30), st.integers(2, 40), st.integers(0, 99))
def test_binned_information_is_that_of_counted_cells(n, d, edges, seed) -> None:
    t = torch.tanh(draw(n, d, seed=seed)).round(decimals=1)
    y = torch.arange(n) % 3
    grid = np.linspace(-1, 1, edges)
    cells = np.clip(np.digitize(t.numpy(), grid) - 1, 0, edges - 2)
    # A value on an edge may fall either way by rounding; both sides use these edges in float64.
    xt, ty = by_hand([tuple(r) for r in cells], y.tolist())
    found = run(FixedBins(edges), t, y)
    if not np.isclose(t.numpy()[..., None], grid, atol=1e-9).any():
        assert found.xt == pytest.approx(xt, abs=1e-12)
        assert found.ty == pytest.approx(ty, abs=1e-12)
    rows = [tuple(r) for r in np.floor(t.numpy() / 0.07)]
    found = run(WidthBins(0.07), t, y)
    assert (found.xt, found.ty) == pytest.approx(by_hand(rows, y.tolist()), abs=1e-12)


def test_three_bits_by_brute_force() -> None:
    x = torch.tensor(list(itertools.product([-0.5, 0.5], repeat=3)))
    y = x.prod(1) > 0
    t = torch.stack([x.sum(1) / 2, x[:, 0]], 1)
    found = run(FixedBins(30), t, y.long())
    assert found.xt == pytest.approx(by_hand([tuple(r) for r in t.tolist()], y.tolist())[0])
    parity = run(FixedBins(3), x, y.long())
    assert parity.xt == pytest.approx(3 * math.log(2))
    assert parity.ty == pytest.approx(math.log(2))


def test_the_identity_on_twelve_bits_tells_twelve_bits_and_all_of_the_label() -> None:
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=12)))
    y = (x.sum(1) + x[:, 0] * x[:, 5] > 6).long()
    found = run(FixedBins(30), x, y)
    assert found.xt / math.log(2) == pytest.approx(12, abs=1e-12)
    assert found.ty == pytest.approx(entropy(torch.bincount(y).tolist()))
    assert found.xt == pytest.approx(found.ceiling, abs=1e-12)
    assert "100 % of points are alone" in found.warnings[0]


@given(st.integers(1, 200), st.integers(1, 40), st.integers(2, 2000), st.integers(0, 99))
def test_packed_cells_are_equal_where_and_only_where_cells_are(n, d, base, seed) -> None:
    cells = torch.randint(base, (n, d), generator=torch.Generator().manual_seed(seed))
    cells = cells[torch.arange(n) // 2]
    cells[:, 1:] = cells[:1, 1:]
    codes = codes_of(pack(cells, base))
    assert len(set(zip(codes, map(tuple, cells.tolist()), strict=True))) == len(set(codes))
    assert len(set(codes)) == len({tuple(r) for r in cells.tolist()})


def test_values_outside_fall_into_the_outer_cells_and_the_range_moves_with_range_bins() -> None:
    t, y = torch.tensor([[0.5], [1.5], [2.5], [90.0]]), torch.tensor([0, 1, 0, 1])
    assert run(FixedBins(2), t, y).xt == 0
    assert run(FixedBins(3, 0.0, 2.0), t, y).xt == pytest.approx(entropy([1, 3]))
    assert run(RangeBins(5), t, y).xt == pytest.approx(entropy([3, 1]))
    wide = draw(50, 3).abs()
    y = torch.arange(50) % 2
    assert run(RangeBins(8), wide, y).xt == run(RangeBins(8), 1024 * wide, y).xt
    assert run(RangeBins(8), torch.ones(50, 3), y).xt == 0


def test_the_bounds_hold_the_simulated_information_between_them() -> None:
    t, generator = draw(200, 3), torch.Generator().manual_seed(1)
    for variance in (0.05, 0.5):
        low, high = mixture_bounds(t, variance)
        value, error = mixture_information(t, variance, 20_000, generator)
        assert low < value - 3 * error
        assert value + 3 * error < high < math.log(200)


def test_far_points_tell_all_and_coincident_points_nothing() -> None:
    y = torch.arange(40) % 2
    far = torch.arange(40.0)[:, None] * 100
    for estimator in (MixtureBounds(1e-3), MixtureBounds(1e-3, "lower")):
        found = estimator.measure(far, y)
        assert found.xt == pytest.approx(math.log(40))
        assert found.ty == pytest.approx(math.log(2))
        assert "ceiling" in found.warnings[0]
        same = estimator.measure(torch.full((40, 3), 0.3), y)
        assert (same.xt, same.ty) == pytest.approx((0, 0), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 50), st.integers(1, 20), st.floats(0.01, 10), st.integers(0, 99))
def test_the_bounds_are_the_double_sum(n, d, variance, seed) -> None:
    t, y = draw(n, d, seed=seed), torch.arange(n) % 2
    distance = ((t[:, None] - t[None]) ** 2).sum(-1).numpy()
    for bound, scale in (("upper", 2), ("lower", 8)):
        kernel = np.exp(-distance / (scale * variance))
        xt = -np.log(kernel.mean(1)).mean()
        inside = 0.0
        for label in range(2):
            own = y.numpy() == label
            inside += own.mean() * -np.log(kernel[np.ix_(own, own)].mean(1)).mean()
        found = MixtureBounds(variance, bound).measure(t, y)
        assert found.xt == pytest.approx(xt, rel=1e-9, abs=1e-12)
        assert found.ty == pytest.approx(xt - inside, rel=1e-9, abs=1e-9)


def test_a_linear_neuron_of_a_gaussian_input_lies_between_the_bounds() -> None:
    w, variance = 2.0, 0.25
    x = torch.from_numpy(norm.ppf((np.arange(2000) + 0.5) / 2000))[:, None]
    truth = 0.5 * math.log(1 + w**2 / variance)
    low, high = mixture_bounds(w * x, variance)
    assert low < truth < high
    assert mixture_information(w * x, variance, 20_000, torch.Generator())[0] == pytest.approx(
        truth, abs=0.03
    )
    # The bounds in closed form: the expectation of the mean kernel over a Gaussian.
    for value, scale in ((high, 2), (low, 8)):
        s = scale * variance / 2

        def kernel(v: float, s: float = s) -> float:
            return -math.log(math.sqrt(s / (s + w**2)) * math.exp(-(v**2) / (2 * (s + w**2))))

        closed = quad(lambda u: norm.pdf(u) * kernel(w * u), -8, 8)[0]
        assert value == pytest.approx(closed, abs=0.01)


def test_noise_added_in_each_layer_and_passed_on_only_loses_information() -> None:
    """A chain T1 = x + N, T2 = W T1 + N, ...: each T is a mixture about the weights' product."""
    x = draw(64, 4)
    variance, spread, mean = 0.1, torch.eye(4, dtype=torch.float64) * 0.1, x
    values = [mixture_information(mean, variance, 20_000, torch.Generator().manual_seed(0))]
    for layer in range(3):
        w = draw(4, 4, seed=10 + layer)
        mean, spread = mean @ w.T, w @ spread @ w.T + variance * torch.eye(4)
        # Whitened, the noise is round again, and information stays.
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(spread), mean.T, upper=False).T
        values.append(mixture_information(white, 1.0, 20_000, torch.Generator().manual_seed(0)))
    for (before, e), (after, f) in itertools.pairwise(values):
        assert after <= before + 3 * math.hypot(e, f)
    assert values[-1][0] < values[0][0] - 0.3


def test_settings_that_make_no_sense_are_refused() -> None:
    for make in (
        lambda: FixedBins(1),
        lambda: FixedBins(30, 1.0, 1.0),
        lambda: FixedBins(2.5),  # type: ignore[arg-type]
        lambda: RangeBins(1),
        lambda: WidthBins(0),
        lambda: MixtureBounds(0),
        lambda: MixtureBounds(math.nan),
        lambda: MixtureBounds(1.0, "both"),
    ):
        with pytest.raises(InvalidInput):
            make()
    with pytest.raises(InvalidInput, match="shape"):
        mixture_bounds(draw(3), 1.0)
    with pytest.raises(InvalidType):
        mixture_bounds(torch.ones(3, 2, dtype=torch.long), 1.0)
