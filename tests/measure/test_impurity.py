"""Oracle impurity against closed forms and scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.impurity import oracle_impurity, oracle_impurity_of
from narrows.measure.impurity_probes import splits


def _concepts(n: int, k: int, unknown: float = 0.0, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    c = (torch.rand(n, k, generator=g) < 0.5).float()
    c[torch.rand(n, k, generator=g) < unknown] = torch.nan
    return c


def _noisy(c: Tensor, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return c.nan_to_num(0.5) + 0.7 * torch.randn(c.shape, generator=g)


def _names(k: int) -> list[str]:
    return [f"c{j}" for j in range(k)]


@pytest.mark.parametrize("probe", ["mlp", "logistic", DecisionTreeClassifier(random_state=0)])
@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_concepts_themselves_are_exactly_pure(probe: object, unknown: float) -> None:
    c = _concepts(300, 4, unknown)
    c[:, 1] = torch.where(torch.rand(300) < 2, c[:, 0], c[:, 1])  # two concepts that go together
    found = oracle_impurity(c.nan_to_num(0.0), c, _names(4), probe=probe, repeats=2)
    assert found.each.tolist() == [0.0, 0.0]
    assert torch.equal(found.of_representations, found.of_concepts)


def test_a_unit_that_tells_every_independent_concept_scores_the_closed_form() -> None:
    k = 4
    c = _concepts(6000, k)
    z = c[:, None, :].expand(-1, k, -1)
    found = oracle_impurity(z, c, _names(k), probe="logistic")
    torch.testing.assert_close(found.of_representations, torch.ones(k, k, dtype=torch.float64))
    assert found.value == pytest.approx(math.sqrt((k - 1) / k), abs=0.02)
    mlp = oracle_impurity(z, c, _names(k), repeats=1)
    assert mlp.value == pytest.approx(math.sqrt((k - 1) / k), abs=0.03)


def test_of_one_number_the_probe_is_the_folded_area_under_the_curve() -> None:
    c = _concepts(1000, 3)
    c[:, 2] = 1 - c[:, 0]  # told with the opposite sign
    z = _noisy(c)
    found = oracle_impurity(z, c, _names(3), probe="logistic", repeats=1, seed=3)
    (_, _, test), *_ = splits(1000, 1, 3)
    for i, j in ((0, 0), (1, 1), (0, 2), (2, 0), (2, 2)):
        area = roc_auc_score(c[test, j].numpy(), z[test, i].numpy())
        wanted = abs(area - 0.5) + 0.5
        assert float(found.of_representations[i, j]) == pytest.approx(wanted, abs=1e-9)


def test_the_score_is_the_scaled_norm_of_the_difference() -> None:
    c = _concepts(200, 3)
    found = oracle_impurity(_noisy(c), c, _names(3), probe="logistic", repeats=1)
    gap = (found.of_representations - found.of_concepts).numpy()
    assert found.value == pytest.approx(2 / 3 * np.linalg.norm(gap), abs=1e-12)
    np.fill_diagonal(gap, 0)
    without = oracle_impurity(
        _noisy(c), c, _names(3), probe="logistic", repeats=1, include_diagonal=False
    )
    assert without.value == pytest.approx(2 / 3 * np.linalg.norm(gap), abs=1e-12)
    assert without.value < found.value


def test_the_logistic_probe_is_scikit_learns_on_known_pairs() -> None:
    c = _concepts(400, 3, unknown=0.2)
    g = torch.Generator().manual_seed(5)
    z = torch.cat([_noisy(c)[:, :, None], torch.randn(400, 3, 2, generator=g)], 2)
    ours = oracle_impurity(z, c, _names(3), probe="logistic", repeats=2)
    theirs = oracle_impurity(
        z, c, _names(3), probe=make_pipeline(StandardScaler(), LogisticRegression()), repeats=2
    )
    torch.testing.assert_close(
        ours.of_representations, theirs.of_representations, atol=2e-3, rtol=0
    )
    torch.testing.assert_close(ours.of_concepts, theirs.of_concepts, atol=2e-3, rtol=0)
    (_, train, test), _ = splits(400, 2, 0)
    known = ~(c[:, 0].isnan() | c[:, 1].isnan())
    train, test = train[known[train]], test[known[test]]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(z[train, 0].numpy(), c[train, 1].numpy())
    said = model.decision_function(z[test, 0].numpy())
    alone = oracle_impurity(z, c, _names(3), probe="logistic", repeats=1)
    wanted = roc_auc_score(c[test, 1].numpy(), said)
    assert float(alone.of_representations[0, 1]) == pytest.approx(wanted, abs=2e-3)


def test_the_mlp_probe_learns_what_no_line_tells() -> None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2500, 2, 2, generator=g)
    c = ((z[..., 0] > 0) != (z[..., 1] > 0)).float()
    curved = oracle_impurity(z, c, ["a", "b"], repeats=1).of_representations
    assert curved.diagonal().min() > 0.95
    assert abs(float(curved[0, 1]) - 0.5) < 0.1
    straight = oracle_impurity(z, c, ["a", "b"], repeats=1, probe="logistic").of_representations
    assert (straight.diagonal() - 0.5).abs().max() < 0.1


@pytest.mark.parametrize("probe", ["mlp", "logistic"])
def test_what_stands_where_a_concept_is_unknown_changes_nothing(probe: str) -> None:
    c = _concepts(200, 3, unknown=0.3)
    z = _noisy(c)
    other = torch.where(c.isnan(), 7 - z, z)
    found = oracle_impurity(z, c, _names(3), probe=probe, repeats=1)
    assert oracle_impurity(other, c, _names(3), probe=probe, repeats=1).to_dict() == found.to_dict()


def test_scale_of_representations_and_order_of_concepts_do_not_matter() -> None:
    c = _concepts(300, 3, unknown=0.1)
    z = _noisy(c)
    found = oracle_impurity(z, c, _names(3), probe="logistic")
    moved = oracle_impurity(z * torch.tensor([1.0, 50, 0.01]) - 9, c, _names(3), probe="logistic")
    torch.testing.assert_close(
        moved.of_representations, found.of_representations, atol=1e-3, rtol=0
    )
    turned = oracle_impurity(z.flip(1), c.flip(1), _names(3)[::-1], probe="logistic")
    torch.testing.assert_close(turned.of_representations.flip(0, 1), found.of_representations)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    c = _concepts(120, 2)
    first, again, other = (
        oracle_impurity(_noisy(c), c, _names(2), seed=seed, repeats=2) for seed in (1, 1, 2)
    )
    assert first.to_dict() == again.to_dict()
    assert first.to_dict() != other.to_dict()
    assert first.standard_error == pytest.approx(float(first.each.std()) / math.sqrt(2))


def test_a_concept_that_does_not_vary_is_left_out() -> None:
    c = _concepts(200, 3)
    z = _noisy(c)
    wanted = oracle_impurity(z[:, :2], c[:, :2], _names(2), probe="logistic")
    c[:, 2] = 1
    found = oracle_impurity(z, c, _names(3), probe="logistic")
    assert found.of_representations[:, 2].isnan().all()
    torch.testing.assert_close(found.of_representations[:2, :2], wanted.of_representations)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["of_concepts"][0][2] is None
    nothing = oracle_impurity(z[:, 2:], c[:, 2:], ["still"], probe="logistic")
    assert math.isnan(nothing.value)
    assert nothing.to_dict()["value"] is None


def test_of_a_model_it_takes_what_the_head_reads(make_model, make_rows) -> None:
    model, rows = make_model(3, 2, "logit"), make_rows(150, 3, 2, unknown=0.2)
    units = model.read(rows.x).units.detach()
    wanted = oracle_impurity(units, rows.c, _names(3), probe="logistic")
    assert oracle_impurity_of(model, rows, probe="logistic").to_dict() == wanted.to_dict()
    assert "± " in str(wanted)


def test_bad_input_is_refused_by_name() -> None:
    c = _concepts(50, 2)
    z = c.clone()
    z[3, 1] = math.nan
    with pytest.raises(InvalidInput, match="z of 'c1': found NaN or infinity in row 3"):
        oracle_impurity(z, c, _names(2))
    with pytest.raises(UnknownName, match="probe: found 'mpl'"):
        oracle_impurity(c, c, _names(2), probe="mpl")
    with pytest.raises(InvalidType, match="probe: found int"):
        oracle_impurity(c, c, _names(2), probe=3)
    with pytest.raises(InvalidInput, match="repeats: found 0"):
        oracle_impurity(c, c, _names(2), repeats=0)
    with pytest.raises(InvalidInput, match="4 rows"):
        oracle_impurity(c[:4], c[:4], _names(2))
