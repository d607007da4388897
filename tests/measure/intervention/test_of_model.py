"""Intervention curves: what they say, where they end, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.concepts.layer import ConceptLayer
from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.heads import LinearHead
from narrows.measure import (
    InterventionCurve,
    intervention_curve,
    intervention_curves,
    policies,
)
from narrows.model import NarrowModel
from narrows.reading import Reading


@pytest.fixture
def counting():
    """Rows labelled by how many concepts are true, and a head that is exactly right on truth."""
    k, generator = 5, torch.Generator().manual_seed(0)
    c = (torch.rand(400, k, generator=generator) < 0.5).float()
    x = c + 0.7 * torch.randn(400, k, generator=generator)
    names = tuple(f"c{j}" for j in range(k))
    rows = Examples(x, c.sum(1).long(), c, tuple(range(k + 1)), Concepts(names))
    layer, head = ConceptLayer(k, names), LinearHead(k, k + 1)
    with torch.no_grad():
        layer.linear.weight.copy_(4 * torch.eye(k))
        layer.linear.bias.fill_(-2)
        # The score of "s are true" is 2 s sum(c) - s^2 = sum(c)^2 - (s - sum(c))^2.
        many = torch.arange(k + 1.0)
        head.weight.copy_(2 * many[:, None].expand(-1, k))
        head.bias.copy_(-(many**2))
    return NarrowModel(nn.Identity(), layer, head, rows.classes).eval(), rows


@pytest.mark.parametrize("policy", policies())
def test_true_concepts_and_an_exact_head_end_at_certainty(counting, policy):
    curve = intervention_curve(*counting, policy, validation=counting[1])
    assert curve.at(0) < 0.9
    assert curve.at(5) == 1
    assert curve.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_curve_of_the_first_step_is_the_plain_accuracy(counting):
    model, rows = counting
    said = model(rows.x).prediction.argmax(1)
    assert intervention_curve(model, rows).at(0) == pytest.approx(
        float((said == rows.y).double().mean()), abs=1e-12
    )


def test_unknown_truth_leaves_the_concept_as_read(make_model, make_rows):
    model, rows = make_model(5, 3, "logit"), make_rows(100, 5, 3)
    rows.c[:, 2] = torch.nan
    with torch.no_grad():
        known = {name: rows.c[:, j] for j, name in enumerate(rows.concepts.names) if j != 2}
        said = model.correct(rows.x, known).prediction.argmax(1)
    curve = intervention_curve(model, rows)
    assert curve.accuracy[:, 5].tolist() == [float((said == rows.y).double().mean())] * 5


def test_concepts_are_matched_by_name_and_others_are_nobodys_turn(make_model, make_rows):
    model, rows = make_model(5, 3), make_rows(100, 5, 3)
    turned = Examples(
        rows.x, rows.y, rows.c.flip(1), rows.classes, Concepts(("c4", "c3", "c2", "c1", "c0"))
    )
    assert torch.equal(
        intervention_curve(model, turned).accuracy, intervention_curve(model, rows).accuracy
    )
    some = Examples(rows.x, rows.y, rows.c[:, [3, 1]], rows.classes, Concepts(("c3", "c1")))
    with torch.no_grad():
        known = {"c3": rows.c[:, 3], "c1": rows.c[:, 1]}
        said = model.correct(rows.x, known).prediction.argmax(1)
    curve = intervention_curve(model, some)
    assert curve.steps.tolist() == [0, 1, 2]
    assert curve.accuracy[:, 2].tolist() == [float((said == rows.y).double().mean())] * 5


def test_labels_are_matched_by_name(counting):
    model, rows = counting
    shifted = Examples(rows.x, rows.y + 1, rows.c, (-1, *rows.classes), rows.concepts)
    assert intervention_curve(model, shifted).at(5) == 1
    strange = Examples(rows.x, rows.y, rows.c, (-1, 1, 2, 3, 4, 5), rows.concepts)
    with pytest.raises(UnknownName, match="class: found -1"):
        intervention_curve(model, strange)


def test_the_encoder_runs_once_per_row_and_nothing_is_left_behind(counting):
    model, rows = counting
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model.train()
    model.head.eval()
    before = copy.deepcopy(model.state_dict())
    x, c = rows.x.clone(), rows.c.clone()
    for policy in policies():
        seen.clear()
        intervention_curve(model, rows, policy, validation=rows[:50])
        # Validation rows are read by the policies that learn from them, once too.
        assert sum(seen) == len(rows) + 50 * (policy in ("lcp", "coop"))
    seen.clear()
    intervention_curves(model, rows, policies(), validation=rows[:50])
    assert sum(seen) == len(rows) + 50  # read once for all policies
    assert model.training
    assert not model.head.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(x, rows.x)
    assert torch.equal(c, rows.c)


def test_global_random_state_is_untouched(counting):
    before = torch.random.get_rng_state()
    first = intervention_curve(*counting)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(intervention_curve(*counting).accuracy, first.accuracy)


def curve_of(accuracy):
    accuracy = torch.tensor(accuracy, dtype=torch.float64)
    return InterventionCurve("random", torch.arange(accuracy.shape[1]), accuracy)


def test_mean_error_and_area_by_hand():
    curve = curve_of([[0.0, 0.5, 1.0], [0.5, 0.5, 1.0]])
    assert curve.mean.tolist() == [0.25, 0.5, 1.0]
    # Deviations of +-1/4 around the mean: variance 1/8, over 2 orders 1/16.
    assert curve.standard_error.tolist() == [0.25, 0.0, 0.0]
    assert curve.area == (0.375 + 0.75) / 2
    assert curve_of([[0.5, 1.0]]).standard_error.isnan().all()


def test_at_refuses_what_the_curve_does_not_have():
    curve = curve_of([[0.0, 1.0]])
    assert curve.at(1) == 1
    for turns in (-1, 2, 1.0, True):
        with pytest.raises(InvalidInput, match=r"an integer in 0\.\.1"):
            curve.at(turns)


def test_text_has_both_ends_and_json_has_all(counting):
    curve = intervention_curve(*counting)
    text = str(curve).splitlines()
    assert text[0].startswith("random policy, 5 orders, area 0.")
    assert text[2].split()[:2] == ["0", f"{curve.at(0):.4f}"]
    assert text[-1].split()[:2] == ["5", "1.0000"]
    loaded = json.loads(json.dumps(curve.to_dict()))
    assert loaded["accuracy"] == curve.accuracy.tolist()
    assert loaded["steps"] == [0, 1, 2, 3, 4, 5]


def test_page_and_picture_are_complete_and_repeat_themselves(counting, tmp_path):
    curve = dataclasses.replace(intervention_curve(*counting), policy="<b>&amp;")
    curve.save(tmp_path / "a.html")
    curve.save(tmp_path / "b.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "b.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<td>1.0000</td>" in page
    assert "<b>&amp;" not in page
    assert "http-equiv" not in page
    assert "<script" not in page
    curve.to_png(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_curves_together_are_those_one_by_one(counting):
    model, rows = counting
    together = intervention_curves(model, rows, ("coop", "random", "lcp"), 2, validation=rows)
    assert list(together) == ["coop", "random", "lcp"]
    for name, curve in together.items():
        alone = intervention_curve(model, rows, name, 2, validation=rows)
        assert torch.equal(curve.accuracy, alone.accuracy)
        assert curve.spent is None


def test_what_is_not_visible_is_as_good_as_unknown(make_model, make_rows):
    groups = ((1, 2),)
    model, rows = make_model(5, 3, groups=groups), make_rows(100, 5, 3, groups, unknown=0.1)
    visible = torch.rand(100, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    hidden = rows.c.masked_fill(~visible, torch.nan)
    blind = Examples(rows.x, rows.y, hidden, rows.classes, rows.concepts)
    before = rows.c.clone()
    for name in policies():
        curve = intervention_curve(model, rows, name, validation=rows, visible=visible)
        assert torch.equal(
            curve.accuracy, intervention_curve(model, blind, name, validation=rows).accuracy
        )
        assert len(curve.steps) == 5  # the turn is spent
    assert torch.equal(rows.c.nan_to_num(-1), before.nan_to_num(-1))
    shown = intervention_curve(model, rows, visible=torch.ones(100, 5, dtype=torch.bool))
    assert torch.equal(shown.accuracy, intervention_curve(model, rows).accuracy)
    assert torch.equal(
        intervention_curve(model, rows, visible=visible.numpy()).accuracy,
        intervention_curve(model, blind).accuracy,
    )


def test_what_was_spent_is_the_mean_over_rows_of_the_costs_so_far(make_model, make_rows):
    model, rows = make_model(4, 3), make_rows(50, 4, 3)
    costs = {"c1": 2.0, "c0": 0.0, "c2": 1.0, "c3": 5.0}
    curve = intervention_curve(model, rows, "uncertainty", costs=costs)
    scores = model.read(rows.x).units
    spent = torch.zeros(5, dtype=torch.float64)
    for row in scores.tolist():
        total = 0.0
        for step, j in enumerate(sorted(range(4), key=lambda j: abs(row[j] - 0.5)), start=1):
            total += costs[f"c{j}"]
            spent[step] += total / 50
    torch.testing.assert_close(curve.spent[0], spent)
    assert json.loads(json.dumps(curve.to_dict()))["spent"] == curve.spent.tolist()
    assert (
        intervention_curve(model, rows, "random", 3, costs=[1, 1, 1, 1]).spent.tolist()
        == [[0, 1, 2, 3, 4]] * 3
    )
    assert "spent" not in intervention_curve(model, rows).to_dict()


def test_masks_and_validation_rows_that_do_not_fit_are_refused(make_model, make_rows):
    model, rows = make_model(4, 3), make_rows(10, 4, 3)
    with pytest.raises(InvalidType, match="visible: found dtype"):
        intervention_curve(model, rows, visible=torch.ones(10, 4))
    with pytest.raises(InvalidInput, match=r"visible: found shape \(4, 10\), wanted .*\(10, 4\)"):
        intervention_curve(model, rows, visible=torch.ones(4, 10, dtype=torch.bool))
    with pytest.raises(InvalidInput, match=r"validation: found None, .* 'lcp' learns its order"):
        intervention_curve(model, rows, "lcp")
    other = Examples(rows.x, rows.y, rows.c[:, :2], rows.classes, Concepts(("c0", "c1")))
    for name in ("lcp", "coop"):
        with pytest.raises(InvalidInput, match="validation: found concepts for 2 turns"):
            intervention_curve(model, rows, name, validation=other)


def test_an_index_list_is_no_mask(counting):
    model, rows = counting
    for indices in ([0, 1], torch.tensor([0, 1]), torch.ones(400, 5, dtype=torch.int64)):
        with pytest.raises(InvalidType, match=r"visible: found dtype torch\.int64, wanted a bool"):
            intervention_curve(model, rows, visible=indices)


def test_policies_are_a_list_of_names(counting):
    with pytest.raises(InvalidType, match="policies: found the string 'coop', wanted a list"):
        intervention_curves(*counting, "coop")
    with pytest.raises(InvalidInput, match="policies: found none"):
        intervention_curves(*counting, [])


@pytest.mark.parametrize("seeds", [0, -1, 2.0, True])
def test_seeds_that_are_no_count_are_refused(counting, seeds):
    with pytest.raises(InvalidInput, match="seeds"):
        intervention_curve(*counting, seeds=seeds)


def test_data_that_cannot_be_used_are_refused(counting):
    model, rows = counting
    bare = Examples(rows.x, rows.y, None, rows.classes, rows.concepts)
    with pytest.raises(InvalidInput, match="no concept labels"):
        intervention_curve(model, bare)
    with pytest.raises(InvalidInput, match="no rows"):
        intervention_curve(model, rows[:0])
    other = Concepts(tuple(f"other {j}" for j in range(5)))
    with pytest.raises(InvalidInput, match=r"'c0', 'c1', 'c2', .*'other 0', .* no name in common"):
        intervention_curve(model, Examples(rows.x, rows.y, rows.c, rows.classes, other))
    c = rows.c.clone()
    c[3, 2] = 1.5
    with pytest.raises(InvalidInput, match=r"c: found 1\.5 in row 3, concept 'c2'"):
        dataclasses.replace(rows, c=c)
    y = rows.y.clone()
    y[7] = -1
    with pytest.raises(InvalidInput, match="row 7 without a label"):
        intervention_curve(model, Examples(rows.x, y, rows.c, rows.classes, rows.concepts))


def test_two_truths_in_an_exclusive_group_are_refused_by_name(make_model, make_rows):
    groups = ((0, 1),)
    model, rows = make_model(3, 2, groups=groups), make_rows(10, 3, 2)
    rows.c[4, :2] = 1
    with pytest.raises(InvalidInput, match="'c0' and 'c1' both 1"):
        intervention_curve(model, rows)


class MeasureTestSparse(IdentityBottleneck):
    """One active unit of many."""

    def read(self, h):
        top = h.topk(1)
        return Reading(top.values, top.indices)


class MeasureTestBroken(IdentityBottleneck):
    """A unit that is not a number."""

    def read(self, h):
        return Reading(h / torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize(
    ("bottleneck", "said"),
    [(MeasureTestSparse, "one unit per name"), (MeasureTestBroken, "unit 'h1' NaN or infinite")],
)
def test_units_that_cannot_be_corrected_one_by_one_are_refused(bottleneck, said):
    model = NarrowModel(nn.Identity(), bottleneck(2), LinearHead(2, 2)).eval()
    c = torch.eye(2)
    rows = Examples(torch.eye(2), torch.tensor([0, 1]), c, (0, 1), Concepts(("h0", "h1")))
    with pytest.raises(InvalidInput, match=said):
        intervention_curve(model, rows)


def test_units_nobody_may_correct_are_refused(make_rows):
    layer = ConceptLayer(1, ["c0"], extra=1)
    model = NarrowModel(nn.Identity(), layer, LinearHead(2, 2)).eval()
    rows = make_rows(4, 1, 2)
    rows = Examples(rows.x, rows.y, rows.c, rows.classes, Concepts(("extra 0",)))
    with pytest.raises(InvalidInput, match="can be corrected"):
        intervention_curve(model, rows)
