"""What a policy may look at when it orders corrections."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import unknown, wrong
from narrows.measure.corrections import Corrections, prepare
from narrows.measure.rows import matched
from narrows.model import NarrowModel

Costs = Mapping[str, float] | Sequence[float] | Tensor


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Validation rows, read once, when the first policy asks for them."""

    model: NarrowModel
    examples: Examples

    @cached_property
    def ready(self) -> Corrections:
        """What could be corrected in them."""
        return prepare(self.model, self.examples)


@dataclasses.dataclass(frozen=True)
class State:
    """What a policy may look at.

    Attributes:
        corrections: the model, its readings, the truth and the turns to be ordered.
        seed: of whatever the policy draws.
        costs: `(turns,)` float64, what each turn costs; None where all cost the same.
        held_out: validation rows, for policies that learn from rows with known truth.
    """

    corrections: Corrections
    seed: int = 0
    costs: Tensor | None = None
    held_out: HeldOut | None = None

    @cached_property
    def scores(self) -> Tensor:
        """`(n, units)` what the model says, on the scale people speak."""
        return self.corrections.model.bottleneck.scores(self.corrections.reading)

    @property
    def turns(self) -> tuple[tuple[int, ...], ...]:
        """The units that are corrected together."""
        return self.corrections.turns

    def validation(self, most: int | None = None) -> Corrections:
        """The validation rows, read; at most so many of them, spaced evenly.

        Raises:
            InvalidInput: there are none, or their concepts make other turns.
        """
        if self.held_out is None:
            raise wrong("validation", "None", "validation rows for this policy to learn from")
        ready = self.held_out.ready
        if ready.turns != self.turns:
            raise wrong(
                "validation",
                f"concepts for {len(ready.turns)} turns",
                f"the {len(self.turns)} turns of the examples: the same concepts",
            )
        if most is None or len(ready) <= most:
            return ready
        return ready.take(torch.linspace(0, len(ready) - 1, most).round().long())


def turn_costs(costs: Costs, corrections: Corrections, examples: Examples) -> Tensor:
    """`(turns,)` float64: a turn costs what its concepts cost together.

    Args:
        costs: `{concept: cost}` with every concept, or one number per concept in their order.
        corrections: the turns.
        examples: whose concepts they are.

    Raises:
        UnknownName: a name that is no concept.
        InvalidInput: not one finite cost >= 0 per concept, or turns that cost nothing at all.

    Example:
        >>> from narrows.data.record import Concepts
        >>> from narrows.bottleneck import IdentityBottleneck
        >>> from narrows.heads import LinearHead
        >>> from narrows.model import NarrowModel
        >>> model = NarrowModel(torch.nn.Identity(), IdentityBottleneck(2), LinearHead(2, 2))
        >>> rows = Examples(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), (0, 1),
        ...                 Concepts(("h0", "h1")))
        >>> turn_costs({"h1": 2, "h0": 0.5}, prepare(model, rows), rows)
        tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    names = examples.concepts.names
    each = _by_name(costs, names) if isinstance(costs, Mapping) else costs
    prices = torch.as_tensor(each, dtype=torch.float64).cpu()
    if prices.shape != (len(names),):
        raise wrong("costs", f"shape {tuple(prices.shape)}", f"one per concept: ({len(names)},)")
    for name, price in zip(names, prices.tolist(), strict=True):
        if not (math.isfinite(price) and price >= 0):
            raise wrong(f"costs[{name!r}]", price, "a finite number >= 0")
    pairs = matched(corrections.model.bottleneck.names, examples)
    total = [
        sum(float(prices[pairs[unit]]) for unit in turn if unit in pairs)
        for turn in corrections.turns
    ]
    if not sum(total):
        raise wrong("costs", "0 for all turns", "a turn that costs something")
    return torch.tensor(total, dtype=torch.float64, device=corrections.y.device)


def _by_name(costs: Mapping[str, float], names: Sequence[str]) -> list[float]:
    for name in costs:
        if name not in names:
            raise unknown("costs", name, names)
    missing = [name for name in names if name not in costs]
    if missing:
        raise wrong("costs", f"no cost of {missing[0]!r}", "a cost of each concept")
    return [costs[name] for name in names]
