"""The curve is k-means' own, the optimum bounds it, and controls say what is by design."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import partition_distortion, partition_information, rate_distortion_curve


def set_partitions(n: int) -> Iterator[list[int]]:
    """All partitions of n items, as restricted growth strings."""

    def grow(labels: list[int], used: int) -> Iterator[list[int]]:
        if len(labels) == n:
            yield labels
            return
        for label in range(used + 1):
            yield from grow([*labels, label], max(used, label + 1))

    yield from grow([], 0)


def cost(e: np.ndarray, labels: list[int], beta: float) -> float:
    """L written out with plain loops."""
    n, bits, spread = len(e), math.log2(len(e)), 0.0
    for label in set(labels):
        rows = [x for x, own in zip(e, labels, strict=True) if own == label]
        bits -= len(rows) / n * math.log2(len(rows))
        mean = sum(rows) / len(rows)
        spread += sum(float(((x - mean) ** 2).sum()) for x in rows) / n
    return bits + beta * spread


def best_on_a_line(x: np.ndarray, k: int, beta: float) -> float:
    """Least L of k runs of sorted values, by dynamic programming.

    For fixed sizes and k the cost is a sum over clusters, so runs can be added one by one.
    """
    x = np.sort(x)
    n = len(x)
    total, square = np.concatenate([[0], x.cumsum()]), np.concatenate([[0], (x**2).cumsum()])

    def run(i: int, j: int) -> float:
        m = j - i
        inertia = square[j] - square[i] - (total[j] - total[i]) ** 2 / m
        return -m / n * math.log2(m) + beta * inertia / n

    table = [0.0] + [math.inf] * n
    for _ in range(k):
        table = [math.inf] + [min(table[i] + run(i, j) for i in range(j)) for j in range(1, n + 1)]
    return math.log2(n) + table[n]


@pytest.mark.parametrize("seed", range(4))
def test_brute_force_over_all_partitions_bounds_l_from_below(seed: int) -> None:
    e = np.random.default_rng(seed).standard_normal((8, 2)) + 3
    curve = rate_distortion_curve(e, range(1, 9), normalize=None, n_init=30, seed=0)
    least = dict.fromkeys(range(1, 9), (math.inf, math.inf))
    for labels in set_partitions(8):
        k = max(labels) + 1
        spread = cost(e, labels, 1e6) / 1e6  # at a high price the bits do not count
        least[k] = (min(least[k][0], cost(e, labels, 1.0)), min(least[k][1], spread))
    for k, value, spread in zip(curve.ks, curve.objective, curve.distortion, strict=True):
        assert value >= least[k][0] - 1e-9
        assert spread == pytest.approx(least[k][1], abs=1e-5)  # k-means finds the least spread


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.5, 20), min_size=4, max_size=12, unique=True),
    st.sampled_from([0.1, 1.0, 5.0]),
)
def test_on_a_line_dynamic_programming_bounds_l_from_below(
    values: list[float], beta: float
) -> None:
    x = np.array(values)
    ks = range(1, len(np.unique(np.round(x, 9))) + 1)
    curve = rate_distortion_curve(x[:, None], ks, beta=beta, normalize=None, n_init=3)
    for k, found in zip(curve.ks, curve.objective, strict=True):
        assert found >= best_on_a_line(x, k, beta) - 1e-9


def test_the_dynamic_programme_agrees_with_brute_force() -> None:
    x = np.array([1.0, 1.5, 2.0, 4.0, 9.0, 9.5, 11.0])
    least = dict.fromkeys(range(1, 8), math.inf)
    for labels in set_partitions(7):
        sorted_runs = all(a <= b for a, b in itertools.pairwise(labels))
        if sorted_runs:
            k = max(labels) + 1
            least[k] = min(least[k], cost(x[:, None], labels, 1.0))
    for k, value in least.items():
        assert best_on_a_line(x, k, 1.0) == pytest.approx(value)


def test_each_point_is_what_scikit_learn_and_the_two_measures_say() -> None:
    e = np.random.default_rng(0).standard_normal((80, 6)) * 3 + 1
    curve = rate_distortion_curve(e, [2, 7], beta=0.5, n_init=4, seed=9)
    total = e.var(0).sum()
    for i, k in enumerate([2, 7]):
        peer = KMeans(k, n_init=4, random_state=9).fit((e - e.mean(0)) / math.sqrt(total))
        assert curve.distortion[i] == pytest.approx(peer.inertia_ / 80, rel=1e-9)
        told = partition_distortion(e, curve.labels[i], normalize="total_variance")
        assert curve.distortion[i] == pytest.approx(told, rel=1e-9)
        bits = partition_information(curve.labels[i])
        assert curve.information[i] == pytest.approx(bits)
        assert curve.objective[i] == pytest.approx(bits + 0.5 * told)
        assert curve.at(k).objective == curve.objective[i]
    assert curve.best in (2, 7)
    assert curve.total_variance == pytest.approx(1)


def test_the_scale_of_vectors_counts_only_without_normalisation() -> None:
    e = np.random.default_rng(1).standard_normal((40, 3))
    raw, large = (rate_distortion_curve(v, [3], normalize=None) for v in (e, 10 * e))
    assert large.distortion[0] == pytest.approx(100 * raw.distortion[0])
    for normalize in ("total_variance", "unit"):
        a, b = (rate_distortion_curve(v, [3], normalize=normalize) for v in (e, 10 * e))
        assert a.distortion == pytest.approx(b.distortion)


def test_controls_have_the_sizes_and_lie_in_order() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(["x", "y", "z"], [30, 20, 10])
    e = rng.standard_normal((60, 4)) + 2 * (truth[:, None] == np.array(["x", "y", "z", "-"]))
    found = rate_distortion_curve(e, [2], normalize=None).compare(truth, draws=200)
    assert [s.name for s in found.scores] == [
        "partition",
        "k-means",
        "random_sizes",
        "kmeans_same_sizes",
    ]
    human, free, dealt, sized = found.scores
    assert human.information == dealt.information == sized.information
    assert free.distortion <= sized.distortion + 1e-12
    assert sized.distortion <= human.distortion <= dealt.distortion
    # Dealt at random, a cluster of size m keeps (m - 1)/(n - 1) n/m of the variance.
    expected = e.var(0).sum() * sum((m - 1) / 59 for m in (30, 20, 10))
    assert dealt.distortion == pytest.approx(expected, abs=4 * dealt.deviation / math.sqrt(200))
    assert human.share == pytest.approx(human.distortion / e.var(0).sum())
    assert found.gap == pytest.approx(human.objective - free.objective)
    assert found.gap_same_sizes == pytest.approx(human.distortion - sized.distortion)
    json.dumps(found.to_dict(), allow_nan=False)
    assert "random_sizes: I 1.459 bits" in repr(found)


def test_the_optimum_itself_has_no_gap() -> None:
    e = np.array([[0.1, 1], [0.2, 1], [8, 1], [8.1, 1], [8.2, 1]])
    found = rate_distortion_curve(e, [2]).compare([0, 0, 1, 1, 1], controls=["kmeans_same_sizes"])
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert found.gap_same_sizes == pytest.approx(0, abs=1e-12)
    with pytest.raises(UnknownName, match="random_sizes"):
        found["random_sizes"]


def test_a_curve_tells_its_settings_as_json() -> None:
    e = np.random.default_rng(0).standard_normal((10, 2))
    curve = rate_distortion_curve(e, [2, 3], seed=4)
    told = json.loads(json.dumps(curve.to_dict(), allow_nan=False))
    assert told["ks"] == [2, 3]
    assert told["seed"] == 4
    assert told["normalize"] == "total_variance"
    assert f"K = {curve.best}" in repr(curve)
    with pytest.raises(UnknownName, match="k: found 4"):
        curve.at(4)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ks": [5]}, "ks: found 5 clusters, wanted at most 4, the number of items"),
        ({"ks": [4]}, "ks: found 4 clusters, wanted at most 3, the number of different"),
        ({"ks": []}, "ks"),
        ({"ks": [2, 2]}, "ks"),
        ({"ks": [0]}, "ks"),
        ({"ks": [2.0]}, "ks"),
        ({"beta": -1}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"n_init": 0}, "n_init"),
        ({"seed": -1}, "seed"),
        ({"normalize": "x"}, "normalize"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, object], named: str) -> None:
    e = [[1.0], [2.0], [2.0], [5.0]]
    with pytest.raises(InvalidInput, match=named):
        rate_distortion_curve(e, **{"ks": [2], **changes})  # type: ignore[arg-type]


def test_vectors_that_differ_in_length_only_are_one_vector_of_length_one() -> None:
    e = [[0.1, 0.3], [0.2, 0.6], [0.7, 2.1], [1.0, 0.0]]
    with pytest.raises(InvalidInput, match="ks: found 3 clusters, wanted at most 2"):
        rate_distortion_curve(e, [3], normalize="unit")
    assert rate_distortion_curve(e, [2], normalize="unit").distortion[0] < 1e-20


def test_bad_partitions_are_named() -> None:
    curve = rate_distortion_curve([[1.0], [2.0], [2.0], [5.0]], [2])
    with pytest.raises(InvalidInput, match="labels: found shape"):
        curve.compare([0, 1])
    with pytest.raises(InvalidInput, match="labels: found one category"):
        curve.compare([0] * 4)
    with pytest.raises(InvalidInput, match="labels: found 4 clusters"):
        curve.compare([0, 1, 2, 3])
    with pytest.raises(UnknownName, match="control"):
        curve.compare([0, 0, 1, 1], controls=["random"])
    with pytest.raises(InvalidInput, match="draws"):
        curve.compare([0, 0, 1, 1], draws=1)
    with pytest.raises(InvalidType, match="beta"):
        rate_distortion_curve([[1.0], [2.0]], [2], beta="1")  # type: ignore[arg-type]
