"""Do concepts look at their own pixels? Attributions and swaps of one model, in one table.

The protocol of Furby, Cunnington, Braines, Preece (2024, arXiv 2402.00912), with A+ the positive
part of a concept's attribution and R the region where the concept is:

    mass         sum over R of A+ / sum of A+
    rank         share of the |R| highest pixels that lie in R
    pointing     whether the highest pixel lies in R
    distance     pixels from the highest pixel to the concept's point
    elsewhere    sum of A+ over the places of other concepts that are present / sum of A+
    region       |R| / |picture|: what mass, rank and pointing are for a map that says nothing
    leakage      how far the score moves when pixels outside R are another row's, as a share of how
                 far it moves when all pixels are; ideally 0
    change       the same of pixels inside R; ideally 1

The first six are means over the rows where a concept is present and predicted so (at one half, on
the scale of `Bottleneck.scores`); the last two over all rows in which it has a region. Swaps are
the primary test: a plausible map can come from a model that looks elsewhere. Where concepts
exclude one another, evidence against the others lies in their places, so mass stays below 1 even
for a model that is right: compare with a model that reads R alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import InvalidInput, wrong
from narrows.explain.attribution import Score
from narrows.measure.locality import concept_maps, map_scores, swap
from narrows.measure.rows import device_of, evaluating, matched
from narrows.model import NarrowModel

_MAPS = ("mass", "rank", "pointing", "distance", "elsewhere", "region")
_SWAPS = ("leakage", "change")
_NUMBERS = 2**22  # numbers of one piece of maps: 16 MiB of float32
_NOTED = 3  # names that a note gives


@dataclasses.dataclass(frozen=True)
class Audit:
    """Where concepts come from; `print` shows the means, `per_concept()` every number.

    Attributes:
        names: of the concepts.
        scores: method to score to `(k,)`; NaN where there was nothing to judge.
        judged: `(k,)` rows where the concept is present and predicted so.
        notes: what could not be judged, and why.
    """

    names: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Tensor]]
    judged: Tensor
    notes: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """One row a method: each score's mean over the concepts that have it, None without."""
        return [
            {"method": method, **{name: _mean(value) for name, value in columns.items()}}
            for method, columns in self.scores.items()
        ]

    def per_concept(self) -> list[dict[str, Any]]:
        """One row a concept and method."""
        return [
            {
                "concept": name,
                "method": method,
                "judged": int(self.judged[j]),
                **{score: _number(float(value[j])) for score, value in columns.items()},
            }
            for j, name in enumerate(self.names)
            for method, columns in self.scores.items()
        ]

    def compare(self, other: Audit) -> list[dict[str, Any]]:
        """This audit beside another one, over the concepts that both could judge.

        Returns:
            One row a method and score: both means, their difference (this minus the other) and
            how many concepts it is over.

        Raises:
            InvalidInput: audits of other concepts.
        """
        if other.names != self.names:
            raise wrong("other", f"{len(other.names)} concepts", f"the same {len(self.names)}")
        rows = []
        for method in [m for m in self.scores if m in other.scores]:
            for score, mine in self.scores[method].items():
                theirs = other.scores[method][score]
                both = mine.isfinite() & theirs.isfinite()
                first, second = _mean(mine[both]), _mean(theirs[both])
                gap = None if first is None or second is None else first - second
                rows.append(
                    {"method": method, "score": score, "this": first, "other": second,
                     "difference": gap, "concepts": int(both.sum())}
                )  # fmt: skip
        return rows

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {
            "table": self.table(),
            "concepts": self.per_concept(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{len(self.names)} concepts, {int(self.judged.sum())} times present and said so"]
        for row in self.table():
            lines.append(f"{row.pop('method')}")
            lines += [f"  {name:<10} {_shown(value)}" for name, value in row.items()]
        return "\n".join([*lines, *self.notes])


def audit(
    model: NarrowModel,
    examples: Examples,
    regions: Tensor | None,
    methods: Sequence[str] = ("integrated_gradients", "swap"),
    *,
    points: Tensor | None = None,
    score: Score | None = None,
    seed: int = 0,
    **options: Any,
) -> Audit:
    """Judge where each concept of a model comes from.

    Memory: 2^22 numbers of maps at a time, and what the network keeps of 2^22 inputs.

    Args:
        model: of pictures; its units are matched with the data's concepts by name.
        examples: rows `(n, channels, H, W)` with concepts.
        regions: `(n, k, H, W)` bool, or `(k, H, W)` where they do not move: one per concept of
            the data, empty where it has no place.
        methods: `swap`, and those of `narrows.explain.attribute`.
        points: `(n, k, 2)` row and column of an annotated point, NaN where there is no one point.
        score: as in `concept_maps`; concept logits where probabilities are too sure.
        seed: of the pairs of rows that swap pixels.
        options: of the attributions, as `steps`.

    Raises:
        InvalidInput: no regions or regions of another shape, rows without concepts, or only
            methods that need a gradient for a model that has none. With `swap` among the methods
            such a model is judged by that alone, and a note says so.

    Example:
        >>> from narrows.concepts import CBM
        >>> from narrows.data import digit_hands, hand_regions
        >>> hands = digit_hands(sizes=(60, 20, 20))
        >>> model = CBM("independent", epochs=1).fit(hands).model_
        >>> found = audit(model, hands.test, hand_regions(hands.test), ["swap"])
        >>> list(found.table()[0])
        ['method', 'leakage', 'change']
    """
    units = matched(model.bottleneck.names, examples)
    columns = torch.tensor(list(units.values()))
    names = tuple(model.bottleneck.names[u] for u in units)
    if regions is None:
        raise wrong(
            "regions", "no masks", "(n, k, height, width) bool: where each concept is in each row"
        )
    if not methods:
        raise wrong("methods", "none", "'swap', 'integrated_gradients', ...")
    wide = regions if regions.ndim == 4 else regions[None]
    if wide.shape[1:2] != (len(examples.concepts),):
        wanted = f"one for each of {len(examples.concepts)} concepts"
        raise wrong("regions", f"shape {tuple(regions.shape)}", wanted)
    wide = wide[:, columns]
    if points is not None:
        points = points[:, columns]
    present = (examples.c[:, columns] > 0.5).cpu()  # type: ignore[index]  # matched made sure
    said = _said(model, examples)[:, list(units)] >= 0.5
    judged = present & said
    notes = _notes(names, present, judged, wide)
    found: dict[str, dict[str, Tensor]] = {}
    for method in methods:
        if method == "swap":
            swaps = swap(model, examples, wide if len(wide) > 1 else wide[0], units=list(units),
                         seed=seed)  # fmt: skip
            found[method] = {name: getattr(swaps, name) / swaps.full for name in _SWAPS}
        elif _differentiable(model, examples, score):
            maps = _judge(
                model, examples, wide, present, judged, points, method, score, list(units), options
            )
            found[method] = maps
        elif "swap" in methods:
            notes.append(f"{method}: the model has no gradient to its pixels; judged by swap alone")
        else:
            raise InvalidInput(
                f"methods: found {method!r} for a model without a gradient to its pixels, "
                "wanted 'swap', which needs none"
            )
    return Audit(names, found, judged.sum(0), tuple(notes))


def _said(model: NarrowModel, examples: Examples) -> Tensor:
    with evaluating(model):
        return torch.cat(
            [
                model.bottleneck.scores(model.read(examples.x[rows].to(device_of(model)))).cpu()
                for rows in torch.arange(len(examples)).split(1024)
            ]
        )


def _differentiable(model: NarrowModel, examples: Examples, score: Score | None) -> bool:
    """Whether the scores depend on the pixels through a gradient."""
    with evaluating(model), torch.enable_grad():
        x = examples.x[torch.arange(1)].to(device_of(model)).requires_grad_()
        said = model.read(x).units if score is None else score(x)
        if not said.requires_grad:
            return False
        (slope,) = torch.autograd.grad(said.sum(), x, allow_unused=True)
    return slope is not None


def _judge(
    model: NarrowModel,
    examples: Examples,
    regions: Tensor,
    present: Tensor,
    judged: Tensor,
    points: Tensor | None,
    method: str,
    score: Score | None,
    units: list[int],
    options: dict[str, Any],
) -> dict[str, Tensor]:
    """`(k,)` of every score of maps; a concept is attributed in its judged rows only."""
    k = len(units)
    sums = {name: torch.full((k,), torch.nan, dtype=torch.float64) for name in _MAPS}
    every = regions.expand(len(examples), -1, -1, -1)
    size = max(1, _NUMBERS // every[0].numel())
    for j, unit in enumerate(units):
        parts: dict[str, list[Tensor]] = {name: [] for name in _MAPS}
        # Splitting nothing gives one empty piece.
        for rows in filter(len, judged[:, j].nonzero().flatten().split(size)):
            maps = concept_maps(
                model, examples.x[rows], [unit], method, score=score, **options
            ).clamp(min=0).cpu()  # fmt: skip
            own = every[rows, j][:, None]
            point = None if points is None else points[rows, j][:, None]
            told = map_scores(maps, own, points=point)
            shown = (every[rows] & present[rows][:, :, None, None]).any(1, keepdim=True)
            other = torch.where(shown & ~own, maps, 0.0).flatten(1).double().sum(1)
            share = other / maps.flatten(1).double().sum(1)
            parts["mass"].append(told.energy[:, 0])
            parts["elsewhere"].append(torch.where(told.energy[:, 0].isnan(), torch.nan, share))
            for name in ("rank", "pointing", "distance", "region"):
                parts[name].append(getattr(told, name)[:, 0])
        for name, values in parts.items():
            if values:
                sums[name][j] = torch.cat(values).nanmean()
    return sums


def _notes(names: tuple[str, ...], present: Tensor, judged: Tensor, regions: Tensor) -> list[str]:
    """What cannot be judged, by name."""
    placed = regions.flatten(2).any(2)
    lost = (present & ~placed).any(0)
    kinds = {
        "never present in these rows": ~present.any(0),
        "present, but never predicted so": present.any(0) & ~judged.any(0),
        "present without a mask in some rows, which are left out": lost,
    }
    found = []
    for kind, some in kinds.items():
        which = [repr(names[j]) for j in some.nonzero().flatten().tolist()]
        if which:
            more = f" and {len(which) - _NOTED} more" if len(which) > _NOTED else ""
            found.append(f"{kind}: {', '.join(which[:_NOTED])}{more}")
    return found


def _mean(values: Tensor) -> float | None:
    known = values[values.isfinite()]
    return float(known.mean()) if len(known) else None


def _number(value: float) -> float | None:
    return value if value == value else None


def _shown(value: float | None) -> str:
    return "    -" if value is None else f"{value:.3f}"
