"""The residual of hybrids on models whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.concepts.layer import ConceptLayer, SideConcepts
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.measure.leakage_residual import residual
from narrows.model import NarrowModel


def _data(n: int = 200, k: int = 3) -> Dataset:
    g = torch.Generator().manual_seed(0)
    c = (torch.rand(n, k, generator=g) < 0.5).float()
    y = torch.randint(2, (n,), generator=g)
    # The last column says the label; it is no concept.
    x = torch.cat([8 * c - 4, 8.0 * y[:, None] - 4], 1)
    rows = Examples(x, y, c, (0, 1), Concepts(tuple(f"c{j}" for j in range(k))))
    return Dataset("residual", rows[: n // 2], rows[:10], rows[n // 2 :])


def _model(extra: float, concepts: float, k: int = 3) -> NarrowModel:
    """A hybrid: a head that reads an extra unit and the concepts, with these weights."""
    layer = ConceptLayer(k + 1, [f"c{j}" for j in range(k)], extra=1)
    head = LinearHead(k + 1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.eye(k + 1))
        layer.linear.bias.zero_()
        head.weight.copy_(torch.tensor([[-concepts] * k + [-extra], [concepts] * k + [extra]]))
        head.bias.zero_()
        head.bias[0] += concepts * k + extra
    return NarrowModel(nn.Identity(), layer, head, (0, 1)).eval()


def _head_on(z: Tensor, model: NarrowModel, y: Tensor) -> float:
    return float((model.head(z).argmax(1) == y).double().mean())


def test_a_head_that_reads_only_the_residual_loses_nothing() -> None:
    found = residual(_model(extra=1.0, concepts=0.0), _data())
    assert found.full == found.without == found.share == float(found) == 1
    assert found.chance < 0.7


def test_without_a_way_around_one_label_is_left() -> None:
    data = _data()
    found = residual(_model(extra=0.0, concepts=1.0), data)
    shares = data.test.y.bincount(minlength=2).double() / len(data.test)
    assert found.without in [pytest.approx(float(share)) for share in shares]
    commonest = data.train.y.bincount().argmax()
    assert found.chance == pytest.approx(float(shares[commonest]))


@pytest.mark.parametrize("extra", [0.2, 1.0])
def test_the_concepts_are_at_their_training_means(extra: float) -> None:
    data, model = _data(), _model(extra, 1.0)
    with torch.no_grad():
        train, z = (model.read(rows.x).units for rows in (data.train, data.test))
        z = torch.cat([train.mean(0)[:3].expand(len(z), -1), z[:, 3:]], 1)
        assert residual(model, data).without == _head_on(z, model, data.test.y)


def test_where_the_label_does_not_pass_through_concepts_all_survives() -> None:
    torch_layer = SideConcepts(4, ["c0", "c1", "c2"])
    head = LinearHead(4, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0, 0, -1], [0, 0, 0, 1]]))
        head.bias.zero_()
    model = NarrowModel(nn.Identity(), torch_layer, head, (0, 1)).eval()
    found = residual(model, _data())
    assert found.share == found.full == 1


def test_vectors_are_replaced_whole() -> None:
    layer = ConceptEmbeddingLayer(4, ["c0", "c1", "c2"], width=2)
    model = NarrowModel(nn.Identity(), layer, LinearHead(6, 2), (0, 1)).eval()
    data = _data()
    found = residual(model, data)
    shares = data.test.y.bincount(minlength=2).double() / len(data.test)
    assert found.without in [pytest.approx(float(share)) for share in shares]


def test_in_words_and_json() -> None:
    found = residual(_model(1.0, 0.0), _data())
    assert "100.0 % of the accuracy" in str(found)
    assert found.to_dict()["share"] == 1
    nothing = type(found)(0.0, 0.0, 0.5)
    assert math.isnan(nothing.share)
    assert nothing.to_dict()["share"] is None


def test_no_name_in_common_is_refused() -> None:
    data = _data()
    other = Concepts(("a", "b", "d"))
    rows = Examples(data.test.x, data.test.y, data.test.c, (0, 1), other)
    with pytest.raises(InvalidInput, match="no name in common"):
        residual(_model(1.0, 0.0), Dataset("other", rows, rows, rows))
