"""Do attributions of a concept lie in its own place?

With A the attribution of a concept's score to the pixels and R the region where the concept is:

    energy      sum over R of |A| / sum of |A|
    pointing    whether the pixel with the largest A is in R
    distance    pixels between that pixel and the annotated point
    rank        share of the |R| highest pixels that are in R
    IoU         of the |R| highest pixels and R

Energy takes signed maps by magnitude; pass `maps.clamp(min=0)` for the positive relevance of
Furby et al. (arXiv 2402.00912). Equal pixels count in reading order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.explain.attribution import Score, attribute, heat
from narrows.measure.importance.checks import as_json
from narrows.measure.locality.regions import check_regions, listing
from narrows.measure.rows import device_of, evaluating
from narrows.model import NarrowModel

_COLUMNS = ("energy", "pointing", "distance", "rank", "iou", "region")


@dataclasses.dataclass(frozen=True)
class MapScores:
    """How well maps agree with regions: `(n, k)` each, NaN where there is nothing to compare.

    Attributes:
        names: of the concepts.
        energy: share of the map's magnitude inside.
        pointing: 1 where the highest pixel is inside.
        distance: pixels from the highest pixel to the point; NaN without points.
        rank: share of the region's size of highest pixels inside.
        iou: of those pixels and the region.
        region: share of the picture inside: what energy, pointing and rank are for a map that
            says nothing.
    """

    names: tuple[str, ...]
    energy: Tensor
    pointing: Tensor
    distance: Tensor
    rank: Tensor
    iou: Tensor
    region: Tensor

    def per_concept(self) -> dict[str, Tensor]:
        """Each score's mean over the rows that have it, `(k,)`; NaN where none has."""
        return {name: getattr(self, name).nanmean(0) for name in _COLUMNS}

    def mean(self) -> dict[str, float]:
        """Each score's mean over all rows and concepts that have it."""
        return {name: float(getattr(self, name).nanmean()) for name in _COLUMNS}

    def __str__(self) -> str:
        return listing(self.names, self.per_concept(), self.mean())

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {"names": list(self.names), **as_json(self.per_concept())}


def map_scores(
    maps: Tensor,
    regions: Tensor,
    *,
    points: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> MapScores:
    """Compare maps with the regions their concepts should come from.

    Memory: about four arrays of the maps' size.

    Args:
        maps: `(n, k, H, W)` attributions, finite.
        regions: `(n, k, H, W)` bool, or `(k, H, W)` where they do not move. An empty region
            means that the concept has no place in that row: nothing is compared.
        points: `(n, k, 2)` row and column of an annotated point, NaN where there is none.
        names: of the concepts.

    Example:
        >>> maps = torch.tensor([[[[3.0, 1.0], [0.0, 0.0]]]])
        >>> found = map_scores(maps, torch.tensor([[[True, False], [False, False]]]))
        >>> found.energy.item(), found.pointing.item(), found.rank.item()
        (0.75, 1.0, 1.0)
    """
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        raise wrong_type("maps", getattr(maps, "dtype", type(maps).__name__), "a floating tensor")
    if maps.ndim != 4 or not maps.numel():
        raise wrong("maps", f"shape {tuple(maps.shape)}", "(n, k, height, width), not empty")
    if not bool(maps.isfinite().all()):
        raise wrong("maps", "a number that is NaN or infinite", "finite numbers")
    n, k, _, width = maps.shape
    regions = check_regions(regions, maps.shape).to(maps.device)
    inside = regions.expand_as(maps).flatten(2)
    flat = maps.detach().flatten(2).double()
    held = inside.double().sum(2)
    energy = flat.abs()
    total = energy.sum(2)
    # Nothing to compare without a region, and nothing said by a map of zeros.
    judged = (held > 0) & (total > 0)
    highest = flat.argmax(2)
    order = flat.sort(dim=2, descending=True, stable=True).indices
    first = torch.arange(flat.shape[2], device=maps.device) < held[..., None]
    both = (inside.gather(2, order) & first).sum(2)
    distance = torch.full_like(total, torch.nan)
    if points is not None:
        if points.shape != (n, k, 2):
            raise wrong("points", f"shape {tuple(points.shape)}", f"({n}, {k}, 2)")
        at = torch.stack([highest // width, highest % width], 2)
        distance = (at - points.to(maps.device)).square().sum(2).sqrt()
    nan = torch.full_like(total, torch.nan)
    columns = {
        "energy": torch.where(inside, energy, 0.0).sum(2) / total,
        "pointing": inside.gather(2, highest[..., None])[..., 0].double(),
        "distance": distance,
        "rank": both / held,
        "iou": both / (2 * held - both),
        "region": held / inside.shape[2],
    }
    columns = {name: torch.where(judged, value, nan) for name, value in columns.items()}
    return MapScores(names=_names(names, k), **columns)


def concept_maps(
    model: NarrowModel,
    x: Tensor,
    units: Sequence[int] | None = None,
    method: str = "integrated_gradients",
    *,
    score: Score | None = None,
    **options: Any,
) -> Tensor:
    """Where in the picture each unit of a model looked, `(n, units, H, W)`; channels are summed.

    See `narrows.explain.attribute` for methods, options and what is refused.

    Args:
        model: of pictures.
        x: `(n, channels, H, W)`.
        units: which; by default all.
        method: how.
        score: from x to `(n, units)`, where the units themselves are too sure to have a gradient:
            for a concept layer `lambda x: model.bottleneck.logits(model.encoder(x))`.
        options: of the method.
    """
    which = range(len(model.bottleneck.names)) if units is None else units
    with evaluating(model):
        x = x.to(device_of(model))
        score = score or (lambda rows: model.read(rows).units)
        return heat(attribute(score, x, which, method, **options))


def _names(names: Sequence[str] | None, k: int) -> tuple[str, ...]:
    found = tuple(str(j) for j in range(k)) if names is None else tuple(names)
    if len(found) != k:
        raise wrong("names", f"{len(found)} names", f"{k}")
    return found
