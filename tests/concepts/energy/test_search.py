"""Inference in the joint energy against enumeration and the procedure as published."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from narrows.concepts.energy.energies import Energies, InputEnergies
from narrows.concepts.energy.search import (
    Given,
    all_states,
    enumerate_all,
    relax,
    settle,
)
from narrows.errors import InvalidInput

WEIGHTS = (1.0, 1.0, 1.0)


def make(seed: int, concepts: int = 4, classes: int = 3, rows: int = 6):
    """Random networks of a trained model's kind: embeddings of one length, and their input."""
    source = torch.Generator().manual_seed(seed)
    energies = Energies(5, concepts, classes, 16).double().eval().requires_grad_(False)
    for p in energies.parameters():
        p.data = torch.randn(p.shape, generator=source, dtype=torch.float64) / 2
    energies.mixer.data /= 4
    energies.class_embedding.data = normalize(energies.class_embedding.data, dim=-1)
    energies.concept_embedding.data = normalize(energies.concept_embedding.data, dim=-1)
    z = 3 * torch.randn(rows, 5, generator=source, dtype=torch.float64)
    return energies, energies.of_input(z)


def nothing(said: InputEnergies) -> Given:
    return Given(torch.zeros_like(said.logits, dtype=torch.bool), torch.zeros_like(said.logits))


def fix(said: InputEnergies, **values: float) -> Given:
    """Concepts `c0`, `c1`, ... fixed in every row."""
    given = nothing(said)
    for name, value in values.items():
        given.mask[:, int(name[1:])] = True
        given.values[:, int(name[1:])] = value
    return given


def energy_of(e: Energies, said: InputEnergies, weights, n: int, bits, y: int) -> float:
    alone = sum(float(said.concepts[n, k, int(b)]) for k, b in enumerate(bits))
    joint = float(e.joint(torch.tensor([bits], dtype=torch.float64))[0, y])
    return weights[0] * float(said.classes[n, y]) + weights[1] * alone + weights[2] * joint


def table(e: Energies, said: InputEnergies, weights, n: int) -> dict:
    """The energy of every state of row n, one by one."""
    k, classes = said.concepts.shape[1], said.classes.shape[1]
    states = itertools.product(itertools.product((0.0, 1.0), repeat=k), range(classes))
    return {(bits, y): energy_of(e, said, weights, n, bits, y) for bits, y in states}


def test_enumeration_is_the_sum_over_all_states() -> None:
    weights = (0.7, 1.3, 2.0)
    e, said = make(0)
    found = enumerate_all(e, said, weights, nothing(said))
    for n in range(len(said)):
        energies = table(e, said, weights, n)
        p = torch.tensor(list(energies.values()), dtype=torch.float64).neg().softmax(0).tolist()
        pairs = list(zip(energies, p, strict=True))
        for k in range(4):
            wanted = sum(v for (bits, _), v in pairs if bits[k])
            assert float(found.concepts[n, k]) == pytest.approx(wanted)
        for y in range(3):
            wanted = sum(v for (_, label), v in pairs if label == y)
            assert float(found.label[n, y]) == pytest.approx(wanted)
        best = min(energies, key=energies.__getitem__)
        assert tuple(found.best_concepts[n].tolist()) == best[0]
        assert int(found.best_label[n]) == best[1]
        assert float(found.energy[n]) == pytest.approx(energies[best])


def test_enumeration_given_concepts_is_conditioning() -> None:
    e, said = make(1)
    found = enumerate_all(e, said, WEIGHTS, fix(said, c1=1.0, c3=0.0))
    for n in range(len(said)):
        energies = {s: v for s, v in table(e, said, WEIGHTS, n).items() if s[0][1] and not s[0][3]}
        p = torch.tensor(list(energies.values()), dtype=torch.float64).neg().softmax(0).tolist()
        wanted = sum(v for (bits, _), v in zip(energies, p, strict=True) if bits[0])
        assert float(found.concepts[n, 0]) == pytest.approx(wanted)
        assert found.concepts[n, 1] == 1
        assert found.concepts[n, 3] == 0


