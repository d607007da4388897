"""Existence of important concepts, against loops and SciPy."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.importance.existence import existence, local_importance

NAN = float("nan")


@pytest.mark.parametrize("polarity", [False, True])
def test_existence_and_its_baselines_equal_loops(case, frequency, polarity) -> None:
    importance = local_importance(case["weight"], case["scores"], case["predicted"])
    table = frequency
    sign = case["scores"] > 0
    found = existence(
        importance,
        case["labels"],
        case["predicted"],
        table,
        top=(1, 3, 7),
        polarity=sign if polarity else None,
    )
    labels, order = case["labels"].numpy(), {}
    order["share"] = importance.numpy()
    order["frequency"] = table[case["predicted"]].nan_to_num(-1).numpy()
    for name, (n, top) in itertools.product(order, enumerate((1, 3, 7))):
        shares, covered = [], []
        for i in range(20):
            place = sorted(range(7), key=lambda j, i=i, v=order[name]: -v[i, j])
            place = [j for j in place if not math.isnan(labels[i, j])][:top]
            believed = [bool(sign[i, j]) if polarity and name == "share" else True for j in place]
            shares.append(
                np.mean([labels[i, j] == b for j, b in zip(place, believed, strict=True)])
            )
            covered.append(len(place) / top)
        got = found.share if name == "share" else found.baselines[name]
        assert float(got[n]) == pytest.approx(np.mean(shares), abs=1e-12)
        if name == "share":
            assert float(found.error[n]) == pytest.approx(np.std(shares, ddof=1) / math.sqrt(20))
            assert float(found.coverage[n]) == pytest.approx(np.mean(covered))
    assert found.rows == 20


def test_importance_equal_to_the_labels_exists() -> None:
    rng = np.random.default_rng(4)
    labels = torch.zeros(50, 9)
    for row in labels:
        row[rng.permutation(9)[:4]] = 1
    y = torch.zeros(50, dtype=torch.int64)
    found = existence(labels, labels, y, torch.zeros(1, 9), top=(1, 4, 8))
    assert found.share.tolist() == [1, 1, 0.5]


def test_any_order_gives_the_chance_level_at_every_l() -> None:
    """The hypergeometric mean, from SciPy; and the mean over all 720 orders of 6 concepts."""
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    orders = torch.tensor(list(itertools.permutations(range(6))), dtype=torch.float64)
    y = torch.zeros(720, dtype=torch.int64)
    found = existence(orders, labels.expand(720, -1), y, torch.ones(1, 6), top=(1, 2, 5))
    for n, top in enumerate((1, 2, 5)):
        exact = hypergeom(6, 2, top).mean() / top
        assert float(found.share[n]) == pytest.approx(exact, abs=1e-12)
        assert float(found.baselines["chance"][n]) == pytest.approx(exact, abs=1e-12)


def test_random_importance_is_within_three_standard_errors_of_chance() -> None:
    source = torch.Generator().manual_seed(5)
    labels = (torch.rand(4000, 20, generator=source) < 0.3).float()
    importance = torch.rand(4000, 20, generator=source)
    y = torch.zeros(4000, dtype=torch.int64)
    found = existence(importance, labels, y, torch.ones(1, 20))
    assert ((found.share - found.baselines["chance"]).abs() < 3 * found.error).all()


def test_an_important_absence_is_right_only_with_polarity() -> None:
    """A negative score with a negative weight: the concept matters because it is not there."""
    importance = local_importance(
        torch.tensor([[-1.0, 0.1]]), torch.tensor([[-2.0, 1.0]]), torch.tensor([0])
    )
    labels, y = torch.tensor([[0.0, 1.0]]), torch.tensor([0])
    plain = existence(importance, labels, y, labels, top=(1, 2))
    sign = torch.tensor([[False, True]])
    aware = existence(importance, labels, y, labels, top=(1, 2), polarity=sign)
    assert plain.share.tolist() == [0, 0.5]
    assert aware.share.tolist() == [1, 1]


def test_flipping_an_unknown_label_or_its_importance_changes_nothing(case, frequency) -> None:
    importance = local_importance(case["weight"], case["scores"], case["predicted"])
    table, unknown = frequency, case["labels"].isnan()
    found = existence(importance, case["labels"], case["predicted"], table)
    moved = torch.where(unknown, 100.0, importance)
    other = existence(moved, case["labels"], case["predicted"], table)
    assert found.to_dict() == other.to_dict()


def test_rows_without_any_known_label_are_not_judged() -> None:
    labels = torch.tensor([[1.0, 0.0], [NAN, NAN]])
    y = torch.tensor([0, 0])
    found = existence(torch.ones(2, 2), labels, y, torch.ones(1, 2), top=(1,))
    assert (found.rows, found.share.item(), found.coverage.item()) == (1, 1.0, 0.5)
    nothing = existence(torch.ones(2, 2), labels * NAN, y, torch.ones(1, 2), top=(1,))
    assert nothing.rows == 0
    assert nothing.share.isnan().all()
    assert json.loads(json.dumps(nothing.to_dict(), allow_nan=False))["share"] == [None]
    assert str(nothing).splitlines()[-1] == "rows: 0"


def test_what_cannot_be_is_refused_by_name(case, frequency) -> None:
    weight, table = case["weight"], frequency
    importance = local_importance(weight, case["scores"], case["predicted"])
    with pytest.raises(InvalidInput, match=r"top: found \(1, 8\), wanted .* 1 to 7"):
        existence(importance, case["labels"], case["predicted"], table, top=(1, 8))
    with pytest.raises(InvalidInput, match=r"labels: found a value outside"):
        existence(importance, case["labels"] + 1, case["predicted"], table)
    with pytest.raises(InvalidInput, match=r"importance\[0, 0\]: found nan"):
        existence(importance * NAN, case["labels"], case["predicted"], table)
    with pytest.raises(InvalidType, match=r"predicted: found torch.float64"):
        existence(importance, case["labels"], case["predicted"].double(), table)
    with pytest.raises(InvalidInput, match="predicted: found 0 to 3"):
        existence(importance, case["labels"], case["predicted"], table[:2])
    with pytest.raises(InvalidType, match="polarity"):
        existence(importance, case["labels"], case["predicted"], table, polarity=case["scores"])
    with pytest.raises(InvalidInput, match=r"scores: found shape \(0, 7\)"):
        local_importance(weight, case["scores"][:0], case["predicted"][:0])


def test_inputs_are_not_changed(case, frequency) -> None:
    before = {k: v.clone() for k, v in (case | {"table": frequency}).items()}
    importance = local_importance(case["weight"], case["scores"], case["predicted"])
    existence(importance, case["labels"], case["predicted"], frequency)
    for name, value in (case | {"table": frequency}).items():
        assert torch.equal(value.nan_to_num(-7), before[name].nan_to_num(-7))
