"""Clusters of given sizes: the sizes hold, and no reassignment is better."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from narrows.measure.partition import partition_distortion, sized_kmeans


def of_sizes(sizes: list[int]) -> Iterator[np.ndarray]:
    """All labelings with these sizes, by plain enumeration."""
    base = [k for k, size in enumerate(sizes) for _ in range(size)]
    yield from (np.array(p) for p in set(itertools.permutations(base)))


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_best_of_all_partitions_with_these_sizes(seed: int) -> None:
    e = np.random.default_rng(seed).standard_normal((7, 2))
    sizes = [4, 2, 1]
    least = min(partition_distortion(e, labels) for labels in of_sizes(sizes))
    labels, found = sized_kmeans(e, np.array(sizes), n_init=30, seed=0)
    assert sorted(np.bincount(labels)) == [1, 2, 4]
    assert found == pytest.approx(partition_distortion(e, labels))
    assert found == pytest.approx(least)


@pytest.mark.parametrize("seed", range(5))
def test_a_start_with_the_right_sizes_is_never_made_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e, start = rng.standard_normal((40, 5)), rng.permutation(np.repeat([0, 1, 2], [20, 15, 5]))
    labels, found = sized_kmeans(e, np.array([20, 15, 5]), n_init=0, seed=0, starts=(start,))
    assert found < partition_distortion(e, start)
    assert np.bincount(labels).tolist() == [20, 15, 5]
    # No exchange of two items can better it at its own means.
    means = np.stack([e[labels == k].mean(0) for k in range(3)])
    cost = ((e[:, None] - means) ** 2).sum(2)
    for i, j in itertools.combinations(range(40), 2):
        a, b = labels[i], labels[j]
        assert cost[i, a] + cost[j, b] <= cost[i, b] + cost[j, a] + 1e-9


def test_separate_groups_are_found_and_the_seed_decides_all() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [6, 3, 9])
    e = rng.standard_normal((18, 2)) * 0.1 + np.array([[0, 5], [5, 0], [-5, -5]])[truth]
    labels, found = sized_kmeans(e, np.array([6, 3, 9]), n_init=5, seed=3)
    assert len({(a, b) for a, b in zip(truth, labels, strict=True)}) == 3
    assert found == pytest.approx(partition_distortion(e, truth))
    again, _ = sized_kmeans(e, np.array([6, 3, 9]), n_init=5, seed=3)
    assert np.array_equal(labels, again)
