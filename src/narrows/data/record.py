"""The one record type for data: a schema of concepts, examples, and their three splits."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from narrows.data import validate
from narrows.data.schema import Concepts
from narrows.errors import wrong

__all__ = ["UNLABELLED", "Column", "Concepts", "Dataset", "Examples"]

UNLABELLED = validate.UNLABELLED
_CHUNK = 4096
_FORMAT = 1  # of the fingerprint: raise it when what is hashed changes


@runtime_checkable
class Column(Protocol):
    """A lazy feature column, for example images on disk.

    It may also offer `take(rows) -> Column`, `digests() -> list[str]` and `to(device)`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """`(rows, *features)`."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The rows as a tensor `(len(rows), *features)`."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """Rows of one split.

    Attributes:
        x: `(N, *features)` real tensor, finite; or a lazy `Column`.
        y: `(N,)` int64 class ids into `classes`; -1 where the label is unknown, which only
            new data for prediction may have.
        c: `(N, k)` float32 in [0, 1], NaN where a concept is not annotated; None without any.
        classes: the labels as the user wrote them, unique and sorted.
        concepts: the schema of `c`.
        ids: one name per row.

    Raises:
        InvalidInput: lengths that differ, values out of range or not finite, by row and column.
        InvalidType: a tensor of the wrong dtype.

    Example:
        >>> x, y = torch.eye(2), torch.tensor([1, 0])
        >>> c = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
        >>> rows = Examples(x, y, c, ("cat", "dog"), Concepts(("furry", "loud")))
        >>> rows
        Examples(2 rows, x (2,), 2 classes, 2 concepts)
        >>> rows.labels, rows[0].known.tolist()
        (['dog', 'cat'], [[True, False]])
    """

    x: Tensor | Column
    y: Tensor
    c: Tensor | None
    classes: tuple[Any, ...]
    concepts: Concepts
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.ids is not None:
            object.__setattr__(self, "ids", tuple(self.ids))
        validate.check_classes(self.classes)
        validate.check_features(self.x)
        validate.check_targets(self.y, len(self.x), len(self.classes))
        if self.c is not None:
            validate.check_concepts(self.c, len(self.x), self.concepts.names)
        validate.check_ids(self.ids, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return (
            f"Examples({len(self)} rows, x {tuple(self.x.shape[1:])}, "
            f"{len(self.classes)} classes, {len(self.concepts)} concepts)"
        )

    def __getitem__(self, rows: int | slice | Tensor | np.ndarray) -> Self:
        """Some rows as a batch: a lazy column is read. `take` keeps it lazy."""
        index = self._rows(rows)
        return self._at(index, self.x[index])

    def take(self, rows: int | slice | Tensor | np.ndarray) -> Self:
        """Some rows as a data set of its own: a lazy column stays lazy where it can."""
        index = self._rows(rows)
        keep = None if torch.is_tensor(self.x) else getattr(self.x, "take", None)
        return self._at(index, self.x[index] if keep is None else keep(index))

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device; a lazy column that cannot move stays where it is."""
        return self._with(
            x=self.x.to(device) if hasattr(self.x, "to") else self.x,
            y=self.y.to(device),
            c=None if self.c is None else self.c.to(device),
        )

    @property
    def known(self) -> Tensor:
        """`(N, k)` bool: which concepts are annotated."""
        if self.c is None:
            return torch.zeros(
                len(self), len(self.concepts), dtype=torch.bool, device=self.y.device
            )
        return ~self.c.isnan()

    @property
    def labels(self) -> list[Any]:
        """The rows' labels as the user wrote them; None where unknown."""
        return [None if i == UNLABELLED else self.classes[i] for i in self.y.tolist()]

    def digests(self) -> list[str]:
        """SHA-256 of each row's bytes (of the file's bytes for an image column).

        Equal rows of one dtype have equal digests; -0.0 counts as 0.0.
        """
        if hasattr(self.x, "digests"):
            return list(self.x.digests())
        return [hashlib.sha256(row).hexdigest() for row in self._row_bytes()]

    def _row_bytes(self) -> Iterator[bytes]:
        for start in range(0, len(self), _CHUNK):
            rows = torch.arange(start, min(start + _CHUNK, len(self)))
            chunk = self.x[rows.to(self.x.device) if torch.is_tensor(self.x) else rows]
            yield from (row.tobytes() for row in _as_bytes(chunk))

    def _rows(self, rows: int | slice | Tensor | np.ndarray) -> Tensor:
        every = torch.arange(len(self), device=self.y.device)
        if isinstance(rows, int | np.integer):
            return every[int(rows)].unsqueeze(0)
        if isinstance(rows, slice):
            return every[rows]
        return every[torch.as_tensor(rows, device=self.y.device)]

    def _at(self, index: Tensor, x: Tensor | Column) -> Self:
        ids = None if self.ids is None else tuple(self.ids[i] for i in index.tolist())
        c = None if self.c is None else self.c[index]
        return self._with(x=x, y=self.y[index], c=c, ids=ids)

    def _with(self, **changes: Any) -> Self:
        # Rows of valid examples are valid: checking every batch again would cost a pass over x.
        changed = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(changed, name, value)
        return changed


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training, validation and test rows with one schema.

    Attributes:
        name: what the data is called.
        train: rows that models learn from.
        val: rows that models are chosen by.
        test: rows that models are judged by.
        settings: JSON values that say how the splits came about; for tables enough to
            prepare new rows in the same way.

    Raises:
        InvalidInput: an empty split, splits that disagree on classes, concepts or the shape
            of x, unlabelled rows, or an id in two splits.
    """

    name: str
    train: Examples
    val: Examples
    test: Examples
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", dict(self.settings))
        validate.check_settings(self.settings)
        for name, split in self.splits.items():
            _check_split(name, split, self.train)
        validate.check_disjoint_ids({name: split.ids for name, split in self.splits.items()})

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(split)) for split in self.splits.values())
        return (
            f"Dataset({self.name!r}, {sizes} rows, x {tuple(self.train.x.shape[1:])}, "
            f"{len(self.classes)} classes, {len(self.concepts)} concepts)"
        )

    @property
    def splits(self) -> dict[str, Examples]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def concepts(self) -> Concepts:
        """The schema all splits share."""
        return self.train.concepts

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels all splits share."""
        return self.train.classes

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device."""
        moved = copy.copy(self)
        for name, split in self.splits.items():
            object.__setattr__(moved, name, split.to(device))
        return moved

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of schema, classes and the rows of each split; not of name or settings."""
        total = hashlib.sha256()
        classes = [[type(label).__name__, str(label)] for label in self.classes]
        head = [_FORMAT, list(self.concepts.names), self.concepts.groups, classes]
        total.update(json.dumps(head).encode())
        for name, split in self.splits.items():
            shape = json.dumps([name, list(split.x.shape), split.ids])
            total.update(shape.encode())
            total.update("".join(split.digests()).encode())
            total.update(split.y.cpu().numpy().tobytes())
            if split.c is not None:
                # NaN has many bit patterns; -1 stands for all of them.
                total.update(_as_bytes(split.c.nan_to_num(nan=-1.0)).tobytes())
        return total.hexdigest()


def _as_bytes(x: Tensor) -> np.ndarray:
    """`(N, bytes)` uint8 of each row, on the CPU."""
    rows = x.detach().cpu().reshape(len(x), -1)
    if rows.is_floating_point():
        rows = rows + 0.0  # -0.0 becomes 0.0
    return rows.contiguous().view(torch.uint8).numpy()


def _check_split(name: str, split: Examples, train: Examples) -> None:
    if len(split) == 0:
        raise wrong(name, "no rows", "at least one row")
    if bool((split.y == UNLABELLED).any()):
        raise wrong(f"{name}.y", "rows without a label", "a label for each row of a data set")
    for what in ("classes", "concepts"):
        if getattr(split, what) != getattr(train, what):
            raise wrong(
                f"{name}.{what}", f"{getattr(split, what)}", f"train's {getattr(train, what)}"
            )
    if tuple(split.x.shape[1:]) != tuple(train.x.shape[1:]):
        raise wrong(
            f"{name}.x",
            f"rows of {tuple(split.x.shape[1:])}",
            f"train's {tuple(train.x.shape[1:])}",
        )
