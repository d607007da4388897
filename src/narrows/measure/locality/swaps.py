"""Does a concept's score change only with its own place?

Pixels are replaced by those of another row, and the score is read again. With u the score of the
row and v that of the other row:

    leakage     mean |u - score(other row's pixels outside the region)|      ideal 0
    change      mean |u - score(other row's pixels inside the region)|       ideal: the full change
    full        mean |u - v|

Swaps need no gradient and cannot be fooled by an attribution that looks plausible: they are the
primary test of locality. Where regions move from row to row, the other row shows at the same
pixels whatever it has there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong
from narrows.measure.importance.checks import as_json
from narrows.measure.locality.regions import check_regions, listing
from narrows.measure.rows import device_of, evaluating
from narrows.model import NarrowModel

_NUMBERS = 2**22  # inputs in one piece: 16 MiB of float32, beside what the network keeps


@dataclasses.dataclass(frozen=True)
class Swaps:
    """How much each concept's score changes when pixels are replaced, `(k,)` means.

    Attributes:
        names: of the concepts.
        leakage: with other pixels outside the region.
        change: with other pixels inside.
        full: with all pixels of the other row.
        rows: `(k,)` pairs of rows that were compared.
    """

    names: tuple[str, ...]
    leakage: Tensor
    change: Tensor
    full: Tensor
    rows: Tensor

    @property
    def relative_leakage(self) -> float:
        """Leakage of all concepts as a share of the full change; NaN if nothing ever changes."""
        return float(self.leakage.nansum() / self.full.nansum())

    @property
    def relative_change(self) -> float:
        """Change of all concepts as a share of the full change."""
        return float(self.change.nansum() / self.full.nansum())

    def __str__(self) -> str:
        columns = {"leakage": self.leakage, "change": self.change, "full": self.full}
        text = listing(self.names, columns, {k: float(v.nanmean()) for k, v in columns.items()})
        shares = f"leakage {self.relative_leakage:.3f}, change {self.relative_change:.3f}"
        return f"{text}\nas a share of the full change: {shares}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        columns = {k: as_json(v) for k, v in vars(self).items()}
        shares = {
            "relative_leakage": as_json(self.relative_leakage),
            "relative_change": as_json(self.relative_change),
        }
        return columns | shares


@torch.no_grad()
def swap(
    model: NarrowModel,
    examples: Examples,
    regions: Tensor,
    *,
    units: Sequence[int] | None = None,
    seed: int = 0,
) -> Swaps:
    """Replace pixels inside and outside each concept's region by those of another row.

    Every row is paired with another one, by one random cycle through all rows. Concepts with
    the same regions share their forward passes: two for each region, and one of the rows as
    they are.

    Args:
        model: of pictures.
        examples: at least two rows, x `(n, channels, H, W)`.
        regions: `(n, k, H, W)` bool, or `(k, H, W)` where they do not move, one per unit; an
            empty region leaves the row out.
        units: which units the k regions belong to; by default all.
        seed: of the pairs.

    Raises:
        InvalidInput: fewer than two rows, or regions of another shape.
    """
    which = list(range(len(model.bottleneck.names)) if units is None else units)
    n = len(examples)
    if n < 2 or len(examples.x.shape) != 4:
        raise wrong("examples", f"x of shape {tuple(examples.x.shape)}", "at least 2 pictures")
    if not which or any(not 0 <= u < len(model.bottleneck.names) for u in which):
        raise wrong("units", tuple(which), f"places in 0..{len(model.bottleneck.names) - 1}")
    regions = check_regions(regions, (n, len(which), *examples.x.shape[2:]))
    other = _cycle(n, seed)
    distinct, own = _distinct(regions)
    device = device_of(model)
    sums = torch.zeros(3, len(which), dtype=torch.float64)
    count = torch.zeros(len(which), dtype=torch.int64)
    with evaluating(model):
        numbers = 3 * examples.x[torch.arange(1)].numel()
        for rows in torch.arange(n).split(max(1, _NUMBERS // numbers)):
            x, y = examples.x[rows].to(device), examples.x[other[rows]].to(device)
            scores = [_scores(model, part)[:, which] for part in (x, y)]
            for r in range(distinct.shape[1]):
                mine = (own == r).nonzero().flatten()
                here = distinct[rows if len(distinct) > 1 else slice(None), r]
                inside = here[:, None].to(device)
                some = here.flatten(1).any(1).expand(len(rows))
                swapped = (
                    _scores(model, torch.where(inside, x, y)),
                    _scores(model, torch.where(inside, y, x)),
                )
                told = [s[:, which][:, mine] for s in swapped] + [scores[1][:, mine]]
                for row, said in enumerate(told):
                    gap = (said - scores[0][:, mine]).abs()[some.to(device)]
                    sums[row, mine] += gap.double().sum(0).cpu()
                count[mine] += int(some.sum())
    leakage, change, full = sums / count
    names = tuple(model.bottleneck.names[u] for u in which)
    return Swaps(names, leakage, change, full, count)


def _scores(model: NarrowModel, x: Tensor) -> Tensor:
    return model.bottleneck.scores(model.read(x))


def _cycle(n: int, seed: int) -> Tensor:
    """`(n,)` another row for each row: one random cycle, so that nobody meets itself."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(-1)
    return other


def _distinct(regions: Tensor) -> tuple[Tensor, Tensor]:
    """Regions that differ `(n or 1, r, H, W)`, and for each concept which is its own."""
    found, own = regions.transpose(0, 1).flatten(1).unique(dim=0, return_inverse=True)
    return found.unflatten(1, (regions.shape[0], *regions.shape[2:])).transpose(0, 1), own
