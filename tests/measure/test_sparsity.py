"""Accuracy at numbers of effective concepts against scikit-learn's saga, numpy and plain cases."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from narrows.concepts.layer import ConceptLayer
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import InvalidInput, InvalidType
from narrows.functional.elastic_net import softmax_path
from narrows.heads import LinearHead
from narrows.measure.sparsity import largest, sparse_accuracy, sparsity_of
from narrows.model import NarrowModel

OLD = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8)
ELASTIC = {"penalty": "elasticnet"} if OLD else {}


def _rows(n: int, d: int = 8, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    rule = torch.randn(d, classes, generator=torch.Generator().manual_seed(99)).double()
    y = torch.multinomial(torch.softmax(x @ rule, 1), 1, generator=g)[:, 0]
    return 3 * x + torch.arange(d), y


@pytest.mark.parametrize("m", [1, 3])
def test_the_accuracy_is_that_of_scikit_learns_truncated_model(m: int) -> None:
    train, test = _rows(300), _rows(400, seed=1)
    found = sparse_accuracy(train, test, 3, sizes=(m,))
    step = int((found.density >= m).nonzero()[0])
    assert step == len(found.penalties) - 1  # the path goes no further than needed
    mean, scale = train[0].mean(0), train[0].std(0, correction=0)
    lam = float(found.penalties[step])
    model = LogisticRegression(
        C=1 / (300 * lam), l1_ratio=0.99, solver="saga", tol=1e-8, max_iter=20_000, **ELASTIC
    ).fit(((train[0] - mean) / scale).numpy(), train[1].numpy())
    weight = model.coef_.copy()
    order = np.sort(np.abs(weight).ravel())[::-1]
    assert order[3 * m - 1] > order[3 * m] or (order[3 * m :] == 0).all()
    weight[np.abs(weight) < order[3 * m - 1]] = 0
    assert (weight != 0).sum() == 3 * m
    logits = ((test[0] - mean) / scale).numpy() @ weight.T + model.intercept_
    assert float(found.accuracy) == pytest.approx((logits.argmax(1) == test[1].numpy()).mean())
    assert float(found.kept) == m


def test_one_weight_a_class_is_enough_where_one_concept_decides() -> None:
    x = torch.eye(5).repeat(20, 1)
    found = sparse_accuracy((x, x.argmax(1)), (x, x.argmax(1)), 5, sizes=(1, 2, 4))
    # Of five exclusive concepts each class needs its own.
    assert found.accuracy.tolist() == [1.0, 1.0, 1.0]
    assert float(found.kept[0]) == 1


def test_where_the_path_ends_early_its_last_step_is_taken_whole(monkeypatch) -> None:
    train, test = _rows(200), _rows(200, seed=1)
    monkeypatch.setattr(sys.modules["narrows.measure.sparsity"], "_STEPS", 9)
    found = sparse_accuracy(train, test, 3, sizes=(7,))
    path = softmax_path(train[0], train[1], 3, steps=9)
    weight, bias = path.head(-1)
    wanted = ((test[0] @ weight.T + bias).argmax(1) == test[1]).double().mean()
    assert float(found.accuracy) == float(wanted) == float(found.along[-1])
    assert float(found.kept) == pytest.approx(float(path.nonzeros[-1]))
    assert 0 < float(found.kept) < 7


def test_the_path_ends_at_a_thousandth() -> None:
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).long()
    x = torch.cat([x, torch.ones_like(x)], 1)  # two inputs that never get a weight
    found = sparse_accuracy((x, y), (x, y), 2, sizes=(3,))
    assert 1000 <= found.penalties[0] / found.penalties[-1] < 1000 * 2**0.1
    assert float(found.kept) <= 2


def test_at_the_start_of_the_path_the_commonest_class_is_said() -> None:
    train, test = _rows(200), _rows(200, seed=1)
    found = sparse_accuracy(train, test, 3)
    commonest = train[1].bincount().argmax()
    assert float(found.along[0]) == float((test[1] == commonest).double().mean())
    assert float(found.density[0]) == 0
    assert found.residual <= 1e-4


def test_as_many_weights_as_inputs_have_no_accuracy() -> None:
    found = sparse_accuracy(_rows(100), _rows(100, seed=1), 3, sizes=(2, 7, 8))
    assert found.accuracy.isnan().tolist() == [False, False, True]
    assert found.mean == pytest.approx(float(found.accuracy[:2].mean()))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["accuracy"][2] is None
    none = sparse_accuracy(_rows(100), _rows(100, seed=1), 3, sizes=(9,))
    assert math.isnan(none.mean)


def test_order_scale_and_place_of_inputs_do_not_matter() -> None:
    train, test = _rows(150), _rows(150, seed=1)
    found = sparse_accuracy(train, test, 3, sizes=(1, 4))
    moved = [(100 - 5 * x.flip(1), y) for x, y in (train, test)]
    again = sparse_accuracy(moved[0], moved[1], 3, sizes=(1, 4))
    assert again.accuracy.tolist() == found.accuracy.tolist()


def test_the_largest_stay_and_of_equals_the_first() -> None:
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 7, generator=g)
    for count in (0, 1, 20, 42):
        kept = largest(weight, count)
        assert int((kept != 0).sum()) == count
        wanted = np.sort(weight.abs().flatten().numpy())[::-1][:count]
        np.testing.assert_array_equal(np.sort(kept[kept != 0].abs().numpy())[::-1], wanted)
    assert largest(torch.tensor([[2.0, -2.0, 2.0]]), 2).tolist() == [[2.0, -2.0, 0.0]]


def _model_and_data(k: int = 12, others: int = 28) -> tuple[NarrowModel, Dataset]:
    """Each concept tells its class; most of what the features hold has nothing to do with it."""
    g = torch.Generator().manual_seed(0)
    classes = tuple(range(k))

    def rows(n: int) -> Examples:
        y = torch.randint(k, (n,), generator=g)
        c = nn.functional.one_hot(y, k).float()
        x = torch.cat([c, 3 * torch.randn(n, others, generator=g)], 1)
        return Examples(x, y, c, classes, Concepts(tuple(f"c{j}" for j in range(k))))

    data = Dataset("mixed", rows(500), rows(50), rows(500))
    layer = ConceptLayer(k + others, data.concepts.names)
    with torch.no_grad():
        layer.linear.weight.copy_(8 * torch.eye(k, k + others))
        layer.linear.bias.fill_(-4)
    return NarrowModel(nn.Identity(), layer, LinearHead(k, k), classes).eval(), data


def test_concepts_beat_random_ones_with_few_weights_and_the_same_seed_repeats() -> None:
    model, data = _model_and_data()
    found, again, other = (sparsity_of(model, data, sizes=(1, 2, 12), seed=s) for s in (0, 0, 1))
    assert found.concepts.accuracy[0] > found.random.accuracy[0] + 0.1
    assert found.to_dict() == again.to_dict()
    assert found.random.accuracy.tolist() != other.random.accuracy.tolist()
    assert found.concepts.to_dict()["accuracy"] == other.concepts.to_dict()["accuracy"]
    assert found.random.inputs == found.concepts.inputs == 12
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["weights", "concepts", "random"]
    units = model.read(data.train.x).units.detach()
    held = model.read(data.test.x).units.detach()
    wanted = sparse_accuracy((units, data.train.y), (held, data.test.y), 12, sizes=(1, 2, 12))
    assert wanted.to_dict() == found.concepts.to_dict()


def test_bad_input_is_refused() -> None:
    train, test = _rows(50), _rows(50, seed=1)
    for sizes in ((), (0,), (3, 2), (2, 2), (True,)):
        with pytest.raises(InvalidInput, match="sizes"):
            sparse_accuracy(train, test, 3, sizes=sizes)
    with pytest.raises(InvalidInput, match=r"test: found shape \(50, 7\)"):
        sparse_accuracy(train, (test[0][:, 1:], test[1]), 3)
    with pytest.raises(InvalidInput, match="test ids"):
        sparse_accuracy(train, (test[0], test[1][1:]), 3)
    with pytest.raises(InvalidInput, match="test: found inputs that are NaN"):
        sparse_accuracy(train, (test[0] * math.nan, test[1]), 3)
    with pytest.raises(InvalidType, match=r"test: found Tensor"):
        sparse_accuracy(train, (test[0].long(), test[1]), 3)
    with pytest.raises(InvalidInput, match="x: found values of size nan"):
        sparse_accuracy((train[0] * math.nan, train[1]), test, 3)
