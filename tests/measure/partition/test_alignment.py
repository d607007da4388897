"""Agreement with categories: invariant to names, none for shuffled labels, with its spread."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

from narrows.errors import InvalidInput
from narrows.measure import category_alignment


def blobs(n: int, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    return rng.standard_normal((n, 5)) * spread + 4 * np.eye(4, 5)[labels], labels


def test_it_is_the_score_of_scikit_learns_clusters() -> None:
    e, labels = blobs(120, 1.5)
    found = category_alignment(e, labels, n_init=5, draws=2)
    peer = KMeans(4, n_init=5, random_state=0).fit(e - e.mean(0)).labels_
    assert found.ami == pytest.approx(adjusted_mutual_info_score(labels, peer))
    assert 0.3 < found.ami < 1
    assert found.nmi > found.ami  # not corrected for chance


def test_names_of_categories_do_not_count() -> None:
    e, labels = blobs(100, 2.0)
    names = np.array(["d", "a", "c", "b"])[labels]
    first, second = (category_alignment(e, given, draws=2) for given in (labels, names))
    assert first.ami == pytest.approx(second.ami, abs=1e-12)
    assert first.ari == pytest.approx(second.ari, abs=1e-12)


def test_shuffled_labels_agree_by_nothing_in_the_mean() -> None:
    e, labels = blobs(60)
    rng = np.random.default_rng(1)
    clusters = category_alignment(e, labels, draws=2).clusters
    values = [adjusted_mutual_info_score(rng.permutation(labels), clusters) for _ in range(500)]
    error = np.std(values, ddof=1) / np.sqrt(500)
    assert abs(np.mean(values)) < 3 * error
    # The same through the function, with fewer shuffles: it clusters each time.
    values = [
        category_alignment(e, rng.permutation(labels), n_init=1, draws=2).ami for _ in range(40)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / np.sqrt(40)


def test_the_interval_has_the_spread_over_samples() -> None:
    values = [
        category_alignment(*blobs(150, 1.7, seed=s), n_init=3, draws=2).ami for s in range(60)
    ]
    found = category_alignment(*blobs(150, 1.7, seed=99), draws=200)
    low, high = found.ami_interval
    assert (low + high) / 2 == pytest.approx(found.ami)
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(values, ddof=1), rel=0.5)


def test_separate_groups_are_recovered_and_told() -> None:
    e, labels = blobs(80, 0.1)
    found = category_alignment(torch.tensor(e), torch.tensor(labels), normalize="unit", draws=5)
    assert (found.ami, found.nmi, found.ari) == pytest.approx((1, 1, 1))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["k"] == 4
    assert told["settings"]["normalize"] == "unit"
    assert "AMI 1.000" in repr(found)


def test_another_number_of_clusters_can_be_asked_for() -> None:
    e, labels = blobs(40)
    assert category_alignment(e, labels, k=1, draws=2).ami == pytest.approx(0)
    assert category_alignment(e, labels, k=9, draws=2).k == 9


@pytest.mark.parametrize(
    ("labels", "changes", "named"),
    [
        ([0, 1], {}, "labels: found shape"),
        ([0, 0, 0], {}, "labels: found one category"),
        ([0, 1, 2], {}, "labels: found 3 clusters, wanted at most 2"),
        ([0, 0, 1], {"k": 4}, "k: found 4"),
        ([0, 0, 1], {"k": 0}, "k"),
        ([0, 0, 1], {"draws": 1}, "draws"),
        ([0, 0, 1], {"n_init": 0}, "n_init"),
    ],
)
def test_bad_input_is_named(labels: list[int], changes: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        category_alignment([[1.0], [1.0], [2.0]], labels, **changes)
