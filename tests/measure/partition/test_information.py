"""Bits and spread of a partition are what counting and the law of total variance say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.metrics import mutual_info_score

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import partition_distortion, partition_information


def points(n: int, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_singletons_cost_log2_n_one_cluster_nothing_and_halves_one_bit() -> None:
    assert partition_information(range(13)) == pytest.approx(math.log2(13), abs=1e-12)
    assert partition_information(["all"] * 9) == 0
    assert math.copysign(1, partition_information(["all"] * 9)) == 1
    assert partition_information([True] * 4 + [False] * 4) == pytest.approx(1, abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_it_is_the_entropy_of_sizes_and_the_information_about_the_items(labels: list[int]) -> None:
    sizes = np.unique(labels, return_counts=True)[1]
    n = len(labels)
    written_out = math.log2(n) - sum(s * math.log2(s) for s in sizes) / n
    found = partition_information(labels)
    assert found == pytest.approx(written_out, abs=1e-12)
    assert found == pytest.approx(entropy(sizes / n, base=2), abs=1e-12)
    assert found == pytest.approx(mutual_info_score(range(n), labels) / math.log(2), abs=1e-9)


def test_distortion_is_the_inertia_of_k_means_over_n() -> None:
    e = points(60)
    model = KMeans(5, n_init=3, random_state=0).fit(e)
    assert partition_distortion(e, model.labels_) == pytest.approx(model.inertia_ / 60, rel=1e-9)


def test_one_cluster_has_the_total_variance_and_singletons_none() -> None:
    e = points(30)
    assert partition_distortion(e, [0] * 30) == pytest.approx(e.var(0).sum())
    assert partition_distortion(e, [0] * 30, normalize="total_variance") == pytest.approx(1)
    assert partition_distortion(e, range(30)) == pytest.approx(0, abs=1e-20)
    unit = e / np.linalg.norm(e, axis=1, keepdims=True)
    assert partition_distortion(7 * e, [0] * 30, normalize="unit") == pytest.approx(
        unit.var(0).sum()
    )


@given(st.lists(st.integers(0, 4), min_size=2, max_size=25), st.integers(0, 99))
def test_within_and_between_add_up_to_the_total(labels: list[int], seed: int) -> None:
    e, c = points(len(labels), seed=seed), np.array(labels)
    between = sum(
        (c == k).mean() * np.square(e[c == k].mean(0) - e.mean(0)).sum() for k in np.unique(c)
    )
    assert partition_distortion(e, c) + between == pytest.approx(e.var(0).sum())


@given(st.lists(st.integers(0, 5), min_size=3, max_size=25), st.integers(0, 99))
def test_merging_clusters_never_costs_bits_and_never_gains_closeness(
    labels: list[int], seed: int
) -> None:
    e, c = points(len(labels), seed=seed), np.array(labels)
    merged = np.where(c == c.max(), c.min(), c)
    assert partition_information(merged) <= partition_information(c) + 1e-12
    assert partition_distortion(e, merged) >= partition_distortion(e, c) - 1e-12


def test_tensors_texts_and_half_precision_are_taken() -> None:
    e = torch.tensor([[1.0, 0.5], [2.0, 0.5], [4.0, 0.5]], dtype=torch.bfloat16)
    told = partition_distortion(e, ["a", "a", "b"])
    assert told == pytest.approx(partition_distortion(e.float().numpy(), [1, 1, 0]))


@pytest.mark.parametrize(
    ("e", "labels", "named"),
    [
        ([[1.0], [math.nan]], [0, 1], "E: found NaN or infinite values in row 1"),
        ([[1.0], [0.0]], [0, 1], "E: found 1 all-zero rows, first 1"),
        ([[1.0], [2.0]], [0], "labels"),
        ([[1.0], [2.0]], ["a", None], "labels: found a missing label"),
        ([[1.0], [2.0]], [0.0, math.nan], "labels"),
        ([[1.0], [1.0]], [0, 1], "E: found vectors that are all equal"),
        ([1.0, 2.0], [0, 1], "E: found shape"),
        (np.zeros((0, 2)), [], "E: found shape"),
    ],
)
def test_bad_input_is_named(e: object, labels: object, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        partition_distortion(e, labels)
    assert isinstance(caught.value, InvalidInput)


def test_other_types_and_normalisations_are_refused() -> None:
    with pytest.raises(InvalidType, match="E: "):
        partition_distortion([["a"], ["b"]], [0, 1])
    with pytest.raises(InvalidType, match="labels: "):
        partition_information(np.array([1j, 2j]))
    with pytest.raises(InvalidInput, match="normalize"):
        partition_distortion([[1.0], [2.0]], [0, 1], normalize="variance")
    with pytest.raises(InvalidInput, match="labels"):
        partition_information([])
