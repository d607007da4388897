"""Concept quality against scikit-learn, brute force and invariants."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    roc_auc_score,
)

from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import concept_quality, concept_quality_of
from narrows.measure.quality import COLUMNS, ConstantConcept

NAN = float("nan")
names3 = ("a", "b", "c")


@pytest.fixture
def table():
    """300 rows, 3 concepts, a third of the labels unknown, scores on a coarse grid with ties."""
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 3)) < [0.5, 0.1, 0.8]).astype(float)
    scores = np.clip(np.round(0.3 * truth + rng.random((300, 3)) * 0.7, 1), 0, 1)
    truth[rng.random((300, 3)) < 1 / 3] = NAN
    return torch.tensor(scores), torch.tensor(truth)


def test_columns_equal_scikit_learn_on_the_known_labels(table):
    found = concept_quality(*table, names3)
    for j in range(3):
        known = ~table[1][:, j].isnan()
        p, c = table[0][known, j].numpy(), table[1][known, j].numpy()
        assert found.auc[j] == pytest.approx(roc_auc_score(c, p), abs=1e-12)
        wanted = average_precision_score(c, p)  # the scores have ties
        assert found.average_precision[j] == pytest.approx(wanted, abs=1e-12)
        wanted = balanced_accuracy_score(c, p >= 0.5)
        assert found.balanced_accuracy[j] == pytest.approx(wanted, abs=1e-12)
        assert found.brier[j] == pytest.approx(brier_score_loss(c, p), abs=1e-12)
        assert found.accuracy[j] == pytest.approx(accuracy_score(c, p >= 0.5), abs=1e-12)
        assert found.base_rate[j] == pytest.approx(c.mean(), abs=1e-12)
        assert found.known[j] == len(c)
    assert found.mean("auc") == pytest.approx(float(found.auc.mean()))


def test_ece_equals_a_loop_over_bins(table):
    truth = table[1]
    scores = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores[0] = 1.0
    found = concept_quality(scores, truth, names3)
    for j in range(3):
        known = ~truth[:, j].isnan()
        p, c = scores[known, j].numpy(), truth[known, j].numpy()
        total = 0.0
        for b in range(15):
            low, high = b / 15, (b + 1) / 15
            inside = (p >= low) & ((p < high) | (b == 14))
            if inside.any():
                total += inside.mean() * abs(p[inside].mean() - c[inside].mean())
        assert found.ece[j] == pytest.approx(total, abs=1e-12)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_auc_is_the_share_of_ordered_pairs_with_ties_as_half(data):
    n = data.draw(st.integers(1, 12))
    grid = st.integers(0, 4).map(lambda i: i / 4)
    p = data.draw(npst.arrays(np.float64, (n, 2), elements=grid))
    c = data.draw(npst.arrays(np.float64, (n, 2), elements=st.sampled_from([0.0, 1.0, NAN])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantConcept)
        found = concept_quality(torch.tensor(p), torch.tensor(c), ("a", "b"))
    for j in range(2):
        positive, negative = p[c[:, j] == 1, j], p[c[:, j] == 0, j]
        pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
        if pairs:
            assert found.auc[j] == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
        else:
            assert math.isnan(found.auc[j])
            assert "ab"[j] in found.constant


def test_auc_is_invariant_to_increasing_transforms(table):
    scores, truth = table
    auc = concept_quality(scores, truth, names3).auc
    for change in (torch.exp, lambda s: s**3 - 5, lambda s: (s / 2 + 0.1).logit()):
        assert torch.equal(concept_quality(change(scores), truth, names3).auc, auc)


def test_flipping_a_score_of_an_unknown_label_changes_nothing(table):
    scores, truth = table
    found = concept_quality(scores, truth, names3)
    other = torch.where(truth.isnan(), 1 - scores, scores)
    assert concept_quality(other, truth, names3).to_dict() == found.to_dict()


def test_an_unknown_label_is_as_if_the_row_were_not_there(table):
    scores, truth = table
    found = concept_quality(scores, truth, names3)
    known = ~truth[:, 1].isnan()
    alone = concept_quality(scores[known][:, 1:2], truth[known][:, 1:2], ("b",))
    for column in (*COLUMNS, "known"):
        torch.testing.assert_close(getattr(alone, column)[0], getattr(found, column)[1])


def test_order_of_rows_and_of_concepts_does_not_matter(table):
    scores, truth = table
    found = concept_quality(scores, truth, names3)
    rows = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    turned = concept_quality(scores[rows].flip(1), truth[rows].flip(1), names3[::-1])
    torch.testing.assert_close(turned.auc.flip(0), found.auc)
    torch.testing.assert_close(turned.ece.flip(0), found.ece)
    assert turned.exact_set == found.exact_set


def test_exact_set_counts_fully_known_rows_with_every_concept_right():
    scores = torch.tensor([[0.9, 0.9], [0.9, 0.1], [0.1, 0.1], [0.9, 0.2]])
    truth = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, NAN]])
    assert concept_quality(scores, truth, ("a", "b")).exact_set == pytest.approx(2 / 3)


@given(st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_exact_set_is_at_most_the_worst_concept(seed):
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(40, 3, generator=generator) < 0.5).double()
    scores = torch.rand(40, 3, generator=generator)
    found = concept_quality(scores, truth, names3)
    assert found.exact_set <= float(found.accuracy.min()) + 1e-12


def test_constant_concepts_have_no_auc_and_one_warning_names_them():
    scores = torch.tensor([[0.2, 0.9, 0.4], [0.6, 0.1, 0.3]])
    truth = torch.tensor([[1.0, 1.0, NAN], [1.0, 0.0, NAN]])
    with pytest.warns(ConstantConcept, match="'a', 'c'") as caught:
        found = concept_quality(scores, truth, names3)
    assert len(caught) == 1
    assert found.constant == ("a", "c")
    for column in (found.auc, found.average_precision, found.balanced_accuracy):
        assert column.isnan().tolist() == [True, False, True]
    assert found.accuracy.isnan().tolist() == [False, False, True]
    assert found.mean("auc") == 1
    assert math.isnan(found.exact_set)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["auc"] == [None, 1.0, None]


def test_scores_that_are_no_probabilities_have_an_auc_only():
    scores, truth = torch.tensor([[3.0, 0.2], [-1.0, 0.6]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = concept_quality(scores, truth, ("cosine", "soft"))
    assert found.unbounded == ("cosine",)
    assert found.auc.tolist() == found.average_precision.tolist() == [1, 1]
    for column in (found.accuracy, found.balanced_accuracy, found.brier, found.ece):
        assert column.isnan().tolist() == [True, False]
    assert math.isnan(found.exact_set)


def test_text_has_a_line_per_concept_and_the_means(table):
    lines = str(concept_quality(*table, names3)).splitlines()
    assert [line.split()[0] for line in lines] == ["concept", "a", "b", "c", "mean", "every"]


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_is_refused_by_name(table, bad):
    scores, truth = table[0].clone(), table[1]
    scores[4, 2] = bad
    with pytest.raises(InvalidInput, match=r"scores of 'c': found .* in row 4, wanted finite"):
        concept_quality(scores, truth, names3)


def test_bad_truth_shapes_and_types_are_refused(table):
    scores, truth = table
    with pytest.raises(InvalidInput, match=r"truth of 'a': found 2\.0 in row 0"):
        concept_quality(scores, torch.full_like(truth, 2.0), names3)
    with pytest.raises(InvalidInput, match=r"scores: found shape \(300, 3\)"):
        concept_quality(scores, truth, ("a", "b"))
    with pytest.raises(InvalidInput, match=r"truth: found shape \(299, 3\)"):
        concept_quality(scores, truth[:-1], names3)
    with pytest.raises(InvalidInput, match=r"shape \(0, 3\)"):
        concept_quality(scores[:0], truth[:0], names3)
    with pytest.raises(InvalidType, match="truth: found list"):
        concept_quality(scores, truth.tolist(), names3)
    with pytest.raises(UnknownName, match="nearest: 'auc'"):
        concept_quality(scores, truth, names3).mean("aucc")


def test_quality_of_a_model_matches_concepts_by_name(make_model, make_rows):
    model, rows = make_model(4, 3, "logit", extra=1), make_rows(200, 4, 3, unknown=0.2)
    some = Examples(rows.x, rows.y, rows.c[:, [3, 0]], rows.classes, Concepts(("c3", "c0")))
    scores = model.bottleneck.scores(model.read(rows.x)).detach()
    wanted = concept_quality(scores[:, [0, 3]], rows.c[:, [0, 3]], ("c0", "c3"))
    assert concept_quality_of(model, some).to_dict() == wanted.to_dict()
    assert wanted.accuracy.isfinite().all()


def test_inputs_are_not_changed(table):
    copies = [part.clone() for part in table]
    concept_quality(*table, names3)
    for before, after in zip(copies, table, strict=True):
        assert torch.equal(before.nan_to_num(-1), after.nan_to_num(-1))
