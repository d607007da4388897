"""From a table to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from narrows.data.assemble import assemble
from narrows.data.cells import labels, refuse_missing, texts, typed
from narrows.data.columns import columns_of, is_text_file
from narrows.data.features import encode, feature_names, fit_columns
from narrows.data.record import Column, Dataset
from narrows.data.roles import (
    SPLIT,
    Roles,
    annotated,
    has_images,
    ids_of,
    images_of,
    schema_of,
    texts_of,
)
from narrows.data.split import split_rows
from narrows.errors import unknown, wrong


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
    text: str | None = None,
) -> Dataset:
    """Read a table into a data set.

    Columns with a meaning: the target; `concept:<name>` (0/1, true/false, yes/no,
    present/absent, a probability; empty is not annotated); `split` (train, val, test; else a
    stratified random 70/15/15); `id`; `image` (a path). All others are features: numbers, or
    texts with at most 20 values, which are one-hot encoded by the values of training rows.

    Args:
        source: whatever `columns_of` takes.
        target: the column of labels. Those of a CSV are numbers or booleans where writing them
            gives the same text again in all rows (`01` stays a text); others keep their type.
        concepts: what the names of concept columns start with.
        seed: of the random split.
        groups: names of mutually exclusive concepts. By default concepts with equal text before
            `=` or `::` form a group, as in `wing=black` and `wing=white`.
        drop: columns to leave out.
        size: images are resized to it, `(height, width)` or one number; by default all must
            have the size of the first.
        channels: 3 for colour, 1 for grey.
        root: the folder image paths start from; by default the table's.
        text: a column of texts, to be embedded before anything is trained.

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
    roles = Roles(target, concepts, tuple(drop), text=text)
    columns = columns_of(source, roles.is_text)
    for what, name in (("target column", target), *(("column to drop", n) for n in drop)):
        if name not in columns:
            raise unknown(what, name, columns)
    found = labels(target, columns[target])
    refuse_missing(target, [label is None for label in found])
    if is_text_file(source):
        found = typed(found)
    ids = ids_of(columns, roles)
    given = texts(SPLIT, columns[SPLIT]) if SPLIT in columns and SPLIT not in drop else None
    rows = split_rows(found, seed, ids, given)
    x: Tensor | Column | None = texts_of(columns, roles)
    if x is not None:
        read: dict[str, Any] = {"features": [], "text": text}
    elif has_images(columns, roles):
        x = images_of(source, columns, roles, size, channels, root)
        read = {
            "features": [],
            "image": {"size": list(x.shape[2:]), "channels": channels},
        }
    else:
        readings = fit_columns(columns, roles.features(columns), rows["train"])
        x = encode(columns, readings)
        read = {"features": feature_names(readings), "columns": readings}
    schema = schema_of(roles.concepts(columns), groups)
    settings = {
        "source": "table",
        "target": target,
        "prefix": concepts,
        "drop": list(drop),
        "seed": seed,
        "split": "random" if given is None else "column",
        **read,
    }
    c = annotated(columns, roles, schema)
    return assemble(_name(source), x, found, c, schema, rows, ids, settings)


def _name(source: Any) -> str:
    if not isinstance(source, str | Path):
        return "table"
    path = Path(source)
    return (path if path.is_dir() else path.with_suffix("")).resolve().name
