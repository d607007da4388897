"""Policies: which concept should a person correct next?

A policy is one function from a `State` to an order of turns per row. A new one is one more
function under `@policy("name")`; no other place changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from narrows.errors import unknown, wrong
from narrows.measure.corrections import Corrections
from narrows.measure.trial import trials


@dataclasses.dataclass(frozen=True)
class State:
    """What a policy may look at.

    Attributes:
        corrections: the model, its readings, the truth and the turns to be ordered.
        seed: of whatever the policy draws.
    """

    corrections: Corrections
    seed: int = 0

    @cached_property
    def scores(self) -> Tensor:
        """`(n, units)` what the model says, on the scale people speak."""
        return self.corrections.model.bottleneck.scores(self.corrections.reading)

    @property
    def turns(self) -> tuple[tuple[int, ...], ...]:
        """The units that are corrected together."""
        return self.corrections.turns


Order = Callable[[State], Tensor]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy by name, and whether it draws: then it is repeated over seeds."""

    name: str
    order: Order
    draws: bool


_POLICIES: dict[str, Policy] = {}


def policy(name: str, *, draws: bool = False) -> Callable[[Order], Order]:
    """Register the function below as a policy.

    It returns `(n, turns)` int64, for each row a permutation of the turns; an order all rows
    share is one row, expanded.

    Args:
        name: how it is called.
        draws: whether its order depends on the seed.

    Raises:
        InvalidInput: the name is taken.
    """

    def register(order: Order) -> Order:
        if name in _POLICIES:
            raise wrong("policy", f"{name!r} a second time", "a free name")
        _POLICIES[name] = Policy(name, order, draws)
        return order

    return register


def policies() -> tuple[str, ...]:
    """The names of all policies.

    Example:
        >>> policies()
        ('random', 'uncertainty', 'oracle'...)
    """
    return tuple(_POLICIES)


def find(name: str) -> Policy:
    """One policy by name.

    Raises:
        UnknownName: with the nearest names.
    """
    if name not in _POLICIES:
        raise unknown("policy", name, _POLICIES)
    return _POLICIES[name]


@policy("random", draws=True)
def random(state: State) -> Tensor:
    """One random order of the turns, the same for all rows."""
    generator = torch.Generator().manual_seed(state.seed)
    drawn = torch.randperm(len(state.turns), generator=generator)
    return drawn.to(state.corrections.y.device).expand(len(state.corrections), -1)


@policy("uncertainty")
def uncertainty(state: State) -> Tensor:
    """Least certain first: largest 1 / (|p - 0.5| + eps), in a group its largest.

    That is a decreasing function of |p - 0.5|, by which the turns are sorted, first ones first
    where they tie.
    """
    certain = (state.scores - 0.5).abs()
    each = [certain[:, list(units)].amin(1) for units in state.turns]
    return torch.stack(each, 1).sort(dim=1, stable=True).indices


@policy("oracle")
def oracle(state: State) -> Tensor:
    """The greedy skyline: each time the turn that makes the true class most probable.

    It looks at the label and at the truth, so nobody can follow it: it shows what is left to
    gain. Each step tries all turns on all rows: n * turns^2 * classes operations.
    """
    order = []
    for trial in trials(state.corrections):
        for _ in state.turns:
            trial.take(trial.against().argmin(1))
        order.append(torch.stack(trial.taken, 1))
    return torch.cat(order)
