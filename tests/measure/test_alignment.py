"""Concept alignment against scikit-learn, exhaustive clustering and exact cases."""

from __future__ import annotations

import itertools
import json
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import homogeneity_score
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.alignment import alignment, alignment_of
from narrows.measure.alignment_clusters import (
    clusterings,
    distances,
    farthest_first,
    homogeneity,
    intervals,
    k_medoids,
)


def _concepts(n: int, k: int, unknown: float = 0.0, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    c = (torch.rand(n, k, generator=g) < 0.4).float()
    c[torch.rand(n, k, generator=g) < unknown] = torch.nan
    return c


def _names(k: int) -> list[str]:
    return [f"c{j}" for j in range(k)]


def _cost(values: np.ndarray, label: np.ndarray) -> float:
    """Sum of distances to the best member of each cluster."""
    groups = [values[label == one] for one in np.unique(label)]
    return sum(min(np.abs(group - at).sum() for at in group) for group in groups)


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_a_representation_that_is_the_concept_scores_exactly_one(steps: int) -> None:
    c = _concepts(80, 3, unknown=0.2)
    found = alignment(c.nan_to_num(0.0), c, _names(3), steps=steps)
    assert found.score.tolist() == [1.0, 1.0, 1.0]
    vectors = torch.stack([c, 2 * c, -c], 2).nan_to_num(0.0)
    assert alignment(vectors, c, _names(3), steps=steps).score.tolist() == [1.0, 1.0, 1.0]


def test_noise_scores_as_noise_does_and_far_from_one() -> None:
    c = _concepts(400, 4)
    z = torch.randn(400, 4, generator=torch.Generator().manual_seed(9))
    found = alignment(z, c, _names(4))
    assert found.mean == pytest.approx(found.noise_mean, abs=0.05)
    assert 0.3 < found.noise_mean < 0.8
    half = alignment(torch.where(torch.arange(4) < 2, c, z), c, _names(4))
    assert (half.score[:2] == 1).all()
    assert half.mean > found.mean + 0.1


def test_the_score_is_the_area_under_scikit_learns_homogeneity() -> None:
    c = _concepts(60, 1)[:, 0]
    g = torch.Generator().manual_seed(2)
    z = c[:, None] + 0.6 * torch.randn(60, 3, generator=g)
    grid = sorted({round(2 + 58 * s / 9) for s in range(10)})
    labels = clusterings(z.double(), grid)
    heights = [homogeneity_score(c.numpy(), label.numpy()) for label in labels]
    wanted = np.trapezoid(heights, grid) / (grid[-1] - grid[0])
    found = alignment(z[:, None], c[:, None], ["c"], steps=10)
    assert float(found.score) == pytest.approx(wanted, abs=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=150, deadline=None)
def test_homogeneity_is_scikit_learns(seed: int, clusters: int, values: int) -> None:
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(clusters, (30,), generator=g)
    truth = torch.randint(values, (30,), generator=g)
    if len(truth.unique()) > 1:
        wanted = homogeneity_score(truth.numpy(), label.numpy())
        assert homogeneity(label, truth) == pytest.approx(wanted, abs=1e-9)


@given(st.lists(st.integers(0, 40), min_size=3, max_size=8, unique=True), st.integers(2, 4))
@settings(max_examples=150, deadline=None)
def test_clusters_of_numbers_are_intervals_no_better_than_the_best(
    numbers: list[int], r: int
) -> None:
    values = np.array(numbers, dtype=float)
    r = min(r, len(values))
    label = clusterings(torch.tensor(values)[:, None], [r])[0].numpy()
    assert len(np.unique(label)) == r
    assert (np.diff(label[values.argsort()]) >= 0).all()
    line = np.sort(values)
    best = min(
        _cost(line, np.repeat(np.arange(r), np.diff([0, *cuts, len(line)])))
        for cuts in itertools.combinations(range(1, len(line)), r - 1)
    )
    assert _cost(values, label) >= best - 1e-9


@pytest.mark.parametrize("r", [2, 3, 4])
def test_of_clusters_far_apart_the_best_of_all_is_found(r: int) -> None:
    g = torch.Generator().manual_seed(r)
    values = (torch.arange(8) % r * 100 + torch.rand(8, generator=g)).double()
    label = clusterings(values[:, None], [r])[0].numpy()
    found = [label == label[i] for i in range(8)]
    wanted = (torch.arange(8)[:, None] % r == torch.arange(8) % r).numpy()
    np.testing.assert_array_equal(np.stack(found), wanted)


def _at_rest(apart: np.ndarray, label: np.ndarray) -> bool:
    """Whether every row could be nearest to a best member of its own cluster.

    Of a cluster's members some may be equally good medoids: a row's own cluster is given its
    nearest of them, the other clusters their farthest.
    """
    own, other = np.full(len(apart), np.inf), np.full(len(apart), np.inf)
    for one in np.unique(label):
        rows = np.flatnonzero(label == one)
        size = apart[np.ix_(rows, rows)].sum(1)
        best = rows[size <= size.min() * (1 + 1e-5) + 1e-7]
        own[rows] = apart[np.ix_(rows, best)].min(1)
        rest = np.flatnonzero(label != one)
        other[rest] = np.minimum(other[rest], apart[np.ix_(rest, best)].max(1))
    return bool((own <= other + 1e-6).all())


def test_the_check_of_rest_can_fail() -> None:
    values = np.array([0.0, 1, 2, 10, 11])
    apart = np.abs(np.subtract.outer(values, values))
    assert _at_rest(apart, np.array([0, 0, 0, 1, 1]))
    assert not _at_rest(apart, np.array([0, 0, 1, 1, 1]))


@given(st.integers(0, 10**6), st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_intervals_rest_at_the_medians_of_the_nearest(seed: int, r: int) -> None:
    values = torch.rand(31, generator=torch.Generator().manual_seed(seed)).double()
    start = farthest_first(lambda i: (values - values[i]).abs(), 3, r)
    label = intervals(values, start).numpy()
    apart = (values[:, None] - values).abs().numpy()
    assert len(np.unique(label)) == r
    assert _at_rest(apart, label)


@pytest.mark.parametrize("r", [3, 20, 60])
def test_medoids_rest_at_the_best_of_their_clusters(r: int) -> None:
    apart = distances(torch.randn(90, 2, generator=torch.Generator().manual_seed(0)))
    label = k_medoids(apart, farthest_first(lambda i: apart[i], 0, r)).numpy()
    assert len(np.unique(label)) == r
    assert _at_rest(apart.numpy(), label)


def test_as_many_clusters_as_rows_are_one_each() -> None:
    z = torch.randn(12, 1, generator=torch.Generator().manual_seed(0))
    for rows in (z, torch.cat([z, z], 1)):
        assert len(clusterings(rows, [12])[0].unique()) == 12
        twice = torch.cat([rows, rows])
        assert len(clusterings(twice, [24])[0].unique()) == 12


def test_a_shift_a_scale_and_the_order_of_concepts_do_not_matter() -> None:
    c = _concepts(100, 3, unknown=0.1)
    z = c.nan_to_num(0.0) + torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    found = alignment(z, c, _names(3))
    torch.testing.assert_close(alignment(4 * z + 8, c, _names(3)).score, found.score)
    turned = alignment(z.flip(1), c.flip(1), _names(3)[::-1])
    assert torch.equal(turned.score.flip(0), found.score)


def test_what_stands_where_a_concept_is_unknown_changes_nothing() -> None:
    c = _concepts(100, 3, unknown=0.4)
    z = torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    y = (torch.arange(100) % 3).long()
    found = alignment(z, c, _names(3), y=y)
    other = alignment(torch.where(c.isnan(), 50 + z, z), c, _names(3), y=y)
    assert other.to_dict() == found.to_dict()
    known = ~c[:, 0].isnan()
    alone = alignment(z[known][:, :1], c[known][:, :1], ["c0"], y=y[known])
    assert float(alone.score) == float(found.score[0])
    assert float(alone.task) == float(found.task[0])


def test_the_task_s_own_score_is_that_of_the_label_as_a_concept() -> None:
    c = _concepts(90, 1)
    z = torch.randn(90, 1, generator=torch.Generator().manual_seed(1))
    y = (torch.rand(90, generator=torch.Generator().manual_seed(4)) < 0.5).long()
    found = alignment(z, c, ["c"], y=y)
    assert float(found.task) == float(alignment(z, y[:, None].float(), ["y"]).score)
    assert alignment(z, c, ["c"]).task.isnan().all()


def test_a_concept_that_does_not_vary_has_no_score() -> None:
    c = _concepts(50, 3)
    c[:, 1], c[:, 2] = 1.0, torch.nan
    found = alignment(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), c, _names(3))
    assert found.score.isnan().tolist() == [False, True, True]
    assert math.isfinite(found.mean)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["score"][1] is None


def test_more_rows_than_the_limit_are_drawn_and_it_is_said(monkeypatch) -> None:
    # By module: the package offers the function under this name.
    monkeypatch.setattr(sys.modules["narrows.measure.alignment"], "ROWS", 40)
    c = _concepts(100, 2)
    z = c + torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    found, again, other = (alignment(z, c, _names(2), seed=seed) for seed in (0, 0, 1))
    assert (found.rows, found.given) == (40, 100)
    assert "40 rows of 100" in str(found)
    assert found.to_dict() == again.to_dict()
    assert found.to_dict() != other.to_dict()


def test_of_a_model_it_takes_what_the_head_reads(make_model, make_rows) -> None:
    model, rows = make_model(3, 2, "logit", extra=2), make_rows(80, 3, 2, unknown=0.2)
    units = model.read(rows.x).units.detach()[:, :3]
    wanted = alignment(units, rows.c, _names(3), y=rows.y, steps=5)
    assert alignment_of(model, rows, steps=5).to_dict() == wanted.to_dict()


def test_bad_input_is_refused_by_name() -> None:
    c = _concepts(20, 2)
    z = c.clone()
    z[3, 1] = math.nan
    with pytest.raises(InvalidInput, match="z of 'c1': found NaN or infinity in row 3"):
        alignment(z, c, _names(2))
    with pytest.raises(InvalidInput, match=r"truth of 'c0': found 2\.0 in row 0"):
        alignment(c, torch.full_like(c, 2), _names(2))
    with pytest.raises(InvalidInput, match="steps: found 1"):
        alignment(c, c, _names(2), steps=1)
    with pytest.raises(InvalidInput, match="y: found shape"):
        alignment(c, c, _names(2), y=torch.zeros(3))
    with pytest.raises(InvalidInput, match=r"z: found shape \(20, 2\)"):
        alignment(c, c, _names(3))
    with pytest.raises(InvalidType, match="z: found list"):
        alignment(c.tolist(), c, _names(2))
