"""The energies against their formulas written out, and their laws."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from narrows.concepts.energy import energies as module
from narrows.concepts.energy.energies import Energies, InputEnergies

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def make(seed: int = 0, features: int = 5, concepts: int = 3, classes: int = 4, dims: int = 6):
    """Random networks in double precision, and random features of 7 rows."""
    source = torch.Generator().manual_seed(seed)
    energies = Energies(features, concepts, classes, dims).double().eval()
    for p in energies.parameters():
        p.data = torch.randn(p.shape, generator=source, dtype=torch.float64)
    return energies, torch.randn(7, features, generator=source, dtype=torch.float64)


def unit(v: Tensor) -> Tensor:
    return v / v.square().sum().sqrt()


def gated(weight: Tensor, signal: Tensor, direction: Tensor) -> Tensor:
    """w . ReLU(a * u^ + a), as the paper writes it."""
    return (weight * (signal * direction + signal).clamp(min=0)).sum()


def class_energy(e: Energies, z: Tensor, direction: Tensor) -> Tensor:
    a = e.class_map.weight @ z + e.class_map.bias
    return gated(e.class_weight, a, direction) - (e.class_weight * a.clamp(min=0)).sum()


def concept_energy(e: Energies, z: Tensor, k: int, direction: Tensor) -> Tensor:
    h = e.concept_map.weight @ z + e.concept_map.bias
    w = e.concept_weight[k]
    return gated(w, h, direction) - (w * h.clamp(min=0)).sum()


def joint_energy(e: Energies, c: Tensor, direction: Tensor) -> Tensor:
    v = e.concept_embedding
    mixed = [(1 - c[k]) * v[k, 0] + c[k] * v[k, 1] for k in range(len(c))]
    stacked = torch.cat(list(e.mixer), 0)  # D as one matrix, (concepts * dims, dims)
    return gated(e.joint_weight, torch.cat(mixed) @ stacked, direction)


def test_every_energy_is_its_formula() -> None:
    e, z = make()
    said = e.of_input(z)
    c = torch.rand(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round()
    joint = e.joint(c)
    for n, y in itertools.product(range(7), range(4)):
        direction = unit(e.class_embedding[y])
        assert torch.isclose(said.classes[n, y], class_energy(e, z[n], direction), **CLOSE)
        assert torch.isclose(joint[n, y], joint_energy(e, c[n], direction), **CLOSE)
    for n, k, value in itertools.product(range(7), range(3), range(2)):
        wanted = concept_energy(e, z[n], k, unit(e.concept_embedding[k, value]))
        assert torch.isclose(said.concepts[n, k, value], wanted, **CLOSE)


def test_the_losses_are_cross_entropies_of_the_energies() -> None:
    e, z = make()
    said = e.of_input(z)
    y = torch.arange(7) % 4
    by_hand = said.classes.gather(1, y[:, None])[:, 0] + (-said.classes).exp().sum(1).log()
    assert torch.allclose(by_hand.mean(), cross_entropy(-said.classes, y), **CLOSE)
    c = torch.arange(21).reshape(7, 3) % 2
    own = said.concepts.gather(2, c[..., None])[..., 0]
    by_hand = own + (-said.concepts).exp().sum(-1).log()
    wanted = binary_cross_entropy_with_logits(said.logits, c.double(), reduction="none")
    assert torch.allclose(by_hand, wanted, **CLOSE)


def test_odds_are_the_difference_of_two_joint_energies() -> None:
    e, _ = make()
    c = torch.rand(7, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    label = torch.arange(7) % 4
    odds = e.odds(c, label)
    for k in range(3):
        gap = []
        for value in (0.0, 1.0):
            state = c.clone()
            state[:, k] = value
            gap.append(e.joint(state).gather(1, label[:, None])[:, 0])
        assert torch.allclose(odds[:, k], gap[0] - gap[1], **CLOSE)


def test_odds_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    e, _ = make()
    c, label = torch.full((7, 3), 0.3, dtype=torch.float64), torch.arange(7) % 4
    whole = e.odds(c, label)
    monkeypatch.setattr(module, "_NUMBERS", 40)
    assert torch.allclose(e.odds(c, label), whole, **CLOSE)
    assert e.odds(c[:0], label[:0]).shape == (0, 3)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_shares_add_up_to_the_joint_energy_between_classes(seed: int) -> None:
    e, _ = make(seed)
    c = torch.rand(7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    total, joint = e.shares(c).sum(1), -e.joint(c)
    assert torch.allclose(total - total[:, :1], joint - joint[:, :1], rtol=1e-9, atol=1e-9)


def test_a_share_is_the_path_integral_of_its_embedding() -> None:
    """Integrated gradients from zero embeddings, by a fine sum over the path."""
    e, _ = make(3)
    c = torch.tensor([[0.2, 1.0, 0.0]], dtype=torch.float64)
    pair = e.concept_embedding
    placed = torch.stack(
        [((1 - c[0, k]) * pair[k, 0] + c[0, k] * pair[k, 1]) @ e.mixer[k] for k in range(3)]
    )

    def centred(parts: Tensor) -> Tensor:
        said = torch.stack(
            [-gated(e.joint_weight, parts.sum(0), unit(u)) for u in e.class_embedding]
        )
        return said - said.mean()

    total = torch.zeros(4, 3, 6, dtype=torch.float64)
    for t in (torch.arange(200) + 0.5) / 200:
        total += torch.autograd.functional.jacobian(centred, (t * placed).detach()) / 200
    wanted = (total * placed).sum(-1).T
    assert torch.allclose(e.shares(c)[0], wanted, rtol=1e-9, atol=1e-9)


def test_one_class_of_the_joint_energy_is_its_entry() -> None:
    e, _ = make()
    c = torch.rand(7, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    label = torch.arange(7) % 4
    wanted = e.joint(c).gather(1, label[:, None])[:, 0]
    assert torch.allclose(e.joint_of(c, label), wanted, **CLOSE)


def test_gradients_are_those_of_finite_differences() -> None:
    e, z = make()
    c = torch.rand(7, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    label = torch.arange(7) % 4
    z.requires_grad_()
    c.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: e.of_input(z).classes, (z,))
    assert torch.autograd.gradcheck(lambda z: e.of_input(z).concepts, (z,))
    for energy in (e.joint, e.shares, lambda c: e.odds(c, label), lambda c: e.joint_of(c, label)):
        assert torch.autograd.gradcheck(energy, (c,))


def test_gradients_reach_every_parameter() -> None:
    e, z = make()
    said = e.of_input(z)
    (
        said.classes.square().sum() + said.concepts.square().sum() + e.joint(said.logits).sum()
    ).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in e.parameters())


def test_dropout_acts_in_training_only() -> None:
    e, z = make()
    assert torch.equal(e.of_input(z).classes, e.of_input(z).classes)
    e.train()
    with torch.random.fork_rng():
        assert not torch.equal(e.of_input(z).classes, e.of_input(z).classes)


def test_rows_of_input_energies() -> None:
    said = InputEnergies(torch.zeros(5, 2), torch.zeros(5, 3, 2))
    assert len(said) == 5
    assert len(said[torch.tensor([0, 3])]) == 2
