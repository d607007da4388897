"""Importance of a whole model, against its parts and its explanation."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import Tensor, nn

from narrows.bottleneck import IdentityBottleneck
from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.concepts.layer import ConceptLayer, SideConcepts
from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput
from narrows.heads import LinearHead, MLPHead
from narrows.measure.importance.existence import existence, local_importance
from narrows.measure.importance.of_model import importance_of
from narrows.measure.importance.overall import class_means, global_importance
from narrows.model import NarrowModel

NAMES = tuple(f"c{j}" for j in range(6))
CLASSES = ("x", "y", "z")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model_of(kind: str = "soft", head: nn.Module | None = None, seed: int = 0) -> NarrowModel:
    layer: nn.Module = {
        "side": lambda: SideConcepts(6, NAMES),
        "embedding": lambda: ConceptEmbeddingLayer(6, NAMES, width=2),
    }.get(kind, lambda: ConceptLayer(6, NAMES, kind=kind))()
    inputs = 12 if kind == "embedding" else 6
    model = NarrowModel(nn.Identity(), layer, head or LinearHead(inputs, 3), CLASSES)
    with torch.no_grad():
        for part in model.parameters():
            part.copy_(draw(*part.shape, seed=seed))
    return model.eval()


def rows(n: int = 40, seed: int = 1) -> Examples:
    x, c = draw(n, 6, seed=seed), (draw(n, 6, seed=seed + 1) > 0).float()
    c[draw(n, 6, seed=seed + 2) > 1.3] = torch.nan
    y = torch.arange(n) % 3
    return Examples(x, y, c, CLASSES, Concepts(NAMES))


@pytest.mark.parametrize("kind", ["soft", "logit"])
def test_a_report_is_its_parts(kind) -> None:
    model, train, test = model_of(kind), rows(60, 7), rows()
    found = importance_of(model, train, test, permutations=50, seed=3, top=(1, 4))
    units = model(test.x).reading.units.detach()
    weight = model.head.weight.detach()
    predicted = (units @ weight.T + model.head.bias).argmax(1)
    right = predicted == test.y
    frequency = class_means(train.c, train.y, 3)
    present = class_means(units, test.y, 3, right)
    for number in (1, 2, 3):
        alone = global_importance(
            weight,
            frequency,
            present,
            kind=number,
            permutations=50,
            seed=3,
            names=(CLASSES, NAMES),
        )
        assert found.agreement[number].to_dict() == alone.to_dict()
    importance = local_importance(weight, units, predicted)
    sign = units > (0 if kind == "logit" else 0.5)
    parts = {
        "all": (slice(None), None),
        "correct": (right, None),
        "correct, by polarity": (right, sign[right]),
    }
    assert set(found.existence) == set(parts)
    for name, (some, polarity) in parts.items():
        alone = existence(
            importance[some],
            test.c[some],
            predicted[some],
            frequency,
            top=(1, 4),
            polarity=polarity,
        )
        torch.testing.assert_close(found.existence[name].share, alone.share)
        assert found.existence[name].rows == alone.rows


@pytest.mark.parametrize("kind", ["soft", "embedding", "curved"])
def test_importance_is_what_the_explanation_adds_to_the_predicted_class(kind) -> None:
    head = MLPHead(6, 3, (5,)) if kind == "curved" else None
    model = model_of("soft" if kind == "curved" else kind, head)
    test = rows(30)
    explained = model.explain(test.x)
    said = explained.logits.argmax(1)
    shares = explained.contributions[torch.arange(30), :, said]
    found = importance_of(model, test, test, permutations=0, top=(1, 2))
    known = ~test.c.isnan()
    for n, top in enumerate((1, 2)):
        hits = []
        for i in range(30):
            order = [j for j in shares[i].argsort(descending=True).tolist() if known[i, j]][:top]
            if order:
                hits.append(sum(float(test.c[i, j]) for j in order) / len(order))
        assert float(found.existence["all"].share[n]) == pytest.approx(sum(hits) / len(hits))
    assert set(found.agreement) == ({2} if kind == "embedding" else {1, 2, 3}) - (
        {1, 3} if kind == "curved" else set()
    )


def test_concepts_are_matched_by_name_whatever_their_order() -> None:
    model, test = model_of(), rows()
    order = [4, 2, 0, 5, 1, 3]
    turned = dataclasses.replace(
        test, c=test.c[:, order], concepts=Concepts(tuple(NAMES[j] for j in order))
    )
    first = importance_of(model, test, test, permutations=0).to_dict()
    assert importance_of(model, test, turned, permutations=0).to_dict() == first
    assert importance_of(model, turned, turned, permutations=0).to_dict() == first
    assert json.loads(json.dumps(first, allow_nan=False))["agreement"]["1"]["names"] == list(NAMES)


def test_a_class_nobody_is_sorted_into_is_named_and_no_correct_row_leaves_all_rows() -> None:
    model, test = model_of(), rows()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 0.0, -1e4]))
    found = importance_of(model, test, test, permutations=0)
    assert found.agreement[2].incomplete == ("z",)
    assert found.agreement[1].incomplete == ()
    only_z = test[test.y == 2]
    alone = importance_of(model, test, only_z, permutations=0)
    assert set(alone.existence) == {"all"}
    assert alone.agreement[3].incomplete == CLASSES
    assert alone.agreement[3].undefined == NAMES
    assert "existence, all" in str(alone)


def test_what_cannot_be_is_refused_by_name() -> None:
    test = rows()
    with pytest.raises(InvalidInput, match="label does not pass through its units"):
        importance_of(model_of("side"), test, test)
    plain = NarrowModel(nn.Identity(), IdentityBottleneck(6), LinearHead(6, 3), CLASSES)
    with pytest.raises(InvalidInput, match="no name in common"):
        importance_of(plain, test, test)
    without = dataclasses.replace(test, c=None)
    with pytest.raises(InvalidInput, match="no concept labels"):
        importance_of(model_of(), without, test)
    with pytest.raises(InvalidInput, match="no concept labels"):
        importance_of(model_of(), test, without)
    with pytest.raises(InvalidInput, match=r"top: found \(\)"):
        importance_of(model_of(), test, test, top=(7,))
