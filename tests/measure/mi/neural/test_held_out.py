"""Splits, the choice of states, and standard errors, with critics that need no training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from narrows.measure.mi.neural import bounds, held_out
from narrows.measure.mi.neural.critics import Separable, blocks, flat, others
from narrows.measure.mi.neural.training import Settings, fit, split

PARTS = {
    "dv": (bounds.dv, held_out.of_ratio),
    "nwj": (bounds.nwj, held_out.of_nwj),
    "infonce": (bounds.infonce, held_out.of_infonce),
    "club": (bounds.club, held_out.of_club),
}


class Fixed(nn.Module):
    """T(x, y) = scale x y."""

    def __init__(self, seeds: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((seeds, 1, 1), 0.4))

    def forward(self, x: torch.Tensor, y: torch.Tensor, block: int = 0) -> tuple:
        x, y = blocks(x * self.scale, block), blocks(y, block)
        return flat(bounds.pairs(x @ y.mT))

    def partners(self, n: int) -> torch.Tensor:
        return others(n)


def test_each_seed_trains_on_rows_other_than_it_holds_out():
    parts = split(101, 3, torch.Generator().manual_seed(0))
    assert parts.halves[0].shape == (3, 12)
    for seed in range(3):
        every = torch.cat([parts.train[seed], *(half[seed] for half in parts.halves)])
        assert sorted(every.tolist()) == list(range(101))
    assert parts.train[0].tolist() != parts.train[1].tolist()


@pytest.mark.parametrize("name", PARTS)
def test_standard_errors_are_the_spread_over_new_samples(name):
    """300 samples of 400 rows, one seed each, all its rows held out by 50 a half."""
    bound, parts_of = PARTS[name]
    model, values, told = Fixed(1), [], []
    states = (model.state_dict(), model.state_dict())
    generator = torch.Generator().manual_seed(0)
    for draw in range(300):
        x, noise = np.random.default_rng(draw).standard_normal((2, 400, 1))
        rows = tuple(torch.from_numpy(side).float() for side in (x, 0.6 * x + 0.8 * noise))
        found = held_out.score(
            model, states, rows, split(400, 1, generator), bound, parts_of, block=25
        )
        values.append(found.value)
        told.append(found.stderr)
    assert np.mean(told) == pytest.approx(np.std(values), rel=0.15)


def test_a_half_is_scored_with_the_state_that_was_best_on_the_other():
    model = Fixed(2)
    rows = torch.randn(2, 80, 1, generator=torch.Generator().manual_seed(1)).unbind()
    parts = split(80, 2, torch.Generator().manual_seed(2))
    states = tuple({"scale": torch.full((2, 1, 1), scale)} for scale in (0.2, 0.7))
    found = held_out.score(model, states, rows, parts, bounds.dv, held_out.of_ratio, 10)
    wanted = []
    for scale, half in ((0.2, parts.halves[1]), (0.7, parts.halves[0])):
        for seed in range(2):
            x, y = (side[half[seed], 0].double() for side in rows)
            table = scale * x[:, None] * y[None]
            off = ~torch.eye(10, dtype=torch.bool)
            wanted.append(float(table.diagonal().mean() - table[off].exp().mean().log()))
    assert found.value == pytest.approx(np.mean(wanted), abs=1e-6)


def test_the_best_state_of_each_seed_is_kept_for_each_half():
    """A score that prefers small parameters for one seed and large ones for the other."""
    model = Separable(2, 1, 1, 4, torch.Generator().manual_seed(0))
    parts = split(80, 2, torch.Generator().manual_seed(1))
    rows = (torch.zeros(80, 1), torch.zeros(80, 1))
    seen: list[torch.Tensor] = []

    def climb(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return model.left.biases[0].sum((1, 2))

    def score(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        size = model.left.biases[0].sum((1, 2)).detach()
        seen.append(size)
        return size * torch.tensor([1.0, -1.0])

    settings = Settings(2, steps=6, batch=8, every=2)
    first, _ = fit(model, climb, score, rows, parts, settings, torch.Generator().manual_seed(2))
    kept = first["left.biases.0"].sum((1, 2))
    assert float(kept[0]) == pytest.approx(float(seen[-1][0]))
    assert float(kept[1]) == pytest.approx(float(seen[0][1]))
    assert seen[0][0] < seen[-1][0]


def test_training_ends_when_held_out_rows_gain_no_more():
    model, looks = Fixed(1), []

    def score(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        looks.append(1)
        return torch.zeros(1)

    rows = torch.randn(2, 80, 1, generator=torch.Generator().manual_seed(0)).unbind()
    parts = split(80, 1, torch.Generator().manual_seed(0))
    settings = Settings(1, steps=1000, batch=8, every=10, patience=3)
    fit(
        model,
        lambda x, y: bounds.dv(*model(x, y)),
        score,
        rows,
        parts,
        settings,
        torch.Generator().manual_seed(0),
    )
    assert len(looks) == 2 * (1 + 3)  # the look before the first step, and three in vain


@pytest.mark.parametrize(("rows", "most"), [(1250, 512), (512, 512), (513, 512), (7, 512)])
def test_blocks_are_equal_and_leave_out_little(rows, most):
    block = held_out.block_of(rows, most)
    assert block <= most
    assert rows - rows // block * block < math.ceil(rows / most)
