"""Readings: everything that passes from the first half of a model to the second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor

from narrows.errors import wrong


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a bottleneck lets through.

    Attributes:
        units: `(*batch, n)`, one activation per named unit; or `(*batch, k)` beside `indices`.
        indices: `(*batch, k)` which units, when only k of n are active.
        context: what `write` needs beside the units; counted and sent like them.
        rate: `(*batch,)` nats under the bottleneck's own prior, NaN where it has none.
        penalty: `()` what training adds to the loss.

    Example:
        >>> reading = Reading(torch.tensor([[0.2, 0.9]]))
        >>> reading.rate, reading.penalty
        (tensor([nan]), tensor(0.))
    """

    units: Tensor
    indices: Tensor | None = None
    context: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    rate: Tensor = None  # type: ignore[assignment]  # filled below, never None afterwards
    penalty: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.indices is not None and self.indices.shape != self.units.shape:
            raise wrong(
                "indices", f"shape {tuple(self.indices.shape)}", f"{tuple(self.units.shape)}"
            )
        units = self.units
        dtype = units.dtype if units.is_floating_point() else torch.get_default_dtype()
        if cast("Tensor | None", self.rate) is None:
            nan = torch.full(units.shape[:-1], torch.nan, dtype=dtype, device=units.device)
            object.__setattr__(self, "rate", nan)
        if cast("Tensor | None", self.penalty) is None:
            object.__setattr__(self, "penalty", torch.zeros((), dtype=dtype, device=units.device))

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, index: slice | Tensor) -> Self:
        """Rows of the batch; the penalty belongs to the whole batch and stays."""
        return self._map(lambda t: t[index])

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def detach(self) -> Self:
        """A copy that carries no gradient."""
        return self._map(Tensor.detach).replace(penalty=self.penalty.detach())

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device."""
        return self._map(lambda t: t.to(device)).replace(penalty=self.penalty.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """What `write` uses, by name: this is what is counted and sent."""
        parts = {"units": self.units}
        if self.indices is not None:
            parts["indices"] = self.indices
        return parts | {f"context.{name}": value for name, value in self.context.items()}

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return dataclasses.replace(
            self,
            units=change(self.units),
            indices=None if self.indices is None else change(self.indices),
            context={name: change(value) for name, value in self.context.items()},
            rate=change(self.rate),
        )

    @classmethod
    def cat(cls, readings: list[Self]) -> Self:
        """Join readings of consecutive batches; penalties are averaged by batch size."""
        first = readings[0]
        sizes = [len(r) for r in readings]
        penalty = sum(len(r) * r.penalty for r in readings) / max(sum(sizes), 1)
        return cls(
            units=torch.cat([r.units for r in readings]),
            indices=None
            if first.indices is None
            else torch.cat([r.indices for r in readings if r.indices is not None]),
            context={k: torch.cat([r.context[k] for r in readings]) for k in first.context},
            rate=torch.cat([r.rate for r in readings]),
            penalty=torch.as_tensor(penalty),
        )


@dataclasses.dataclass(frozen=True)
class Output:
    """What a model says.

    Attributes:
        prediction: the head's raw output, for classes `(*batch, classes)` logits.
        reading: what passed the narrow place.
    """

    prediction: Tensor
    reading: Reading


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Where one unit looked.

    Attributes:
        unit: the unit's name.
        kind: `map` (`(batch, height, width)` weights), `example` (`(batch,)` rows of the
            training data it resembles) or `none`.
        value: the tensor the kind describes, or None.
    """

    unit: str
    kind: str = "none"
    value: Tensor | None = None
