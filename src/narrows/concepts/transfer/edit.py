"""What a concept edit is made from, and what it is: source statistics and a diagonal change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows import store
from narrows.errors import FileRefused, wrong


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptStatistics:
    """What is kept of the source domain: no images.

    Attributes:
        names: one per unit.
        mean: `(K, C)` per class and unit; a class without rows has the mean of all rows.
        deviation: `(K, C)` likewise.
        kept: `(m, C)` activations of source rows that an edit must not spoil.
        kept_y: `(m,)` their class ids.
        bounded: whether activations are probabilities; edited ones then stay in [0, 1].
    """

    names: tuple[str, ...]
    mean: Tensor
    deviation: Tensor
    kept: Tensor
    kept_y: Tensor
    bounded: bool = False

    @property
    def centre(self) -> Tensor:
        """`(C,)` the mean over classes: what a unit says when it says nothing."""
        return self.mean.mean(0)

    def within(self, units: Tensor) -> Tensor:
        """Units held in their range."""
        return units.clamp(0, 1) if self.bounded else units


def concept_statistics(
    names: Sequence[str],
    units: Tensor,
    y: Tensor,
    classes: int,
    kept: Tensor,
    kept_y: Tensor,
    bounded: bool = False,
) -> ConceptStatistics:
    """Means and deviations per class of source activations `(n, C)` with class ids `y (n,)`.

    Raises:
        InvalidInput: shapes that differ, or activations that are not finite.

    Example:
        >>> units, y = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([0, 0, 1])
        >>> concept_statistics(["furry"], units, y, 2, units, y).mean
        tensor([[0.5000],
                [4.0000]], dtype=torch.float64)
    """
    for argument, rows, labels in (("units", units, y), ("kept", kept, kept_y)):
        check_rows(argument, rows, labels, len(names), classes)
    a = units.double()
    counts, mean = class_means(a, y, classes)
    deviation = class_means((a - mean[y]).square(), y, classes)[1].sqrt()
    empty = (counts == 0)[:, None]
    mean = torch.where(empty, a.mean(0), mean)
    deviation = torch.where(empty, a.std(0, unbiased=False), deviation)
    return ConceptStatistics(tuple(names), mean, deviation, kept.double(), kept_y, bounded)


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptEdit:
    """A change of units that is the same for every input: `a' = scale a + shift`.

    Attributes:
        names: one per unit.
        scale: `(C,)`: 0 masks, 1 leaves alone, more amplifies.
        shift: `(C,)`.
        score: `(C,)` why a unit was edited, in logits; 0 for the others.

    Example:
        >>> edit = ConceptEdit(("furry", "loud"), torch.tensor([0.0, 1.0]),
        ...                    torch.tensor([0.4, 0.0]), torch.tensor([1.5, 0.0]))
        >>> print(edit)
        mask furry to 0.4 (score 1.5)
        >>> edit.apply(torch.tensor([[0.9, 0.1]]))
        tensor([[0.4000, 0.1000]])
    """

    names: tuple[str, ...]
    scale: Tensor
    shift: Tensor
    score: Tensor

    @classmethod
    def identity(cls, names: Sequence[str]) -> ConceptEdit:
        """The edit that changes nothing."""
        zeros = torch.zeros(len(names))
        return cls(tuple(names), torch.ones(len(names)), zeros, zeros.clone())

    @property
    def edited(self) -> Tensor:
        """`(C,)` which units change."""
        return (self.scale != 1) | (self.shift != 0)

    def apply(self, units: Tensor) -> Tensor:
        """Edit `(*batch, C)` units; those left alone keep their bits."""
        changed = self.scale.to(units) * units + self.shift.to(units)
        return torch.where(self.edited.to(units.device), changed, units)

    def table(self) -> list[dict[str, Any]]:
        """One row an edited unit: concept, operation, gain, where it is held, score."""
        return [
            {
                "concept": self.names[i],
                "operation": "mask" if self.scale[i] == 0 else "amplify",
                "gain": float(self.scale[i]),
                "shift": float(self.shift[i]),
                "score": float(self.score[i]),
            }
            for i in self.edited.nonzero().flatten().tolist()
        ]

    def __str__(self) -> str:
        lines = [
            f"mask {row['concept']} to {row['shift']:.3g} (score {row['score']:.3g})"
            if row["operation"] == "mask"
            else f"amplify {row['concept']} {row['gain']:.3g} times (score {row['score']:.3g})"
            for row in self.table()
        ]
        return "\n".join(lines) or "nothing edited"

    def save(self, path: str | Path) -> None:
        """Write the edit as JSON."""
        parts = {name: getattr(self, name).tolist() for name in ("scale", "shift", "score")}
        store.write_json(Path(path), {"names": list(self.names), **parts})

    @classmethod
    def load(cls, path: str | Path) -> ConceptEdit:
        """Read an edit that `save` wrote.

        Raises:
            FileRefused: not such a file, or one that was damaged.
        """
        return cls(*_edit_parts(Path(path).name, store.read_json(Path(path))))


def class_means(a: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Rows `(K,)` and means `(K, C)` of each class; a class without rows has mean 0."""
    counts = y.bincount(minlength=classes).double()
    sums = a.new_zeros(classes, a.shape[1]).index_add_(0, y, a)
    return counts, sums / counts.clamp_min(1)[:, None]


def check_rows(argument: str, rows: Tensor, y: Tensor, units: int, classes: int) -> None:
    """Refuse activations and class ids that do not fit together."""
    if rows.ndim != 2 or rows.shape[1] != units:
        raise wrong(argument, f"shape {tuple(rows.shape)}", f"shape (n, {units})")
    if not len(rows):
        raise wrong(argument, "no rows", "at least one")
    if y.shape != rows.shape[:1] or y.dtype != torch.long:
        raise wrong(f"y of {argument}", f"{tuple(y.shape)} {y.dtype}", f"{len(rows)} class ids")
    if not torch.isfinite(rows).all():
        raise wrong(argument, "a value that is NaN or infinite", "finite activations")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise wrong(f"y of {argument}", "an id outside the classes", f"ids from 0 to {classes - 1}")


def _edit_parts(file: str, found: Any) -> tuple[tuple[str, ...], Tensor, Tensor, Tensor]:
    names = found.get("names") if isinstance(found, Mapping) else None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise FileRefused(f"{file}: found no list of names, wanted a concept edit")
    parts = []
    for key in ("scale", "shift", "score"):
        values = found.get(key)
        numbers = isinstance(values, list) and all(isinstance(v, (int, float)) for v in values)
        if not numbers or len(values) != len(names) or not all(map(math.isfinite, values)):
            raise FileRefused(f"{file}: {key}: wanted {len(names)} finite numbers")
        parts.append(torch.tensor(values, dtype=torch.float64))
    return tuple(names), parts[0], parts[1], parts[2]
