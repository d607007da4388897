"""Energies of probabilities against mixed embeddings written out, and finite differences."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from narrows.concepts.energy.energies import Energies
from narrows.concepts.energy.mixtures import Mixtures, check_weights
from narrows.errors import InvalidInput

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def make(seed: int, rows: int = 5) -> tuple[Energies, Tensor, Tensor, Tensor]:
    """Random networks in double precision, features, concept and class probabilities."""
    source = torch.Generator().manual_seed(seed)
    energies = Energies(4, concepts=3, classes=4, dims=6).double().eval()
    for p in energies.parameters():
        p.data = torch.randn(p.shape, generator=source, dtype=torch.float64)
    z = torch.randn(rows, 4, generator=source, dtype=torch.float64)
    c = torch.rand(rows, 3, generator=source, dtype=torch.float64)
    label = torch.rand(rows, 4, generator=source, dtype=torch.float64).softmax(-1)
    return energies, z, c, label


def unit(v: Tensor) -> Tensor:
    return v / v.square().sum().sqrt()


def gated(weight: Tensor, signal: Tensor, direction: Tensor) -> Tensor:
    return (weight * (signal * direction + signal).clamp(min=0)).sum()


def written_out(e: Energies, z: Tensor, c: Tensor, label: Tensor, weights, hard: bool) -> Tensor:
    """One row's energy, embedding by embedding."""
    a = e.class_map.weight @ z + e.class_map.bias
    h = e.concept_map.weight @ z + e.concept_map.bias
    of_label = unit(label @ e.class_embedding)
    shared = (e.class_weight * a.clamp(min=0)).sum()
    total = weights[0] * (gated(e.class_weight, a, of_label) - shared)
    placed = torch.zeros(6, dtype=torch.float64)
    for k in range(3):
        absent, present = e.concept_embedding[k]
        w = e.concept_weight[k]
        alone = gated(w, h, unit((1 - c[k]) * absent + c[k] * present))
        total = total + weights[1] * (alone - (w * h.clamp(min=0)).sum())
        seen = (c[k] > 0.5).double() if hard else c[k]
        placed = placed + ((1 - seen) * absent + seen * present) @ e.mixer[k]
    return total + weights[2] * gated(e.joint_weight, placed, of_label)


@given(seed=st.integers(0, 2**16), hard=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_energy_of_probabilities_is_that_of_mixed_embeddings(seed: int, hard: bool) -> None:
    e, z, c, label = make(seed)
    weights = (0.7, 1.1, 0.4)
    found = Mixtures(e, e.of_input(z), weights, hard).slope(c, label).energy
    for n in range(5):
        wanted = written_out(e, z[n], c[n], label[n], weights, hard)
        assert torch.isclose(found[n], wanted, **CLOSE)


@pytest.mark.parametrize("weights", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.7, 1.1, 0.4)])
@pytest.mark.parametrize("hard", [False, True])
def test_the_slope_is_that_of_the_energy_written_out(weights: tuple, hard: bool) -> None:
    e, z, c, label = make(1)
    found = Mixtures(e, e.of_input(z), weights, hard).slope(c, label)
    for n in range(5):
        row = c[n].clone().requires_grad_(), label[n].clone().requires_grad_()
        energy = written_out(e, z[n], *row, weights, hard)
        wanted = torch.autograd.grad(energy, row, allow_unused=True)
        for slope, by in zip((found.concepts[n], found.label[n]), wanted, strict=True):
            assert torch.allclose(slope, torch.zeros_like(slope) if by is None else by, **CLOSE)


def test_the_slope_is_that_of_finite_differences() -> None:
    e, z, c, label = make(2)
    mixtures, step = Mixtures(e, e.of_input(z), (1.0, 1.0, 1.0)), 1e-6
    found = mixtures.slope(c, label)
    for slope, place in ((found.concepts, 0), (found.label, 1)):
        for j in range(slope.shape[1]):
            ends = []
            for sign in (1, -1):
                at = [c.clone(), label.clone()]
                at[place][:, j] += sign * step
                ends.append(mixtures.slope(*at).energy)
            assert torch.allclose(slope[:, j], (ends[0] - ends[1]) / (2 * step), atol=1e-6)


def test_a_certain_mixture_is_the_energy_itself() -> None:
    e, z, _, _ = make(3)
    said = e.of_input(z)
    for y, bits in itertools.product(range(4), itertools.product((0.0, 1.0), repeat=3)):
        c = torch.tensor(bits, dtype=torch.float64).expand(5, 3)
        label = torch.eye(4, dtype=torch.float64)[y].expand(5, 4)
        own = sum(said.concepts[:, k, int(b)] for k, b in enumerate(bits))
        wanted = said.classes[:, y] + own + e.joint(c)[:, y]
        found = Mixtures(e, said, (1.0, 1.0, 1.0)).slope(c, label).energy
        assert torch.allclose(found, wanted, **CLOSE)


def test_opposite_embeddings_mix_to_finite_numbers() -> None:
    e, z, _, label = make(4)
    e.concept_embedding.data[:, 1] = -e.concept_embedding.data[:, 0]
    half = torch.full((5, 3), 0.5, dtype=torch.float64)
    found = Mixtures(e, e.of_input(z), (1.0, 1.0, 1.0)).slope(half, label)
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize(
    "weights", [1.0, None, (1.0, 1.0), (1.0, -1.0, 0.0), (1.0, float("inf"), 0.0), ("a", 1, 1)]
)
def test_weights_are_three_finite_numbers(weights: object) -> None:
    assert check_weights("weights", [1, 0.5, 0]) == (1, 0.5, 0)
    with pytest.raises(InvalidInput, match="weights: found"):
        check_weights("weights", weights)
