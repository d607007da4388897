"""One training loop for all neural estimators: Adam, all seeds at once, two held-out halves.

Each seed splits the rows anew: most train, and two halves are held out. At each look the state of
a seed is kept where it is the best so far on a half. The value is then taken on the *other* half,
so that choosing the state by its score cannot lift the score that is reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong

Objective = Callable[[Tensor, Tensor], Tensor]
State = dict[str, Tensor]
_HELD, _MOST = 0.25, 5000  # held-out share of the rows, and their largest number
_LEAST = 50  # rows: below it a half would be smaller than six


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        seeds: networks, each with a split of its own; None is 8 from 5,000 rows on, else 4.
        steps: of Adam, at most.
        batch: rows a step.
        rate: learning rate.
        width: of hidden layers.
        seed: of all random choices.
        every: steps between two looks at the held-out rows.
        patience: looks without a better mean after which training ends.
    """

    seeds: int | None = None
    steps: int = 3000
    batch: int = 128
    rate: float = 5e-4
    width: int = 256
    seed: int = 0
    every: int = 50
    patience: int = 5

    def checked(self, n: int) -> Settings:
        """These with `seeds` settled for n rows; refuses what cannot train."""
        if n < _LEAST:
            raise wrong("x", f"{n} rows", f"at least {_LEAST}, to train and to hold out")
        seeds = (8 if n >= 5000 else 4) if self.seeds is None else self.seeds
        for name, value in {**dataclasses.asdict(self), "seeds": seeds}.items():
            if name in ("rate", "seed"):
                continue
            least = 2 if name == "batch" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise wrong(name, repr(value), f"a whole number, {least} or more")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise wrong("seed", repr(self.seed), "a whole number")
        return dataclasses.replace(self, seeds=seeds)

    @property
    def count(self) -> int:
        """The settled number of seeds."""
        return self.seeds or 1

    def told(self) -> dict[str, Any]:
        """The settings a result reports."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of each seed: `train (seeds, n)` and two held-out `halves (seeds, h)`."""

    train: Tensor
    halves: tuple[Tensor, Tensor]


def split(n: int, seeds: int, generator: torch.Generator) -> Split:
    """A split a seed, drawn by the generator."""
    order = torch.rand(seeds, n, generator=generator).argsort(1)
    half = min(int(_HELD * n), _MOST) // 2
    return Split(order[:, 2 * half :], (order[:, :half], order[:, half : 2 * half]))


def fit(
    model: nn.Module,
    objective: Objective,
    score: Objective,
    rows: tuple[Tensor, Tensor],
    parts: Split,
    settings: Settings,
    generator: torch.Generator,
) -> tuple[State, State]:
    """Train and return, for each held-out half, the state that was best on it, seed by seed.

    Args:
        model: parameters lead with the seeds.
        objective: of batches `(seeds, batch, d)` gives `(seeds,)`, to be maximised.
        score: the same on a held-out half, by which states are chosen.
        rows: x `(n, dx)` and y `(n, dy)`.
        parts: which rows train and which are held out.
        settings: of the loop.
        generator: shuffles.
    """
    x, y = rows
    adam = torch.optim.Adam(model.parameters(), lr=settings.rate, fused=True)
    best = [_Best(model), _Best(model)]
    top, waited = -torch.inf, 0
    batches = _batches(parts.train, settings.batch, generator)
    for step in range(settings.steps + 1):
        if step:
            chosen = next(batches)
            adam.zero_grad()
            (-objective(x[chosen], y[chosen]).sum()).backward()
            adam.step()
        if step % settings.every and step != settings.steps:
            continue
        with torch.no_grad():
            found = [score(x[half], y[half]) for half in parts.halves]
        for kept, values in zip(best, found, strict=True):
            kept.see(model, values)
        mean = float(torch.stack(found).mean())
        top, waited = (mean, 0) if mean > top else (top, waited + 1)
        if waited >= settings.patience:
            break
    return best[0].state, best[1].state


class _Best:
    """The best state of each seed so far, by its score."""

    def __init__(self, model: nn.Module) -> None:
        self.state = {name: part.detach().clone() for name, part in model.state_dict().items()}
        self.score: Tensor | None = None

    def see(self, model: nn.Module, values: Tensor) -> None:
        before = torch.full_like(values, -torch.inf) if self.score is None else self.score
        better = values > before
        self.score = torch.where(better, values, before)
        for name, part in model.state_dict().items():
            self.state[name][better] = part[better]


def _batches(train: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless `(seeds, size)` row numbers; each seed meets all its rows before one comes again."""
    size = min(size, train.shape[1])
    while True:
        order = train.gather(1, torch.rand(train.shape, generator=generator).argsort(1))
        for start in range(0, train.shape[1] - size + 1, size):
            yield order[:, start : start + size]
