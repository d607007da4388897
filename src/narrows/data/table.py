"""From a table to a data set, and from new rows to examples prepared in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.assemble import assemble, class_ids
from narrows.data.cells import labels, read_concept, refuse_missing, texts
from narrows.data.columns import Columns, columns_of, table_path
from narrows.data.features import encode, feature_names, fit_columns
from narrows.data.images import ImageColumn, image_paths
from narrows.data.record import Column, Concepts, Dataset, Examples
from narrows.data.split import split_rows
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
    """

    target: str | None = "label"
    prefix: str = "concept:"
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def is_text(self, name: str) -> bool:
        """Whether cells of this column must be kept as they are written."""
        special = (self.target, SPLIT, ID, IMAGE, *self.drop, *self.categories)
        return name in special or name.startswith(self.prefix)

    def concepts(self, columns: Iterable[str]) -> list[str]:
        """Names of the concepts the columns annotate."""
        found = [n for n in columns if n.startswith(self.prefix) and n not in self.drop]
        return [name.removeprefix(self.prefix) for name in found]

    def features(self, columns: Iterable[str]) -> list[str]:
        """Columns that are none of the others."""
        special = {self.target, SPLIT, ID, IMAGE, *self.drop}
        return [n for n in columns if n not in special and not n.startswith(self.prefix)]


def from_table(
    source: Any,
    target: str = "label",
    concepts: str = "concept:",
    seed: int = 0,
    groups: Sequence[Sequence[str]] | None = None,
    drop: Sequence[str] = (),
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
    root: str | Path | None = None,
) -> Dataset:
    """Read a table into a data set.

    Columns with a meaning: the target; `concept:<name>` (0/1, true/false, yes/no,
    present/absent, a probability; empty is not annotated); `split` (train, val, test; else a
    stratified random 70/15/15); `id`; `image` (a path). All others are features: numbers, or
    texts with at most 20 values, which are one-hot encoded by the values of training rows.

    Args:
        source: whatever `columns_of` takes.
        target: the column of labels.
        concepts: what the names of concept columns start with.
        seed: of the random split.
        groups: names of mutually exclusive concepts. By default concepts with equal text before
            `=` or `::` form a group, as in `wing=black` and `wing=white`.
        drop: columns to leave out.
        size: images are resized to it, `(height, width)` or one number; by default all must
            have the size of the first.
        channels: 3 for colour, 1 for grey.
        root: the folder image paths start from; by default the table's.

    Raises:
        InvalidInput: missing targets or features, cells that mean nothing, one class only: by
            column and row.
        UnknownName: no such target, group member or column to drop.
        FileRefused: a file that cannot be read.

    Example:
        >>> rows = {"age": [30, 40, 50] * 9, "label": ["no", "yes", "yes"] * 9,
        ...         "concept:old": [0, None, 1] * 9}
        >>> from_table(rows)
        Dataset('table', 19 + 4 + 4 rows, x (1,), 2 classes, 1 concepts)
    """
    if not concepts:
        raise wrong("concepts", "an empty prefix", "what the names of concept columns start with")
    roles = Roles(target, concepts, tuple(drop))
    columns = columns_of(source, roles.is_text)
    for name in (target, *drop):
        if name not in columns:
            raise unknown("column", name, columns)
    found = labels(target, columns[target])
    refuse_missing(target, [label is None for label in found])
    ids = _ids(columns, roles)
    given = texts(SPLIT, columns[SPLIT]) if SPLIT in columns and SPLIT not in drop else None
    rows = split_rows(found, seed, ids, given)
    if _has_images(columns, roles):
        x: Tensor | Column = _images(source, columns, roles, size, channels, root)
        read: dict[str, Any] = {
            "features": [],
            "image": {"size": list(x.shape[2:]), "channels": channels},
        }
    else:
        readings = fit_columns(columns, roles.features(columns), rows["train"])
        x = encode(columns, readings)
        read = {"features": feature_names(readings), "columns": readings}
    schema = _schema(roles.concepts(columns), groups)
    settings = {
        "source": "table",
        "target": target,
        "prefix": concepts,
        "drop": list(drop),
        "seed": seed,
        "split": "random" if given is None else "column",
        **read,
    }
    c = _annotated(columns, roles, schema)
    return assemble(_name(source), x, found, c, schema, rows, ids, settings)


