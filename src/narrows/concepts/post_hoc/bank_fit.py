"""Fit the hyperplanes of a concept bank, choose their C, and say how well they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from narrows.errors import wrong, wrong_type
from narrows.functional.cav import COSTED, Directions, fit_directions, signed_distances

COSTS = (0.001, 0.01, 0.1, 1.0, 10.0)  # the paper's grid of C
_COST = 0.1  # where nothing can choose
_LEAST = 2  # examples of each kind that a concept needs

Rows = tuple[Tensor, Tensor]  # features (n, D) and labels (n, k)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Hyperplanes `(k, D)`, `(k,)` and what is known of each, `(k,)` by name."""

    vectors: Tensor
    biases: Tensor
    facts: Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How directions are fitted.

    Attributes:
        kind: see `functional.cav.fit_directions`.
        cost: C; None chooses it on held rows.
        unit_norm: whether features are scaled to unit length first.
    """

    kind: str
    cost: float | None
    unit_norm: bool

    def prepare(self, rows: Rows) -> Rows:
        """The rows as they are compared."""
        return (normalize(rows[0], dim=1), rows[1]) if self.unit_norm else rows


def enough(c: Tensor) -> Tensor:
    """`(k,)` whether each concept has two examples of either kind among labels `(n, k)`."""
    return ((c > 0.5).sum(0) >= _LEAST) & ((c < 0.5).sum(0) >= _LEAST)


def fit_bank(rows: Rows, names: Sequence[str], recipe: Recipe, held: Rows | None) -> Fitted:
    """One hyperplane a name, by the C that is right most often on the held rows.

    Raises:
        InvalidInput: too few examples of a concept, or features that do not tell them apart.
    """
    h, c = recipe.prepare(rows)
    held = None if held is None else recipe.prepare(held)
    if c.ndim != 2 or len(names) != c.shape[1]:
        raise wrong("names", f"{len(names)} for labels {tuple(c.shape)}", "one a column of labels")
    if len(poor := (~enough(c)).nonzero()):
        j = int(poor[0])
        count = f"{int((c[:, j] > 0.5).sum())} positive and {int((c[:, j] < 0.5).sum())} negative"
        raise wrong("examples", f"{count} of {names[j]!r}", f"at least {_LEAST} of each")
    if recipe.cost is not None or recipe.kind not in COSTED:
        return _fit(h, c, names, recipe.kind, recipe.cost or _COST, held)
    if held is None:
        return _fit(h, c, names, recipe.kind, _COST, None)
    best = _fit(h, c, names, recipe.kind, COSTS[0], held)
    for cost in COSTS[1:]:
        best = _better(best, _fit(h, c, names, recipe.kind, cost, held))
    return best


def fit_sets(
    sets: Mapping[str, tuple[Any, Any]],
    embed: Callable[[Any], Tensor] | None,
    recipe: Recipe,
    held: float,
    generator: torch.Generator | None,
) -> Fitted:
    """One hyperplane a concept, each from positive and negative examples of its own."""
    if not 0 <= held < 1:
        raise wrong("held", held, "a share in [0, 1)")
    if not sets:
        raise wrong("sets", "no concept", "at least one")
    fits = []
    for name, kinds in sets.items():
        parts = [_features(name, part, embed) for part in kinds]
        kept, aside = zip(*(_parted(part, held, generator) for part in parts), strict=True)
        rest = _labelled(aside) if all(len(part) for part in aside) else None
        fits.append(fit_bank(_labelled(kept), [name], recipe, rest))
    _one_width([fit.vectors for fit in fits])
    keys = [key for key in fits[0].facts if all(key in fit.facts for fit in fits)]
    return Fitted(
        torch.cat([fit.vectors for fit in fits]),
        torch.cat([fit.biases for fit in fits]),
        {key: torch.cat([fit.facts[key] for fit in fits]) for key in keys},
    )


def _fit(
    h: Tensor, c: Tensor, names: Sequence[str], kind: str, cost: float, held: Rows | None
) -> Fitted:
    found: Directions = fit_directions(h, c, kind, cost=cost)
    if not found.defined.all():
        name = names[int((~found.defined).nonzero()[0])]
        raise wrong("examples", f"features alike for all of {name!r}", "features that differ")
    facts = margins(signed_distances(h, found.vectors, found.biases), c)
    if held is not None:
        there = signed_distances(held[0].to(h), found.vectors, found.biases)
        facts["held accuracy"] = accuracy(there, held[1])
    if kind in COSTED:
        facts["cost"] = torch.full((len(names),), cost)
    return Fitted(found.vectors, found.biases, facts)


def _better(old: Fitted, new: Fitted) -> Fitted:
    """Concept by concept the fit that is right more often on the held rows."""
    take = new.facts["held accuracy"] > old.facts["held accuracy"]
    return Fitted(
        torch.where(take[:, None], new.vectors, old.vectors),
        torch.where(take, new.biases, old.biases),
        {key: torch.where(take, new.facts[key], old.facts[key]) for key in old.facts},
    )


def accuracy(distances: Tensor, c: Tensor) -> Tensor:
    """`(k,)` share of the known rows `(n, k)` on the right side; NaN without any."""
    known = ~c.isnan()
    right = ((distances > 0) == (c > 0.5)) & known
    return right.sum(0) / known.sum(0)


def margins(distances: Tensor, c: Tensor) -> dict[str, Tensor]:
    """Accuracy, and where the rows of each kind lie: `(k,)` each."""
    facts = {"accuracy": accuracy(distances, c)}
    marks = distances.new_tensor([0.1, 0.9])
    for kind, chosen in (("positive", c > 0.5), ("negative", c < 0.5)):
        columns = [d[rows] for d, rows in zip(distances.T, chosen.T, strict=True)]
        facts[f"{kind} least"] = torch.stack([d.amin() for d in columns])
        facts[f"{kind} most"] = torch.stack([d.amax() for d in columns])
        facts[f"{kind} mean"] = torch.stack([d.mean() for d in columns])
        facts[f"{kind} deviation"] = torch.stack([d.std(correction=0) for d in columns])
        low, high = torch.stack([d.quantile(marks) for d in columns]).T
        facts[f"{kind} 10 %"], facts[f"{kind} 90 %"] = low, high
    return {name: values.float().contiguous() for name, values in facts.items()}


def _features(name: str, part: Any, embed: Callable[[Any], Tensor] | None) -> Tensor:
    found = part if embed is None else embed(part)
    if not isinstance(found, Tensor):
        raise wrong_type(f"sets[{name!r}]", type(found).__name__, "features as a tensor")
    if found.ndim != 2:
        raise wrong(f"sets[{name!r}]", f"shape {tuple(found.shape)}", "shape (examples, features)")
    return found.detach()


def _parted(part: Tensor, held: float, generator: torch.Generator | None) -> Rows:
    """The examples to fit, and those set aside."""
    order = torch.arange(len(part))
    if generator is not None:
        order = torch.randperm(len(part), generator=generator)
    keep = len(part) - int(held * len(part))
    return part[order[:keep]], part[order[keep:]]


def _labelled(kinds: Sequence[Tensor]) -> Rows:
    """Positive and negative features as rows with one column of labels."""
    _one_width(kinds)
    marks = [torch.full((len(part), 1), float(1 - i)) for i, part in enumerate(kinds)]
    return torch.cat(list(kinds)), torch.cat(marks)


def _one_width(parts: Sequence[Tensor]) -> None:
    widths = {part.shape[1] for part in parts}
    if len(widths) != 1:
        raise wrong("sets", f"features of widths {sorted(widths)}", "one width")
