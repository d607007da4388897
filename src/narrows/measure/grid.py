"""From what passes a narrow place to integers and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.reading import Reading


@dataclasses.dataclass(frozen=True)
class Grid:
    """Equal steps around a centre, for one tensor of a reading.

    A value u becomes the integer nearest to (u - centre) / pitch.

    Attributes:
        centre: `(d,)` float64.
        pitch: `(d,)` float64, the distance of neighbours.
        exact: whether the tensor held integers only and passes as it is.
    """

    centre: Tensor
    pitch: Tensor
    exact: bool = False

    def symbols(self, values: Tensor) -> Tensor:
        """`(n, ...)` numbers to `(n, d)` int64."""
        return ((values.flatten(1).double() - self.centre) / self.pitch).round().long()

    def restore(self, symbols: Tensor, like: Tensor) -> Tensor:
        """`(n, d)` int64 to numbers of the shape and type of `like`."""
        values = self.centre + self.pitch * symbols
        return values.to(like.dtype).reshape(len(symbols), *like.shape[1:])

    def coarser(self, step: float) -> Grid:
        """The grid with `step` times the pitch; one of integers stays."""
        return self if self.exact else Grid(self.centre, self.pitch * step)


def unit_grid(values: Tensor) -> Grid:
    """The grid of training values `(n, ...)` at step 1.

    Integers are kept as they are. Other numbers are centred on their mean, one pitch to a
    standard deviation; a number that never varies gets pitch 1, and so always the symbol 0.
    """
    flat = values.flatten(1).double()
    exact = bool((flat == flat.round()).all())
    if exact:
        return Grid(torch.zeros_like(flat[0]), torch.ones_like(flat[0]), exact)
    spread = flat.std(0, correction=0)
    rounding = 1e-9 * (1 + flat.abs().amax(0))
    return Grid(flat.mean(0), torch.where(spread > rounding, spread, 1.0))


@dataclasses.dataclass(frozen=True)
class Grids:
    """One grid for each tensor of a reading, by name."""

    grids: Mapping[str, Grid]

    @classmethod
    def fit(cls, reading: Reading) -> Grids:
        """The grids of training readings at step 1.

        Raises:
            InvalidInput: values that are NaN or infinite.
        """
        return cls({name: unit_grid(part) for name, part in _finite(reading).items()})

    @property
    def exact(self) -> bool:
        """Whether everything that passes is an integer."""
        return all(grid.exact for grid in self.grids.values())

    def coarser(self, step: float) -> Grids:
        """All grids at another step."""
        return Grids({name: grid.coarser(step) for name, grid in self.grids.items()})

    def symbols(self, reading: Reading) -> Tensor:
        """`(n, numbers)` int64: all that passes, side by side.

        Raises:
            InvalidInput: values that are NaN or infinite.
        """
        parts = _finite(reading)
        return torch.cat([grid.symbols(parts[name]) for name, grid in self.grids.items()], 1)

    def restore(self, symbols: Tensor, like: Reading) -> Reading:
        """The reading a receiver sees in place of `like`."""
        parts, restored = like.tensors(), {}
        split = symbols.split([len(grid.pitch) for grid in self.grids.values()], 1)
        for (name, grid), some in zip(self.grids.items(), split, strict=True):
            restored[name] = grid.restore(some, parts[name]).to(parts[name].device)
        return like.replace(
            units=restored["units"],
            indices=restored.get("indices"),
            context={name: restored[f"context.{name}"] for name in like.context},
        )


def _finite(reading: Reading) -> dict[str, Tensor]:
    """The tensors of a reading, on the CPU."""
    parts = {name: part.cpu() for name, part in reading.tensors().items()}
    for name, part in parts.items():
        if not bool(part.isfinite().all()):
            raise wrong(f"model: {name}", "NaN or infinite values", "finite values")
    return parts