def test_the_descent_finds_the_best_state_of_nearly_all_small_models() -> None:
    hits = total = 0
    for seed in range(40):
        e, said = make(seed, concepts=5)
        exact = enumerate_all(e, said, WEIGHTS, nothing(said))
        found = relax(e, said, WEIGHTS, nothing(said))
        c = (settle(e, said, WEIGHTS, nothing(said), found.concepts) > 0.5).double()
        label = (said.classes + e.joint(c)).argmin(1)
        for n in range(len(said)):
            energy = energy_of(e, said, WEIGHTS, n, c[n].tolist(), int(label[n]))
            assert energy >= float(exact.energy[n]) - 1e-9
            hits += energy <= float(exact.energy[n]) + 1e-9
            total += 1
    assert hits / total >= 0.95


def composed(e, said, weights, c: Tensor, label: Tensor) -> Tensor:
    """The energy of mixed embeddings, for autograd."""
    mixed = label @ e.class_embedding
    direction = mixed / mixed.norm(dim=-1, keepdim=True)
    votes = (label * e.class_embedding.norm(dim=-1) * said.classes).sum(-1)
    pair, both = e.concept_embedding, torch.stack([1 - c, c], -1)
    concept = (both[..., None] * pair).sum(-2)
    dots = (both * pair.norm(dim=-1) * said.concepts).sum(-1)
    placed = torch.einsum("nki,kij->nj", concept, e.mixer)
    joint = (e.joint_weight * placed.relu() * (1 + direction)).sum(-1)
    alone = (dots / concept.norm(dim=-1)).sum(-1)
    return weights[0] * votes / mixed.norm(dim=-1) + weights[1] * alone + weights[2] * joint


def published(e, said, weights, given: Given, steps: int) -> tuple[Tensor, Tensor]:
    """Two logits a concept and torch's Adam, as the paper puts it."""
    q = torch.zeros(*said.concepts.shape, dtype=torch.float64, requires_grad=True)
    r = torch.zeros_like(said.classes, requires_grad=True)
    adam = torch.optim.Adam([q, r], lr=0.1)
    for _ in range(steps):
        c, label = given.put(q.softmax(-1)[..., 1]), r.softmax(-1)
        energy = composed(e, said, weights, c, label)
        adam.zero_grad()
        energy.sum().backward()
        adam.step()
    return given.put(q.softmax(-1)[..., 1]).detach(), r.softmax(-1).detach()


@pytest.mark.parametrize("steps", [1, 9])
def test_the_descent_is_the_published_one(steps: int) -> None:
    e, said = make(2)
    given = fix(said, c2=1.0)
    found = relax(e, said, (1.0, 1.0, 0.3), given, steps=steps)
    c, label = published(e, said, (1.0, 1.0, 0.3), given, steps)
    assert torch.allclose(found.concepts, c, rtol=0, atol=1e-6)
    assert torch.allclose(found.label, label, rtol=0, atol=1e-6)


def test_rows_are_searched_each_for_itself() -> None:
    e, said = make(3, rows=9)
    whole = relax(e, said, WEIGHTS, nothing(said))
    for n in range(9):
        row = said[torch.tensor([n])]
        alone = relax(e, row, WEIGHTS, nothing(row))
        assert torch.allclose(alone.concepts[0], whole.concepts[n], rtol=0, atol=1e-9)
        assert torch.allclose(alone.energy[0], whole.energy[n])


def test_rows_that_have_not_converged_are_flagged() -> None:
    e, said = make(4)
    assert not relax(e, said, WEIGHTS, nothing(said), steps=5).converged.any()
    assert relax(e, said, WEIGHTS, nothing(said)).converged.all()
    said.classes[2] = torch.nan  # a row whose energy is no number has not converged either
    found = relax(e, said, WEIGHTS, nothing(said))
    assert found.converged.tolist() == [n != 2 for n in range(len(said))]
    assert found.concepts[found.converged].isfinite().all()


