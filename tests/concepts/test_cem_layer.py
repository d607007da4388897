"""The concept embedding layer against a loop, halves picked by hand, and a soft bottleneck."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from narrows.concepts import ConceptEmbeddingLayer, ConceptLayer
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.reading import Reading

from .cem_layers import inputs, labels, layer_of


class Loop(nn.Module):
    """The layer as one would write it first: small modules, concept by concept."""

    def __init__(self, layer: ConceptEmbeddingLayer, features: int) -> None:
        super().__init__()
        k, wide = len(layer.names), 2 * layer.width
        self.embed = nn.ModuleList([nn.Linear(features, wide) for _ in range(k)]).double()
        self.score = nn.ModuleList([nn.Linear(wide, 1) for _ in range(k)]).double()
        with torch.no_grad():
            for i in range(k):
                rows = slice(i * wide, (i + 1) * wide)
                self.embed[i].weight.copy_(layer.linear.weight[rows])
                self.embed[i].bias.copy_(layer.linear.bias[rows])
                own = min(i, len(layer.scorer) - 1)
                self.score[i].weight.copy_(layer.scorer[own : own + 1])
                self.score[i].bias.copy_(layer.offset[own : own + 1])

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        chances, vectors = [], []
        for embed, score in zip(self.embed, self.score, strict=True):
            context = nn.LeakyReLU()(embed(h))
            p = torch.sigmoid(score(context))
            on, off = context.chunk(2, dim=1)
            chances.append(p)
            vectors.append(p * on + (1 - p) * off)
        return torch.cat(chances, 1), torch.cat(vectors, 1)


@pytest.mark.parametrize("shared", [True, False])
def test_one_product_equals_a_loop_over_concepts_gradients_too(shared: bool) -> None:
    layer, h = layer_of(shared_scorer=shared), inputs()
    loop = Loop(layer, 7)
    reading = layer.read(h)
    p, z = loop(h)
    assert torch.allclose(reading.units, p, atol=1e-12)
    assert torch.allclose(layer.write(reading), z, atol=1e-12)
    pull = inputs(11, 15)
    (layer.write(reading) * pull).sum().backward()
    (z * pull).sum().backward()
    assert torch.allclose(
        layer.linear.weight.grad, torch.cat([e.weight.grad for e in loop.embed]), atol=1e-12
    )
    assert torch.allclose(
        layer.linear.bias.grad, torch.cat([e.bias.grad for e in loop.embed]), atol=1e-12
    )
    scorers = torch.cat([s.weight.grad for s in loop.score])
    if shared:
        scorers = scorers.sum(0, keepdim=True)
    assert torch.allclose(layer.scorer.grad, scorers, atol=1e-12)


def test_the_layer_has_the_papers_number_of_parameters() -> None:
    k, q, m = 5, 7, 3
    shared, own = (sum(p.numel() for p in layer_of(shared_scorer=s).parameters()) for s in (1, 0))
    assert shared == k * 2 * m * (q + 1) + (2 * m + 1)
    assert own == k * 2 * m * (q + 1) + k * (2 * m + 1)


def test_a_vector_worked_out_by_hand() -> None:
    layer = ConceptEmbeddingLayer(1, ["a"], width=1)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[2.0], [-1.0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 1.0]))
        layer.scorer.copy_(torch.tensor([[1.0, 100.0]]))
        layer.offset.fill_(-1.0)
    reading = layer.read(torch.tensor([[2.0]]))
    # A h + b = (4, -1), of which leaky ReLU makes (4, -0.01); the logit is 4 - 1 - 1 = 2.
    p = 1 / (1 + np.exp(-2))
    assert reading.units.item() == pytest.approx(p)
    assert layer.write(reading).item() == pytest.approx(4 * p - 0.01 * (1 - p))


def test_gradients_are_those_of_finite_differences() -> None:
    layer, h = layer_of(k=2, width=2), inputs(3).requires_grad_()

    def through(h: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(
            _Through(layer), {f"layer.{n}": p for n, p in named.items()}, h
        )

    assert torch.autograd.gradcheck(through, (h, *layer.parameters()))


class _Through(nn.Module):
    def __init__(self, layer: ConceptEmbeddingLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: Tensor) -> Tensor:
        return self.layer.write(self.layer.read(h))


def test_with_vectors_one_and_zero_it_is_a_soft_concept_bottleneck_bit_for_bit() -> None:
    soft = ConceptLayer(7, [f"c{i}" for i in range(5)])
    model = NarrowModel(nn.Identity(), soft, LinearHead(5, 3))
    x = inputs().float()
    output = model(x)
    embedding = ConceptEmbeddingLayer(7, soft.names, width=1)
    one = torch.ones(11, 5, 1)
    reading = Reading(output.reading.units, context={"on": one, "off": torch.zeros_like(one)})
    narrow = NarrowModel(nn.Identity(), embedding, model.head)
    assert torch.equal(narrow.decide(reading).prediction, output.prediction)
    known = (torch.rand(11, 5, generator=torch.Generator().manual_seed(0)) < 0.5, labels().float())
    fixed = model.correct(output.reading, known).prediction
    assert torch.equal(narrow.correct(reading, known).prediction, fixed)


def test_correcting_to_0_or_1_picks_a_half_and_to_the_score_changes_nothing() -> None:
    layer = layer_of()
    reading, c = layer.read(inputs()), labels()
    context = nn.functional.leaky_relu(inputs() @ layer.linear.weight.T + layer.linear.bias)
    halves = context.view(11, 5, 2, 3)
    by_hand = torch.where(c[..., None] == 1, halves[:, :, 0], halves[:, :, 1])
    everything = torch.ones(11, 5, dtype=torch.bool)
    picked = layer.write(layer.condition(reading, (everything, c)))
    assert torch.allclose(picked, by_hand.flatten(1), rtol=0, atol=1e-15)
    confirmed = layer.condition(reading, (everything, reading.units))
    assert torch.equal(layer.write(confirmed), layer.write(reading))


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.integers(0, 2**5 - 1))
def test_a_correction_moves_its_own_vector_only_and_stays_between_the_halves(
    values: list[float], which: int
) -> None:
    layer = layer_of()
    reading = layer.read(inputs(1))
    mask = torch.tensor([[bool(which >> i & 1) for i in range(5)]])
    fixed = layer.condition(reading, (mask, torch.tensor([values], dtype=torch.float64)))
    before, after = (layer.write(r).view(5, 3) for r in (reading, fixed))
    assert torch.equal(after[~mask[0]], before[~mask[0]])
    on, off = fixed.context["on"][0], fixed.context["off"][0]
    low, high = torch.minimum(on, off) - 1e-12, torch.maximum(on, off) + 1e-12
    assert ((low <= after) & (after <= high)).all()


def test_one_truth_in_a_group_switches_the_others_off() -> None:
    layer = layer_of(groups=[(0, 1, 2)])
    fixed = layer.condition(layer.read(inputs()), {"c1": 1.0})
    assert fixed.units[:, :3].tolist() == [[0.0, 1.0, 0.0]] * 11
    z = layer.write(fixed).view(11, 5, 3)
    assert torch.equal(z[:, 0], fixed.context["off"][:, 0])
    with pytest.raises(InvalidInput, match="'c0' and 'c2' both 1"):
        layer.condition(fixed, {"c0": 1.0, "c2": 1.0})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_value_outside_the_range_names_concept_and_value(value: float) -> None:
    layer = layer_of()
    with pytest.raises(InvalidInput, match=rf"known\['c3'\]: found {value}.*\[0, 1\]"):
        layer.condition(layer.read(inputs()), {"c3": value})
    rows = torch.full((11,), 0.5)
    rows[7] = value
    with pytest.raises(InvalidInput, match=rf"known\['c3'\]: found {value}"):
        layer.condition(layer.read(inputs()), {"c1": 0.5, "c3": rows})


def test_more_batch_dimensions_are_more_rows() -> None:
    layer = layer_of()
    h = inputs(12)
    flat, deep = layer.read(h), layer.read(h.view(3, 4, 7))
    assert torch.allclose(layer.write(deep).view(12, 15), layer.write(flat), atol=1e-12)