def prepare(source: Any, settings: Mapping[str, Any], root: str | Path | None = None) -> Examples:
    """Read new rows just as the rows of a data set were read, for prediction.

    Columns are matched by name, in any order; columns the data set did not have are left out.
    The target and the concepts may be there, in part or not at all.

    Args:
        source: whatever the data set came from: a table, or an array of features.
        settings: of the data set.
        root: the folder image paths start from; by default the table's.

    Returns:
        Examples with y -1 where there is no label, and c None where no concept has a column.

    Raises:
        InvalidInput: settings that are not those of a table or arrays, or unusable cells.
        UnknownName: a feature column that is not there, or a concept that is new.

    Example:
        >>> rows = {"age": [30, 40, 50] * 9, "label": ["no", "yes", "yes"] * 9}
        >>> settings = from_table(rows).settings
        >>> new = prepare({"height": [180], "age": [33]}, settings)
        >>> new.x, new.y
        (tensor([[33.]]), tensor([-1]))
    """
    if "classes" not in settings or not {"columns", "image", "shape"} & set(settings):
        raise wrong(
            "settings", f"{sorted(settings)}", "the settings of a data set of a table or arrays"
        )
    classes = tuple(settings["classes"])
    schema = Concepts(
        tuple(settings["concepts"]["names"]),
        tuple(tuple(group) for group in settings["concepts"]["groups"]),
    )
    if "shape" in settings:
        x: Tensor | Column = _same_shape(source, settings["shape"])
        return Examples(x, class_ids([None] * len(x), classes), None, classes, schema)
    roles = _roles(settings)
    columns = columns_of(source, roles.is_text)
    if "image" in settings:
        look = settings["image"]
        x = _images(source, columns, roles, tuple(look["size"]), look["channels"], root)
    else:
        x = encode(columns, settings["columns"])
    target = roles.target
    found = (
        labels(target, columns[target])
        if target is not None and target in columns
        else [None] * len(x)
    )
    c = _annotated(columns, roles, schema)
    ids = _ids(columns, roles)
    return Examples(
        x,
        class_ids(found, classes),
        None if c is None else torch.from_numpy(c),
        classes,
        schema,
        None if ids is None else tuple(ids),
    )


def _roles(settings: Mapping[str, Any]) -> Roles:
    categories = tuple(r["name"] for r in settings.get("columns", ()) if "values" in r)
    drop = tuple(settings.get("drop", ()))
    return Roles(settings["target"], settings["prefix"], drop, categories)


def _name(source: Any) -> str:
    if not isinstance(source, str | Path):
        return "table"
    path = Path(source)
    return (path if path.is_dir() else path.with_suffix("")).resolve().name


def _ids(columns: Columns, roles: Roles) -> list[str] | None:
    """The id column; the image paths where there is none, so that one picture is one id."""
    for name in (ID, IMAGE):
        if name in columns and name not in roles.drop:
            return texts(name, columns[name])
    return None


def _has_images(columns: Columns, roles: Roles) -> bool:
    if IMAGE not in columns or IMAGE in roles.drop:
        return False
    beside = roles.features(columns)
    if beside:
        raise wrong("feature columns", f"{beside} beside images", f"images alone: drop={beside}")
    return True


def _images(
    source: Any,
    columns: Columns,
    roles: Roles,
    size: int | tuple[int, int] | None,
    channels: int,
    root: str | Path | None,
) -> ImageColumn:
    if IMAGE not in columns:
        raise unknown("image column", IMAGE, columns)
    if root is None:
        root = table_path(source).parent if isinstance(source, str | Path) else Path()
    return ImageColumn(image_paths(root, texts(IMAGE, columns[IMAGE])), size, channels)


def _schema(names: Sequence[str], groups: Sequence[Sequence[str]] | None) -> Concepts:
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


def _annotated(columns: Columns, roles: Roles, schema: Concepts) -> np.ndarray | None:
    """`(rows, k)` annotations; NaN for concepts without a column, None when none has one."""
    present = roles.concepts(columns)
    if not present:
        return None
    rows = len(next(iter(columns.values())))
    c = np.full((rows, len(schema)), np.nan, dtype=np.float32)
    for name in present:
        column = roles.prefix + name
        c[:, schema.index(name)] = read_concept(column, columns[column])
    return c


def _same_shape(source: Any, shape: Sequence[int]) -> Tensor:
    from narrows.data.arrays import features_of

    x = features_of(source)
    if tuple(x.shape[1:]) != tuple(shape):
        raise wrong("x", f"rows of shape {tuple(x.shape[1:])}", f"{tuple(shape)} as in training")
    return x