def test_no_rows_give_no_answers() -> None:
    e, said = make(5)
    none = said[torch.arange(0)]
    found = relax(e, none, WEIGHTS, nothing(none))
    assert settle(e, none, WEIGHTS, nothing(none), found.concepts).shape == (0, 4)


def test_a_settled_score_is_the_conditional_of_two_states() -> None:
    weights = (1.0, 0.8, 2.0)
    e, said = make(6)
    given = fix(said, c0=1.0)
    start = (torch.arange(24).reshape(6, 4) % 3 == 0).double()
    scores = settle(e, said, weights, given, start)
    assert scores[:, 0].eq(1).all()
    for n, k in itertools.product(range(6), range(1, 4)):
        bits = [1.0, *start[n, 1:].tolist()]
        y = min(range(3), key=lambda y: energy_of(e, said, weights, n, bits, y))
        both = []
        for value in (0.0, 1.0):
            bits[k] = value
            both.append(energy_of(e, said, weights, n, bits, y))
        odds = torch.tensor(both[0] - both[1], dtype=torch.float64).clamp(-15, 15)
        assert float(scores[n, k]) == pytest.approx(float(odds.sigmoid()))


def test_scores_have_the_gradient_of_their_energies() -> None:
    e, said = make(7)
    start = (said.logits > 0).double()

    def scores(concepts: Tensor) -> Tensor:
        return settle(e, InputEnergies(said.classes, concepts), WEIGHTS, nothing(said), start)

    small = (said.concepts / 10).requires_grad_()
    assert torch.autograd.gradcheck(scores, (small,))


def twins() -> tuple[Energies, InputEnergies]:
    """Two concepts that E_glob wants equal, and an input that knows neither."""
    e = Energies(2, concepts=2, classes=2, dims=4).double().requires_grad_(False)
    for p in e.parameters():
        p.data.zero_()
    e.class_embedding.data[:, 0] = 1.0
    e.concept_embedding.data[:, 1, 0] = 1.0  # present: a one in the first place; absent: nothing
    # p = (c0 - c1, c1 - c0, 0, 0): E_glob = 2 w |c0 - c1|
    e.mixer.data[0, 0, :2] = torch.tensor([1.0, -1.0])
    e.mixer.data[1, 0, :2] = torch.tensor([-1.0, 1.0])
    e.joint_weight.data[:2] = torch.tensor([2.0, 4.0])
    return e, e.of_input(torch.zeros(1, 2, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_fixed_concept_moves_its_twin_unless_the_joint_energy_rounds(value: float) -> None:
    e, said = twins()
    given = fix(said, c0=value)
    for hard in (False, True):
        found = relax(e, said, (0.0, 1.0, 3.0), given, hard=hard)
        scores = settle(e, said, (0.0, 1.0, 3.0), given, found.concepts, hard=hard)
        if hard:
            assert float(found.concepts[0, 1]) == float(scores[0, 1]) == 0.5
        else:
            assert abs(float(scores[0, 1]) - value) < 0.1
            assert abs(float(found.concepts[0, 1]) - value) < 0.1


def test_states_are_all_and_distinct_and_too_many_are_refused() -> None:
    states = all_states(5, 2, torch.zeros(1))
    assert states.shape == (32, 5)
    assert len(states.unique(dim=0)) == 32
    with pytest.raises(InvalidInput, match="20 concepts and 19 classes"):
        all_states(20, 19, torch.zeros(1))


def test_a_doubtful_value_cannot_be_enumerated() -> None:
    e, said = make(8)
    with pytest.raises(InvalidInput, match="given: found a value between 0 and 1"):
        enumerate_all(e, said, WEIGHTS, fix(said, c0=0.5))
