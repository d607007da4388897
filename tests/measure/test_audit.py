"""Audits of where concepts look: an oracle, a cheat, loops, and what cannot be judged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.concepts.layer import ConceptLayer
from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.heads import LinearHead
from narrows.measure.audit import audit
from narrows.measure.locality import swap
from narrows.model import NarrowModel

NAMES = ("left", "right")
LEFT = torch.zeros(4, 6, dtype=torch.bool)
LEFT[:, :3] = True
HALVES = torch.stack([LEFT, ~LEFT])


class Linear(NarrowModel):
    """Concepts linear in the 4 x 6 pixels; logits are at hand."""

    def logits(self, x: Tensor) -> Tensor:
        return self.bottleneck.linear(self.encoder(x))


def linear(weights: Tensor, bias: float = 0.0, names: tuple[str, ...] = NAMES) -> Linear:
    layer = ConceptLayer(24, names)
    with torch.no_grad():
        layer.linear.weight.copy_(weights.flatten(1))
        layer.linear.bias.fill_(bias)
    return Linear(nn.Flatten(), layer, LinearHead(len(names), 2), ("no", "yes")).eval()


def rows(n: int = 40, seed: int = 0) -> Examples:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 4, 6, generator=g)
    c = (torch.rand(n, 2, generator=g) < 0.6).float()
    return Examples(x, torch.arange(n) % 2, c, ("no", "yes"), Concepts(NAMES))


def weights(seed: int = 1) -> Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(seed))


def columns(found: Any, method: str) -> dict[str, Any]:
    (row,) = [r for r in found.table() if r["method"] == method]
    return row


METHODS = ("gradient_x_input", "integrated_gradients", "swap")


def test_a_model_that_reads_each_region_alone_scores_1_and_leaks_exactly_0() -> None:
    model = linear(weights().abs() * HALVES)
    found = audit(model, rows(), HALVES, METHODS, score=model.logits)
    for method in METHODS[:2]:
        told = columns(found, method)
        assert told["mass"] == told["rank"] == told["pointing"] == 1
        assert (told["elsewhere"], told["region"]) == (0, 0.5)
    assert columns(found, "swap") == {"method": "swap", "leakage": 0, "change": 1}
    assert found.notes == ()


def test_the_cheat_is_as_accurate_and_scores_0() -> None:
    """Left and right always agree, and `left` is read from the right half."""
    g = torch.Generator().manual_seed(3)
    y = torch.randint(2, (60,), generator=g)
    x = 0.1 * torch.rand(60, 1, 4, 6, generator=g)
    x[:, 0, 1, 1] += y
    x[:, 0, 1, 4] += y
    data = Examples(x, y, y[:, None].expand(-1, 2).float(), ("no", "yes"), Concepts(NAMES))
    honest, cheat = torch.zeros(2, 4, 6), torch.zeros(2, 4, 6)
    honest[0, 1, 1] = honest[1, 1, 4] = cheat[:, 1, 4] = 20
    results = []
    for weight in (honest, cheat):
        model = linear(weight, bias=-11)
        assert ((model.read(x).units > 0.5) == (data.c > 0.5)).all()
        results.append(audit(model, data, HALVES, METHODS, score=model.logits))
    good, bad = results
    for row in bad.per_concept()[:2]:
        assert (row["concept"], row["judged"]) == ("left", int(y.sum()))
        assert row["mass"] == row["pointing"] == 0
        assert row["elsewhere"] == 1
    assert bad.per_concept()[2]["leakage"] == 1
    assert bad.per_concept()[2]["change"] == 0
    gaps = {(r["method"], r["score"]): r["difference"] for r in good.compare(bad)}
    assert gaps["swap", "leakage"] == -0.5
    assert gaps["integrated_gradients", "mass"] == 0.5


@pytest.mark.parametrize("moving", [False, True])
def test_every_score_is_its_definition_row_by_row(moving: bool) -> None:
    data, w = rows(30), weights()
    w = w - w.mean((1, 2), keepdim=True)  # about half of the logits are positive
    model = linear(w)
    regions = HALVES
    if moving:
        regions = torch.rand(30, 2, 4, 6, generator=torch.Generator().manual_seed(2)) < 0.4
    points = torch.rand(30, 2, 2, generator=torch.Generator().manual_seed(4)) * 4
    found = audit(model, data, regions, METHODS, points=points, score=model.logits, seed=3)
    wide = regions.expand(30, -1, -1, -1).numpy()
    for j in range(2):
        told: dict[str, list[float]] = {}
        for i in range(30):
            if data.c[i, j] != 1 or model.logits(data.x[i : i + 1])[0, j] < 0:
                continue
            a = np.maximum((w[j] * data.x[i, 0]).numpy(), 0)
            here, other = wide[i, j], wide[i, 1 - j] & bool(data.c[i, 1 - j])
            first = np.argsort(-a.ravel(), kind="stable")[: here.sum()]
            y, x = divmod(int(a.argmax()), 6)
            for name, value in {
                "mass": a[here].sum() / a.sum(),
                "rank": here.ravel()[first].mean(),
                "pointing": here[y, x],
                "distance": math.dist((y, x), points[i, j].tolist()),
                "elsewhere": a[other & ~here].sum() / a.sum(),
                "region": here.mean(),
            }.items():
                told.setdefault(name, []).append(float(value))
        assert int(found.judged[j]) == len(told["mass"]) > 3
        for method in METHODS[:2]:
            for name, values in told.items():
                assert float(found.scores[method][name][j]) == pytest.approx(
                    np.mean(values), abs=1e-5
                )
    swaps = swap(model, data, regions, seed=3)
    torch.testing.assert_close(found.scores["swap"]["leakage"], swaps.leakage / swaps.full)


def test_units_are_matched_with_concepts_by_name() -> None:
    model = linear(weights()[[1, 0]], names=("right", "left"))
    plain, data = linear(weights()), rows()
    (one, two) = (
        {r["concept"]: r for r in audit(m, data, HALVES, METHODS[1:]).per_concept()}
        for m in (model, plain)
    )
    assert one == two
    extra = audit(linear(weights()[:1], names=("left",)), data, HALVES, ["swap"])
    assert extra.names == ("left",)


class Bits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) > 0.5).float()


def test_a_model_without_a_gradient_is_judged_by_swaps_alone() -> None:
    model = linear(weights().abs() * HALVES)
    model.encoder = Bits()
    found = audit(model, rows(), HALVES)
    assert [r["method"] for r in found.table()] == ["swap"]
    assert columns(found, "swap")["leakage"] == 0
    assert "integrated_gradients: the model has no gradient to its pixels" in str(found)
    with pytest.raises(InvalidInput, match=r"without a gradient .* wanted 'swap'"):
        audit(model, rows(), HALVES, ["integrated_gradients"])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c, r: c[:, 0].zero_(), "never present in these rows: 'left'"),
        (lambda c, r: c[:, 0].fill_(torch.nan), "never present in these rows: 'left'"),
        (lambda c, r: r[:, 0].zero_(), "present without a mask .*: 'left'"),
        (lambda c, r: c.zero_(), "never present in these rows: 'left', 'right'"),
    ],
)
def test_what_cannot_be_judged_is_told_by_name_and_is_no_number(
    change: Callable[..., Any], note: str
) -> None:
    data, model = rows(), linear(weights().abs())
    c, regions = data.c.clone(), HALVES.expand(40, -1, -1, -1).clone()
    change(c, regions)
    data = Examples(data.x, data.y, c, data.classes, data.concepts)
    found = audit(model, data, regions, METHODS)
    assert any(re.match(note, n) for n in found.notes), found.notes
    left = found.per_concept()[0]
    assert left["mass"] is None
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["notes"] == list(found.notes)


def test_a_concept_that_the_model_never_says_is_told() -> None:
    found = audit(linear(-weights().abs()), rows(), HALVES)
    assert found.notes == ("present, but never predicted so: 'left', 'right'",)
    assert found.table()[0]["mass"] is None
    assert str(found).count(" -") >= 6


def test_modes_weights_and_pixels_are_as_before() -> None:
    model, data = linear(weights()), rows()
    model.train()
    x, state = data.x.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    audit(model, data, HALVES)
    assert model.training
    assert torch.equal(data.x, x)
    assert not data.x.requires_grad
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_be_is_refused_by_name() -> None:
    model, data = linear(weights()), rows()
    with pytest.raises(InvalidInput, match="regions: found no masks, wanted"):
        audit(model, data, None)
    with pytest.raises(InvalidInput, match=r"regions: found shape .*, wanted one for each of 2"):
        audit(model, data, HALVES[:1])
    with pytest.raises(InvalidType, match=r"regions: found torch.float32"):
        audit(model, data, HALVES.float())
    with pytest.raises(InvalidInput, match="regions: found shape"):
        audit(model, data, HALVES[:, :2])
    with pytest.raises(InvalidInput, match="methods: found none"):
        audit(model, data, HALVES, [])
    with pytest.raises(UnknownName, match="gradient_x_inputs"):
        audit(model, data, HALVES, ["gradient_x_inputs"])
    bare = Examples(data.x, data.y, None, data.classes, data.concepts)
    with pytest.raises(InvalidInput, match="no concept labels"):
        audit(model, bare, HALVES)
    with pytest.raises(InvalidInput, match="the same 2"):
        audit(model, data, HALVES, ["swap"]).compare(
            audit(linear(weights()[:1], names=("left",)), data, HALVES, ["swap"])
        )
