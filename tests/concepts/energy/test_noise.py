"""The noise of training: symmetric, and the contrast finds the joint distribution."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from narrows.concepts.energy.energies import Energies
from narrows.concepts.energy.noise import contrast, disturbed, flipped, rivals
from narrows.train import isolated

TURNS = ((0, 1, 2), (3,))


@pytest.fixture(autouse=True)
def _stream() -> Iterator[None]:
    with isolated(0, "noise"):
        yield


def test_a_fifth_of_the_rows_has_a_fifth_of_the_concepts_flipped() -> None:
    c = torch.rand(20_000, 10).round()
    changed = flipped(c) != c
    assert changed.any(1).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert changed.any(0).sum() == 2
    assert changed.sum(1).unique().tolist() == [0, 2]


def test_noise_is_as_likely_backwards() -> None:
    """Counts of a -> b and b -> a agree, for all pairs of small concept vectors."""
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    moves: Counter[tuple[int, int]] = Counter()
    place = (2 ** torch.arange(3, -1, -1)).float()
    new = disturbed(states, TURNS, count=40_000)
    for start in range(16):
        for end, times in Counter((new[:, start] @ place).long().tolist()).items():
            moves[start, end] = times
    for a, b in itertools.combinations(range(16), 2):
        there, back = moves[a, b], moves[b, a]
        assert abs(there - back) <= 5 * (there + back) ** 0.5 + 1


def test_noise_can_move_the_one_of_a_group() -> None:
    new = disturbed(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), TURNS, count=2000)[:, 0]
    seen = set(map(tuple, new.tolist()))
    assert {(0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 1.0)} <= seen


def test_the_contrast_is_its_definition() -> None:
    e = Energies(2, concepts=4, classes=3, dims=5).requires_grad_(False)
    c, y = torch.rand(6, 4).round(), torch.arange(6) % 3
    others = rivals(c, TURNS, count=7)
    wanted = 0.0
    for n in range(6):
        rows = torch.cat([c[n : n + 1], others[:, n]])
        wanted += float(e.joint(rows)[:, y[n]].neg().log_softmax(0)[0].neg()) / 6
    assert float(contrast(e, c, y, others)) == pytest.approx(wanted, rel=1e-5)


def test_both_losses_together_learn_the_joint_distribution() -> None:
    """A planted p(c, y) over 8 concept vectors and 2 classes comes back from exp(-E_glob)."""
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    p = torch.rand(16).softmax(0).square()
    p = p / p.sum()
    rows = torch.multinomial(p, 20_000, replacement=True)
    c, y = states[rows // 2], rows % 2
    e = Energies(2, concepts=3, classes=2, dims=32)
    adam = torch.optim.Adam(e.parameters(), 1e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 800)
    turns = ((0,), (1,), (2,))
    for _ in range(800):
        some = torch.randint(len(c), (256,))
        label = torch.nn.functional.cross_entropy(-e.joint(c[some]), y[some])
        loss = label + contrast(e, c[some], y[some], rivals(c[some], turns, count=8))
        adam.zero_grad()
        loss.backward()
        adam.step()
        slower.step()
    with torch.no_grad():
        found = (-e.joint(states)).flatten().softmax(0)
    assert float((found - p).abs().sum() / 2) < 0.05
