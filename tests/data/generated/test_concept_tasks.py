"""The tasks drawn by formula: hidden numbers are recovered from the features, labels from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

from narrows.data import Dataset, concept_ceiling, datasets, load, prepare
from narrows.errors import InvalidInput, UnknownName

TASKS = ("xor", "trig", "dot")
MANY = (20_000, 10, 10)


def rows_of(name: str, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train = load(name, sizes=MANY, **options).train
    return train.x.double().numpy(), train.c.numpy() == 1, train.y.numpy() == 1


def hidden_of(sine: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """u from sin u + u and cos u + u: the root of (s - u)^2 + (c - u)^2 = 1 that has the sine."""
    root = np.sqrt(np.maximum(2 - (sine - cosine) ** 2, 0))
    both = ((sine + cosine)[..., None] + np.stack([root, -root], -1)) / 2
    gap = np.abs(np.sin(both) + both - sine[..., None])
    return np.take_along_axis(both, gap.argmin(-1)[..., None], -1)[..., 0]


def agreement(found: np.ndarray, margin: np.ndarray) -> bool:
    """Whether truths follow the signs of their margins, float32 features allowing for ties."""
    clear = np.abs(margin) > 1e-4
    return clear.mean() > 0.999 and np.array_equal(found[clear], margin[clear] > 0)


def test_xor_is_two_uniform_numbers_and_whether_one_of_them_is_high() -> None:
    x, c, y = rows_of("xor")
    for column in x.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(x.T)[0, 1]) < 5 / np.sqrt(len(x))
    assert agreement(c, x - 0.5)
    assert np.array_equal(y, c.sum(1) == 1)


def test_trig_hides_three_normal_numbers_behind_waves() -> None:
    x, c, y = rows_of("trig")
    hidden = hidden_of(x[:, 0:6:2], x[:, 1:6:2])
    assert np.allclose(np.cos(hidden) + hidden, x[:, 1:6:2], atol=1e-3)
    assert np.allclose((hidden**2).sum(1), x[:, 6], atol=1e-2)
    for column in hidden.T:
        assert stats.kstest(column, stats.norm(0, 2).cdf).pvalue > 1e-3
    clear = np.abs(hidden) > 1e-2
    assert np.array_equal(c[clear], hidden[clear] > 0)
    far = np.abs(hidden.sum(1) - 1) > 1e-2
    assert np.array_equal(y[far], hidden.sum(1)[far] > 1)
    share = stats.norm(0, 2 * np.sqrt(3)).sf(1)
    assert abs(y.mean() - share) < 5 * np.sqrt(share * (1 - share) / len(y))


def test_dot_hides_two_vectors_behind_their_sum_and_difference() -> None:
    x, c, y = rows_of("dot")
    v, w = (x[:, :2] + x[:, 2:]) / 2, (x[:, :2] - x[:, 2:]) / 2
    for column in (*v.T, *w.T):
        assert stats.kstest(column, stats.norm(0, 2).cdf).pvalue > 1e-3
    assert agreement(c, np.stack([v.sum(1), -w.sum(1)], 1))
    assert agreement(y, (v * w).sum(1))
    assert np.abs(np.corrcoef(v.T, w.T) - np.eye(4)).max() < 5 / np.sqrt(len(x))


def test_sizes_are_the_papers_unless_asked_otherwise() -> None:
    for name in TASKS:
        data = load(name)
        assert [len(s) for s in data.splits.values()] == [2_100, 300, 600]
        assert data.name == name
        assert data.classes == (False, True)
        assert data.train.known.all()
        assert name in datasets()
    assert [len(s) for s in load("dot", sizes=(5, 4, 3)).splits.values()] == [5, 4, 3]


@pytest.mark.parametrize("name", TASKS)
def test_the_seed_decides_everything_and_no_split_another(name: str) -> None:
    prints = [load(name, seed=seed, sizes=(50, 20, 20)).fingerprint for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]
    small, large = (load(name, sizes=(n, 20, 20)) for n in (50, 90))
    assert small.test.x.equal(large.test.x)
    rows = {tuple(row) for split in small.splits.values() for row in split.x.tolist()}
    assert len(rows) == 90


@pytest.mark.parametrize("name", TASKS)
def test_ceilings_are_what_the_best_table_of_concepts_reaches(name: str) -> None:
    train = load(name, sizes=(400_000, 10, 10)).train
    code = (train.c.numpy() @ 2 ** np.arange(train.c.shape[1])).astype(int)
    positive = np.bincount(code, train.y.numpy())
    total = np.bincount(code)
    best = np.maximum(positive, total - positive).sum() / len(train)
    assert abs(best - concept_ceiling(name)) < 5 * 0.5 / np.sqrt(len(train))


def test_the_trig_ceiling_is_an_integral_over_orthants() -> None:
    """By the densities of |u| + |v| and |u| - |v| in closed form and adaptive quadrature."""
    half = stats.halfnorm(scale=2)

    def density(s: float, sign: int) -> float:
        bell = np.exp(-(s**2) / 16) / (2 * np.sqrt(np.pi))
        return 2 * bell * special.erf(s / 4) if sign > 0 else bell * special.erfc(abs(s) / 4)

    def above_one(sign: int, last: int) -> float:
        """P(|u| + sign |v| + last |w| > 1)."""

        def slice_of(s: float) -> float:
            return density(s, sign) * (half.sf(1 - s) if last > 0 else half.cdf(s - 1))

        low = 0 if sign > 0 else -40
        assert integrate.quad(density, low, 40, (sign,), points=[0])[0] == pytest.approx(1)
        return integrate.quad(slice_of, low, 40, points=[0, 1], epsabs=1e-10)[0]

    # None of the three is negative, one, two; with all three the sum is below 1.
    chances = [above_one(1, 1), above_one(1, -1), above_one(-1, -1), 0.0]
    right = sum(n * max(p, 1 - p) for n, p in zip((1, 3, 3, 1), chances, strict=True)) / 8
    assert concept_ceiling("trig") == pytest.approx(right, abs=2e-6)


def test_new_rows_are_prepared_by_the_settings() -> None:
    data = load("dot", sizes=(20, 5, 5))
    table = {"w2": [9.0], **{n: [float(i)] for i, n in enumerate(data.settings["features"])}}
    assert prepare(table, data.settings).x.tolist() == [[0.0, 1.0, 2.0, 3.0]]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (10, 0, 10)}, "sizes: found"),
        ({"sizes": (10, 10)}, "sizes: found"),
        ({"sizes": (1.5, 1, 1)}, "sizes: found"),
        ({"seed": -1}, "seed: found -1"),
        ({"seed": 0.5}, "seed: found 0.5"),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(name, **options)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'trig'"):
        concept_ceiling("trigg")
    with pytest.raises(UnknownName, match="'sizes'"):
        load("xor", size=(5, 5, 5))


def test_a_set_describes_itself() -> None:
    assert isinstance(load("trig"), Dataset)
    assert str(load("trig").concepts) == "u is positive; v is positive; w is positive"
