"""HSIC, distance correlation, Cauchy-Schwarz and Renyi: brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy as shannon

from narrows.errors import InvalidInput
from narrows.measure.mi import gram, mutual_information, renyi
from narrows.measure.mi.renyi import matrix_entropy


def data(n: int, seed: int = 0, dx: int = 2, dy: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, dx))
    return x, x[:, :1] + generator.standard_normal((n, dy))


def kernel(x: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-cdist(x, x, "sqeuclidean") / (2 * width**2))


def hsic_of(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    h = np.eye(len(k)) - 1 / len(k)
    return float(np.trace(k @ h @ l @ h)) / (len(k) - 1) ** 2


def test_hsic_equals_its_trace():
    x, y = data(90)
    found = mutual_information(x, y, "hsic", x_width=0.7, y_width=1.9)
    assert found.value == pytest.approx(hsic_of(kernel(x, 0.7), kernel(y, 1.9)), abs=1e-14)


def test_hsic_of_classes_uses_equality():
    x, _ = data(80)
    labels = np.arange(80) % 3
    same = (labels[:, None] == labels).astype(float)
    found = mutual_information(x, labels, "hsic", y_kind="discrete", x_width=1.0)
    assert found.value == pytest.approx(hsic_of(kernel(x, 1.0), same), abs=1e-14)


def test_normalised_hsic_equals_its_ratio_of_traces():
    x, y = data(60)
    k, l = kernel(x, 1.2), kernel(y, 0.8)  # noqa: E741
    ratio = hsic_of(k, l) / math.sqrt(hsic_of(k, k) * hsic_of(l, l))
    found = mutual_information(x, y, "nhsic", x_width=1.2, y_width=0.8)
    assert found.value == pytest.approx(ratio, abs=1e-12)


def test_the_width_is_the_median_distance():
    x, y = data(101)
    far = cdist(x, x)[np.triu_indices(101, 1)]
    found = mutual_information(x, y, "hsic")
    assert found.settings["x_width"] == pytest.approx(np.median(far))
    many = np.repeat([[0.0], [1.0]], [90, 10], axis=0)
    assert 0 < gram.median_distance(many) < 1  # more than half of the pairs coincide


def test_distance_correlation_equals_double_centring():
    x, y = data(70)
    a, b = (d - d.mean(0) - d.mean(1)[:, None] + d.mean() for d in (cdist(x, x), cdist(y, y)))
    truth = math.sqrt((a * b).mean() / math.sqrt((a * a).mean() * (b * b).mean()))
    found = mutual_information(x, y, "distance_correlation")
    assert found.value == pytest.approx(truth, abs=1e-10)


def test_distance_correlation_of_a_normal_pair_near_its_closed_form():
    """Szekely, Rizzo and Bakirov 2007, theorem 7."""
    rho = 0.6
    generator = np.random.default_rng(0)
    x, noise = generator.standard_normal((2, 4000))
    found = mutual_information(x, rho * x + math.sqrt(1 - rho**2) * noise, "distance_correlation")
    top = rho * math.asin(rho) + math.sqrt(1 - rho**2) - rho * math.asin(rho / 2)
    top += 1 - math.sqrt(4 - rho**2)
    truth = math.sqrt(top / (1 + math.pi / 3 - math.sqrt(3)))
    assert found.value == pytest.approx(truth, abs=0.04)


def test_distance_correlation_of_labels_counts_them_as_one_apart():
    x, _ = data(60)
    labels = np.arange(60) % 3
    hot = np.eye(3)[labels] / math.sqrt(2)  # one-hot corners are one apart
    coded = mutual_information(x, labels, "distance_correlation", y_kind="discrete").value
    assert coded == pytest.approx(mutual_information(x, hot, "distance_correlation").value)
    both = {"x_kind": "discrete", "y_kind": "discrete"}
    other = np.arange(60) % 2
    coded = mutual_information(labels, other, "distance_correlation", **both).value
    assert coded == pytest.approx(0, abs=1e-7)
    assert mutual_information(labels, labels, "distance_correlation", **both).value == 1


def test_cauchy_schwarz_equals_a_triple_loop():
    x, y = data(6)
    k, l = kernel(x, 0.9), kernel(y, 1.1)  # noqa: E741
    joint = sum(k[i, j] * l[i, j] for i, j in itertools.product(range(6), repeat=2)) / 6**2
    cross = sum(k[i, j] * l[i, m] for i, j, m in itertools.product(range(6), repeat=3)) / 6**3
    truth = math.log(joint * k.mean() * l.mean() / cross**2)
    found = mutual_information(x, y, "cauchy_schwarz", x_width=0.9, y_width=1.1)
    assert found.value == pytest.approx(truth, abs=1e-12)


def test_cauchy_schwarz_comes_to_its_limit_for_normal_pairs():
    """Blurred by the kernel, rho = .8 gives .217130 with width .5; .336472 without."""
    rho, width = 0.8, 0.5
    seen = rho / (1 + width**2 / 2)
    limit = math.log((4 - seen**2) / (4 * math.sqrt(1 - seen**2)))
    assert limit == pytest.approx(0.217130, abs=1e-6)
    assert math.log((4 - rho**2) / (4 * math.sqrt(1 - rho**2))) == pytest.approx(0.336472, abs=1e-6)
    values = []
    for seed in range(3):
        x, noise = np.random.default_rng(seed).standard_normal((2, 3000))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        found = mutual_information(x, y, "cauchy_schwarz", x_width=width, y_width=width)
        values.append(found.value)
    assert np.mean(values) == pytest.approx(limit, abs=0.015)


def test_cauchy_schwarz_is_never_negative():
    generator = np.random.default_rng(0)
    for _ in range(200):
        x, y = generator.standard_normal((2, int(generator.integers(5, 30)), 2))
        assert mutual_information(x, y, "cauchy_schwarz").value >= -1e-12


def test_renyi_of_one_hot_clusters_is_the_log_of_their_number():
    for clusters in (2, 5):
        codes = np.arange(60) % clusters
        kinds = {"x_kind": "discrete", "y_kind": "discrete"}
        for alpha in (0.5, 1, 1.01, 2):
            found = mutual_information(codes, codes, "renyi", alpha=alpha, **kinds)
            assert found.value == pytest.approx(math.log(clusters), abs=1e-9)
    far = np.repeat(np.eye(5), 12, axis=0) * 100
    found = mutual_information(far, far, "renyi", x_width=1.0, y_width=1.0)
    assert found.value == pytest.approx(math.log(5), abs=1e-9)


def test_renyi_of_codes_is_that_of_their_shares():
    shares = np.array([0.5, 0.3, 0.2])
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    same = (codes[:, None] == codes).astype(float)
    assert matrix_entropy(same, 1) == pytest.approx(shannon(shares))
    assert matrix_entropy(same, 3) == pytest.approx(math.log((shares**3).sum()) / -2)
    # of order 2 there is a form without eigenvalues
    x, _ = data(50)
    k = kernel(x, 1.0)
    assert matrix_entropy(k, 2) == pytest.approx(-math.log(((k / 50) ** 2).sum()))


def test_renyi_near_order_one_is_continuous_and_stays_below_log_n():
    x, y = data(100)
    values = [mutual_information(x, y, "renyi", alpha=a).value for a in (0.999, 1, 1.001)]
    assert values[0] == pytest.approx(values[1], abs=0.02)
    assert values[2] == pytest.approx(values[1], abs=0.02)
    tight = mutual_information(x, y, "renyi", x_width=1e-3, y_width=1e-3)
    assert tight.value == pytest.approx(tight.ceiling)


def test_renyi_refuses_many_rows_by_name(monkeypatch):
    monkeypatch.setattr(renyi, "MOST", 50)
    x, y = data(51)
    with pytest.raises(InvalidInput, match="x: found N = 51 rows, wanted at most 50 for 'renyi'"):
        mutual_information(x, y, "renyi")


def test_pieces_change_nothing_but_rounding(monkeypatch):
    x, y = data(97)
    methods = ["hsic", "nhsic", "distance_correlation", "cauchy_schwarz", "renyi", "kde"]
    whole = [mutual_information(x, y, method).value for method in methods]
    monkeypatch.setattr(gram, "_ENTRIES", 97 * 10)
    assert [s.stop - s.start for s in gram.pieces(97)] == [10] * 9 + [7]
    parts = [mutual_information(x, y, method).value for method in methods]
    assert parts == pytest.approx(whole, abs=1e-9)


def test_bad_settings_are_named():
    x, y = data(20)
    for method in ("hsic", "nhsic", "cauchy_schwarz", "renyi"):
        with pytest.raises(InvalidInput, match="width: found 0"):
            mutual_information(x, y, method, x_width=0)
    for method in ("nhsic", "cauchy_schwarz"):
        flat = {"normalized": True} if method == "cauchy_schwarz" else {}
        with pytest.raises(InvalidInput, match=r"x_width: found .*alike"):
            mutual_information(x, y, method, x_width=1e12, **flat)
    with pytest.raises(InvalidInput, match="alpha: found 0"):
        mutual_information(x, y, "renyi", alpha=0)
