"""Which column of a table means what, and reading the columns that are not features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.data.cells import read_concept, texts
from narrows.data.columns import Columns, table_path
from narrows.data.images import ImageColumn, image_paths
from narrows.data.record import Concepts
from narrows.data.texts import TextColumn
from narrows.errors import unknown, wrong

SPLIT, ID, IMAGE = "split", "id", "image"

# `wing=black` and `wing::black` belong to `wing`; `height>=2` and `a==b` are whole names.
_GROUP_MARK = re.compile(r"::|(?<![<>=!~])=(?!=)")


@dataclass(frozen=True)
class Roles:
    """Which column of a table means what.

    Attributes:
        target: the column of labels, None without.
        prefix: what the names of concept columns start with.
        drop: columns to leave out.
        categories: feature columns that are read as text whatever they hold.
        text: the column of texts to be embedded, None without.
    """

    target: str | None = "label"
    prefix: str = "concept:"
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    text: str | None = None

    def is_text(self, name: str) -> bool:
        """Whether cells of this column must be kept as they are written."""
        special = (self.target, SPLIT, ID, IMAGE, self.text, *self.drop, *self.categories)
        return name in special or name.startswith(self.prefix)

    def concepts(self, columns: Iterable[str]) -> list[str]:
        """Names of the concepts the columns annotate."""
        other = (self.target, *self.drop)
        found = [n for n in columns if n.startswith(self.prefix) and n not in other]
        return [name.removeprefix(self.prefix) for name in found]

    def features(self, columns: Iterable[str]) -> list[str]:
        """Columns that are none of the others."""
        special = {self.target, SPLIT, ID, IMAGE, self.text, *self.drop}
        return [n for n in columns if n not in special and not n.startswith(self.prefix)]


def ids_of(columns: Columns, roles: Roles) -> list[str] | None:
    """The id column; the image paths where there is none, so that one picture is one id."""
    for name in (ID, IMAGE):
        if name in columns and name not in roles.drop:
            return texts(name, columns[name])
    return None


def has_images(columns: Columns, roles: Roles) -> bool:
    """Whether the features are images.

    Raises:
        InvalidInput: there are other feature columns too.
    """
    if IMAGE not in columns or IMAGE in roles.drop:
        return False
    beside = roles.features(columns)
    if beside:
        raise wrong("feature columns", f"{beside} beside images", f"images alone: drop={beside}")
    return True


def texts_of(columns: Columns, roles: Roles) -> TextColumn | None:
    """The texts of the rows; None where no column holds them.

    Raises:
        UnknownName: no such column.
        InvalidInput: there are feature columns or pictures too, or a cell is empty.
    """
    if roles.text is None:
        return None
    if roles.text not in columns:
        raise unknown("text column", roles.text, columns)
    beside = roles.features(columns) + [IMAGE] * (IMAGE in columns and IMAGE not in roles.drop)
    if beside:
        raise wrong("feature columns", f"{beside} beside texts", f"texts alone: drop={beside}")
    return TextColumn(texts(roles.text, columns[roles.text]))


def images_of(
    source: Any,
    columns: Columns,
    roles: Roles,
    size: int | tuple[int, int] | None,
    channels: int,
    root: str | Path | None,
) -> ImageColumn:
    """The image column of a table.

    Raises:
        UnknownName: there is none.
        InvalidInput: a row without a path.
        FileRefused: a path that leaves the folder, or no file there.
    """
    if IMAGE not in columns:
        raise unknown("image column", IMAGE, columns)
    if root is None:
        root = table_path(source).parent if isinstance(source, str | Path) else Path()
    return ImageColumn(image_paths(root, texts(IMAGE, columns[IMAGE])), size, channels)


def schema_of(names: Sequence[str], groups: Sequence[Sequence[str]] | None) -> Concepts:
    """The concepts, grouped as told or by the text before `=` or `::`."""
    plain = Concepts(tuple(names))
    if groups is not None:
        return Concepts(plain.names, tuple(tuple(plain.index(n) for n in g) for g in groups))
    families: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        mark = _GROUP_MARK.search(name)
        if mark and mark.start():
            families.setdefault(name[: mark.start()], []).append(place)
    return Concepts(plain.names, tuple(tuple(f) for f in families.values() if len(f) > 1))


def annotated(columns: Columns, roles: Roles, schema: Concepts) -> np.ndarray | None:
    """`(rows, k)` annotations; NaN for concepts without a column, None when none has one.

    Raises:
        UnknownName: a column of a concept that is not in the schema.
        InvalidInput: a cell that means nothing, by column, row and value.
    """
    present = roles.concepts(columns)
    if not present:
        return None
    rows = len(next(iter(columns.values())))
    c = np.full((rows, len(schema)), np.nan, dtype=np.float32)
    for name in present:
        column = roles.prefix + name
        c[:, schema.index(name)] = read_concept(column, columns[column])
    return c
