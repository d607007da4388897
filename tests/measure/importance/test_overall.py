"""Global importance of concepts, against SciPy, loops and closed forms."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as cosine_distance
from scipy.stats import pearsonr

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.importance.overall import class_means, global_importance

NAN = float("nan")


def test_class_means_equal_a_loop_that_skips_what_is_unknown(case) -> None:
    right = case["y"] == case["predicted"]
    for rows in (None, right):
        found = class_means(case["labels"], case["y"], 4, rows)
        for k, j in itertools.product(range(4), range(7)):
            chosen = [
                float(case["labels"][i, j])
                for i in range(20)
                if case["y"][i] == k
                and not case["labels"][i, j].isnan()
                and (rows is None or rows[i])
            ]
            wanted = np.mean(chosen) if chosen else NAN
            assert float(found[k, j]) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("axis", ["concept", "class", "all"])
def test_kinds_and_axes_equal_scipy(case, frequency, kind, axis) -> None:
    table = frequency
    present = class_means(case["scores"], case["y"], 4, case["y"] == case["predicted"])
    found = global_importance(case["weight"], table, present, kind=kind, axis=axis, permutations=0)
    model = {1: case["weight"], 2: present, 3: case["weight"] * present}[kind].numpy()
    pairs = {
        "concept": [(model[:, j], table.numpy()[:, j]) for j in range(7)],
        "class": list(zip(model, table.numpy(), strict=True)),
        "all": [(model.ravel(), table.numpy().ravel())],
    }[axis]
    for n, (a, b) in enumerate(pairs):
        assert float(found.cosine[n]) == pytest.approx(1 - cosine_distance(a, b), abs=1e-12)
        assert float(found.pearson[n]) == pytest.approx(pearsonr(a, b)[0], abs=1e-12)
    assert found.mean == pytest.approx((float(found.cosine.mean()), float(found.pearson.mean())))
    assert found.p_value.isnan().all()


def test_weights_equal_to_the_frequencies_agree_fully_and_their_opposite_not_at_all(
    case, frequency
) -> None:
    table = frequency
    same = global_importance(table, table, kind=1)
    assert same.cosine.numpy() == pytest.approx(np.ones(7))
    assert same.pearson.numpy() == pytest.approx(np.ones(7))
    turned = global_importance(-table, table, kind=1, axis="class")
    assert turned.cosine.numpy() == pytest.approx(-np.ones(4))
    assert turned.p_value.numpy() == pytest.approx(np.ones(4))
    scores = global_importance(case["weight"], table, table, kind=2)
    assert scores.cosine.numpy() == pytest.approx(np.ones(7))


def test_zero_and_constant_vectors_have_no_agreement_and_are_named(case, frequency) -> None:
    weight, table = case["weight"].clone(), frequency
    weight[:, 2] = 0
    weight[:, 3] = 0.1
    names = (["w", "x", "y", "z"], [f"c{j}" for j in range(7)])
    found = global_importance(weight, table, kind=1, names=names)
    assert found.undefined == ("c2",)
    assert found.cosine.isnan().tolist() == [j == 2 for j in range(7)]
    assert found.pearson.isnan().tolist() == [j in (2, 3) for j in range(7)]
    assert math.isfinite(found.mean[0])
    assert "undefined: c2" in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["cosine"][2] is None


def test_a_class_without_a_right_prediction_is_left_out_and_named(case, frequency) -> None:
    rows = (case["y"] == case["predicted"]) & (case["y"] != 1)
    present = class_means(case["scores"], case["y"], 4, rows)
    assert present[1].isnan().all()
    table, keep = frequency, [0, 2, 3]
    names = (["w", "x", "y", "z"], range(7))
    found = global_importance(case["weight"], table, present, names=names)
    alone = global_importance(case["weight"][keep], table[keep], present[keep])
    torch.testing.assert_close(found.cosine, alone.cosine)
    torch.testing.assert_close(found.pearson, alone.pearson)
    assert found.incomplete == ("x",)
    by_class = global_importance(case["weight"], table, present, axis="class", names=names)
    assert by_class.undefined == ("x",)
    assert by_class.p_value.isnan().tolist() == [False, True, False, False]


def test_the_p_value_is_the_share_of_all_orders_that_agree_as_well() -> None:
    """With 5 classes all 120 orders can be listed; 20,000 shuffles come near their share."""
    rng = np.random.default_rng(2)
    a, b = torch.tensor(rng.random((5, 3))), torch.tensor(rng.random((5, 3)))
    found = global_importance(a, b, kind=1, permutations=20_000)
    orders = [list(p) for p in itertools.permutations(range(5))]
    shuffled = np.array([[1 - cosine_distance(a[:, j], b[p, j]) for j in range(3)] for p in orders])
    exact = (shuffled >= found.cosine.numpy() - 1e-12).mean(0)
    mean_exact = (shuffled.mean(1) >= float(found.cosine.mean()) - 1e-12).mean()
    # Five standard deviations of a share of 20,000.
    assert np.abs(found.p_value.numpy() - exact).max() < 5 * 0.5 / math.sqrt(20_000)
    assert abs(found.mean_p_value - mean_exact) < 5 * 0.5 / math.sqrt(20_000)


def test_unrelated_frequent_concepts_have_a_high_cosine_and_an_ordinary_p_value() -> None:
    """The reason for Pearson and for the test: cosine alone takes noise for agreement."""
    rng = np.random.default_rng(3)
    a, b = torch.tensor(rng.uniform(0.5, 1, (2, 40, 200)))
    found = global_importance(a, b, kind=1)
    assert found.mean[0] > 0.9
    assert abs(found.mean[1]) < 5 / math.sqrt(40 * 200)
    # p-values of unrelated rows are uniform: 200 of them have a mean of 1/2 +- 0.02.
    assert abs(float(found.p_value.mean()) - 0.5) < 0.1


def test_the_shuffles_come_from_the_seed(case, frequency) -> None:
    table = frequency
    first, again, other = (
        global_importance(case["weight"], table, kind=1, seed=s).p_value for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_cannot_be_is_refused_by_name(case, frequency) -> None:
    weight, table = case["weight"], frequency
    bad = weight.clone()
    bad[0, 1] = math.inf
    with pytest.raises(UnknownName, match="axis: found 'concepts'"):
        global_importance(weight, table, kind=1, axis="concepts")
    with pytest.raises(InvalidInput, match="kind: found 4"):
        global_importance(weight, table, kind=4)
    with pytest.raises(InvalidInput, match="present: found None"):
        global_importance(weight, table, kind=2)
    with pytest.raises(
        InvalidInput, match=r"frequency: found shape \(7, 4\), wanted shape \(4, 7\)"
    ):
        global_importance(weight, table.T, kind=1)
    with pytest.raises(InvalidInput, match=r"weight\[0, 1\]: found inf"):
        global_importance(bad, table, kind=1)
    with pytest.raises(InvalidInput, match="names: found 4 and 6"):
        global_importance(weight, table, kind=1, names=("abcd", "abcdef"))
    with pytest.raises(InvalidInput, match="permutations"):
        global_importance(weight, table, kind=1, permutations=-1)
    with pytest.raises(InvalidInput, match="rows: found shape"):
        class_means(case["labels"], case["y"], 4, torch.ones(3, dtype=torch.bool))


def test_inputs_are_not_changed(case, frequency) -> None:
    before = {k: v.clone() for k, v in (case | {"table": frequency}).items()}
    global_importance(case["weight"], frequency, kind=1)
    class_means(case["labels"], case["y"], 4)
    for name, value in (case | {"table": frequency}).items():
        assert torch.equal(value.nan_to_num(-7), before[name].nan_to_num(-7))
