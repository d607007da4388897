"""Where in the picture does a concept fire, and is that the place people point at?

The third score (CLM) of Aysel, Cai, Prügel-Bennett, "Concept-Based XAI: Metrics and Benchmarks"
(2025), arXiv 2501.19271: of the l most important concepts that have a place in the picture, the
share whose place is among the A highest pixels of their map (`activation_map`, or any other).

The paper's A is alpha / 12 of the pixels, alpha 1, 3, 6 (a bird has 12 annotated parts). A is met
exactly: equal pixels count in reading order. A row with fewer than l places is divided by those
it has. The formulas are from the paper; no code of it was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.importance.activation import check_maps, enlarge
from narrows.measure.importance.checks import as_json, check_mask, table
from narrows.measure.importance.top import TopShare, check_top, judge, ranked

_PIXELS = 2**21  # of enlarged maps in one piece: 16 MiB of float64


@dataclasses.dataclass(frozen=True)
class Location:
    """How often maps are right about the place, for each area.

    Attributes:
        areas: shares of the picture that the highest pixels may cover.
        pixels: the same as a number of pixels.
        by_area: one `TopShare` per area, with its baselines: `chance` (any order of the pixels),
            `centre` (the pixels nearest to the middle) and, where objects were given, `object`
            (any pixels of the whole object first).
    """

    areas: tuple[float, ...]
    pixels: tuple[int, ...]
    by_area: tuple[TopShare, ...]

    def __str__(self) -> str:
        parts = zip(self.areas, self.pixels, self.by_area, strict=True)
        return "\n\n".join(f"area {a:.3g} ({n} pixels)\n{found}" for a, n, found in parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        by_area: list[Mapping[str, Any]] = [found.to_dict() for found in self.by_area]
        return {"areas": as_json(self.areas), "pixels": as_json(self.pixels), "by_area": by_area}


def location(
    maps: Tensor,
    points: Tensor,
    importance: Tensor,
    size: tuple[int, int],
    *,
    areas: Sequence[float] = (1 / 12, 3 / 12, 6 / 12),
    top: Sequence[int] = (1, 3, 5),
    objects: Tensor | None = None,
) -> Location:
    """Are the most important concepts found where they are?

    Only the maps of each row's most important concepts are enlarged, a few rows at a time.
    Memory: a few arrays of `n` times concepts, and 2^21 pixels.

    Args:
        maps: `(n, concepts, H, W)`, see `activation_map`.
        points: `(n, concepts, 2)` row and column of each concept in the picture, in pixels; NaN
            where it has no place.
        importance: `(n, concepts)`, see `local_importance`.
        size: height and width of the picture.
        areas: shares of the picture in (0, 1].
        top: how many concepts, each at most all of them.
        objects: `(n, height, width)` bool, where the whole object is.

    Raises:
        InvalidInput: shapes that differ, points outside the picture, by row and concept.

    Example:
        >>> maps = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
        >>> point = torch.tensor([[[0.0, 1.0]]])
        >>> found = location(maps, point, torch.ones(1, 1), (2, 2), areas=(0.25,), top=(1,))
        >>> found.by_area[0].share.item(), found.by_area[0].baselines["chance"].item()
        (1.0, 0.25)
    """
    check_maps("maps", maps, "(n, concepts, H, W)")
    n, concepts = maps.shape[:2]
    maps = maps.detach().cpu()
    pixels = _counts(areas, size)
    at = _pixels_of(points, (n, concepts), size)
    importance = table("importance", importance, (n, concepts))
    top = check_top(top, concepts)
    chosen, valid = ranked(importance, at[..., 0] >= 0, max(top))
    rows = torch.arange(n)[:, None].expand_as(chosen)[valid]
    places = at[rows, chosen[valid]]
    ranks = {"maps": _ranks(maps, rows, chosen[valid], places, size)}
    ranks["centre"] = _centre(size)[places[:, 0], places[:, 1]]
    hits = {name: (rank[:, None] < torch.tensor(pixels)).double() for name, rank in ranks.items()}
    hits["chance"] = (torch.tensor(pixels).double() / (size[0] * size[1])).expand(len(rows), -1)
    if objects is not None:
        objects = check_mask("objects", objects, (n, *size))
        hits["object"] = _object(objects, rows, places, torch.tensor(pixels))
    shares = {name: _by_area(right, valid, top) for name, right in hits.items()}
    found = []
    for area, share in enumerate(shares.pop("maps")):
        baselines = {name: others[area].share for name, others in shares.items()}
        found.append(dataclasses.replace(share, baselines=baselines))
    return Location(tuple(areas), pixels, tuple(found))


def _by_area(right: Tensor, valid: Tensor, top: tuple[int, ...]) -> list[TopShare]:
    """From `(places, areas)` to one result per area."""
    spread = right.new_zeros(*valid.shape, right.shape[1])
    spread[valid] = right
    return [judge(spread[..., area], valid, top) for area in range(right.shape[1])]


def _ranks(
    maps: Tensor, rows: Tensor, concepts: Tensor, places: Tensor, size: tuple[int, int]
) -> Tensor:
    """`(m,)` how many pixels of the enlarged map come before the place: no sort is needed."""
    parts = [torch.zeros(0, dtype=torch.int64)]
    for piece in _pieces(len(rows), size[0] * size[1]):
        large = enlarge(maps[rows[piece], concepts[piece]][:, None].double(), size)[:, 0].flatten(1)
        index = places[piece] @ torch.tensor([size[1], 1])
        value = large.gather(1, index[:, None])
        before = (large == value) & (torch.arange(large.shape[1]) < index[:, None])
        parts.append(((large > value) | before).sum(1))
    return torch.cat(parts)


def _centre(size: tuple[int, int]) -> Tensor:
    """`size`: the rank of each pixel by its distance to the middle."""
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in size)
    distance = (y.square()[:, None] + x.square()).flatten()
    ranks = torch.empty_like(distance, dtype=torch.int64)
    ranks[distance.sort(dim=0, stable=True).indices] = torch.arange(len(distance))
    return ranks.unflatten(0, size)


def _object(objects: Tensor, rows: Tensor, places: Tensor, pixels: Tensor) -> Tensor:
    """`(m, areas)` chance to cover the place with any pixels of the object, then any others."""
    inside = objects[rows, places[:, 0], places[:, 1]][:, None]
    held = objects.flatten(1).double().sum(1)[rows][:, None]
    others = objects[0].numel() - held
    first = (pixels / held).clamp(max=1)
    then = ((pixels - held) / others).clamp(min=0)
    return torch.where(inside, first, then)


def _pieces(rows: int, pixels: int) -> Iterator[Tensor]:
    return iter(torch.arange(rows).split(max(1, _PIXELS // pixels)))


def _counts(areas: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    if len(size) != 2 or any(not isinstance(n, int) or n < 1 for n in size):
        raise wrong("size", size, "height and width in pixels")
    if not len(areas) or any(not 0 < a <= 1 for a in areas):
        raise wrong("areas", tuple(areas), "shares of the picture in (0, 1]")
    return tuple(max(1, round(a * size[0] * size[1])) for a in areas)


def _pixels_of(points: Tensor, shape: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Whole rows and columns `(n, concepts, 2)`; -1 where there is no place."""
    points = table("points", points, (*shape, 2), unknown_allowed=True)
    missing = points.isnan()
    halves = missing.any(-1) != missing.all(-1)
    limits = torch.tensor(size, dtype=points.dtype)
    outside = ((points < 0) | (points >= limits)).any(-1) | halves
    if bool(outside.any()):
        row, concept = outside.nonzero()[0].tolist()
        where = f"points[{row}, {concept}]"
        raise wrong(where, points[row, concept].tolist(), f"a pixel inside {size}, or two NaN")
    return torch.where(missing, -1.0, points).floor().long()
