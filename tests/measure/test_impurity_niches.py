"""Niche impurity against scikit-learn loops and cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.impurity_niches import correlation, niche_impurity, niche_impurity_of
from narrows.measure.impurity_probes import splits


def _concepts(n: int, k: int, seed: int = 0) -> Tensor:
    return (torch.rand(n, k, generator=torch.Generator().manual_seed(seed)) < 0.5).double()


def _names(k: int) -> list[str]:
    return [f"c{j}" for j in range(k)]


def test_independent_concepts_have_ideal_niches() -> None:
    c = _concepts(4000, 5)
    found = niche_impurity(c, c, _names(5), probe="logistic")
    assert (found.curves[0] == 0.5).all()  # at 0 everything is silenced
    assert (found.curves - 0.5).abs().max() < 0.06
    assert found.value == pytest.approx(0.5, abs=0.02)


def test_everything_everywhere_is_silenced_together() -> None:
    c = _concepts(400, 3)
    found = niche_impurity(c[:, None].expand(-1, 3, -1), c, _names(3), repeats=2)
    assert (found.curves == 0.5).all()
    assert found.value == pytest.approx(0.5, abs=1e-12)


def test_what_is_told_by_units_that_do_not_go_with_a_concept_is_the_worst() -> None:
    a = _concepts(4000, 2)
    c = torch.stack([(a[:, 0] != a[:, 1]).double(), a[:, 0], a[:, 1]], 1)
    z = torch.stack([torch.zeros(4000, dtype=torch.float64), a[:, 0], a[:, 1]], 1)
    found = niche_impurity(z, c, _names(3), repeats=1)
    # Neither input of an exclusive or goes with it, and both tell it.
    assert (found.curves[2:, 0] > 0.99).all()
    assert found.score[0] > 0.9


def test_mixtures_score_what_loops_over_scikit_learn_find() -> None:
    k, n = 4, 500
    c = _concepts(n, k)
    z = (c + c.roll(1, 1)) / 2
    found = niche_impurity(z, c, _names(k), probe="logistic", repeats=2, seed=4)
    curves = []
    for _, train, test in splits(n, 2, 4):
        x, y, held, truth = z[train].numpy(), c[train].numpy(), z[test].numpy(), c[test].numpy()
        curve = np.zeros((21, k))
        for j in range(k):
            model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8)).fit(x, y[:, j])
            tied = [abs(np.corrcoef(x[:, i], y[:, j])[0, 1]) for i in range(k)]
            for step in range(21):
                silent = held.copy()
                for i in range(k):
                    if tied[i] > min(step, 19) * 0.05:  # the last value is carried on
                        silent[:, i] = 0
                curve[step, j] = roc_auc_score(truth[:, j], model.decision_function(silent))
        curves.append(curve)
    wanted = np.mean(curves, 0)
    np.testing.assert_allclose(found.curves.numpy(), wanted, atol=1e-3)
    area = ((wanted[1:] + wanted[:-1]) / 2).sum(0) * 0.05
    np.testing.assert_allclose(found.score.numpy(), area, atol=1e-3)
    assert found.value == pytest.approx(area.mean(), abs=1e-3)
    assert found.value > 0.6


def test_the_estimator_of_the_user_gives_the_same_as_the_own_probe() -> None:
    c = _concepts(300, 3)
    z = torch.stack([c, c.roll(1, 1)], 2) @ torch.tensor([[1.0, 0.2], [0.4, -1.0]]).double()
    theirs = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8))
    first = niche_impurity(z, c, _names(3), probe=theirs, repeats=1)
    second = niche_impurity(z, c, _names(3), probe="logistic", repeats=1)
    torch.testing.assert_close(first.curves, second.curves, atol=1e-3, rtol=0)
    assert first.probe == "Pipeline"


def test_correlations_are_numpys_for_numbers_and_multiple_ones_for_vectors() -> None:
    g = torch.Generator().manual_seed(0)
    c = _concepts(200, 3)
    z = torch.randn(200, 3, 4, generator=g, dtype=torch.float64) + c[:, :, None]
    single = correlation(z[:, :, :1], c)
    for i in range(3):
        for j in range(3):
            wanted = abs(np.corrcoef(z[:, i, 0], c[:, j])[0, 1])
            assert float(single[i, j]) == pytest.approx(wanted, abs=1e-9)
    c[torch.rand(200, 3, generator=g) < 0.3] = torch.nan
    several = correlation(z, c)
    for i in range(3):
        for j in range(3):
            known = ~c[:, j].isnan()
            x, y = z[known, i].numpy(), c[known, j].numpy()
            wanted = math.sqrt(LinearRegression().fit(x, y).score(x, y))
            assert float(several[i, j]) == pytest.approx(wanted, abs=1e-9)
    assert correlation(torch.ones(5, 1, 2).double(), _concepts(5, 1)).tolist() == [[0.0]]


def test_a_shift_of_the_numbers_changes_only_what_silence_says() -> None:
    c = _concepts(300, 2)
    found = niche_impurity(c, c, _names(2), probe="logistic", repeats=1)
    # For a line silence is one constant, wherever the numbers are.
    moved = niche_impurity(10 * c - 3, c, _names(2), probe="logistic", repeats=1)
    torch.testing.assert_close(found.curves, moved.curves)


def test_unknown_labels_take_no_part() -> None:
    c = _concepts(400, 2)
    c[torch.rand(400, 2, generator=torch.Generator().manual_seed(1)) < 0.5] = torch.nan
    z = c.nan_to_num(0.5)
    found = niche_impurity(z, c, _names(2), probe="logistic")
    nothing = c.isnan().all(1, keepdim=True)
    other = niche_impurity(torch.where(nothing, 9 - z, z), c, _names(2), probe="logistic")
    torch.testing.assert_close(other.curves, found.curves)
    still = c.clone()
    still[:, 1] = 0
    alone = niche_impurity(z, still, _names(2), probe="logistic")
    assert alone.curves[:, 1].isnan().all()
    assert alone.to_dict()["score"][1] is None
    assert math.isfinite(alone.value)


def test_the_same_seed_gives_the_same_numbers(make_model, make_rows) -> None:
    model, rows = make_model(3, 2), make_rows(120, 3, 2, unknown=0.2)
    first, again, other = (niche_impurity_of(model, rows, seed=s, repeats=2) for s in (0, 0, 1))
    assert first.to_dict() == again.to_dict()
    assert first.to_dict() != other.to_dict()
    assert "ideal 0.5" in str(first)


def test_bad_input_is_refused_by_name() -> None:
    c = _concepts(50, 2)
    z = c.clone()
    z[3, 1] = math.inf
    with pytest.raises(InvalidInput, match="z of 'c1': found NaN or infinity in row 3"):
        niche_impurity(z, c, _names(2))
    with pytest.raises(InvalidInput, match="z: found shape"):
        niche_impurity(c[:, :1], c, _names(2))
