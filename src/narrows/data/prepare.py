"""New rows, prepared just as the rows of a data set were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.data.arrays import features_of
from narrows.data.assemble import class_ids
from narrows.data.cells import labels
from narrows.data.columns import columns_of
from narrows.data.features import encode
from narrows.data.record import Column, Concepts, Examples
from narrows.data.roles import Roles, annotated, ids_of, images_of, texts_of
from narrows.data.texts import TextColumn
from narrows.errors import wrong


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
        >>> from narrows.data.load import load
        >>> rows = {"age": [30, 40, 50] * 9, "label": ["no", "yes", "yes"] * 9}
        >>> settings = load(rows).settings
        >>> new = prepare({"height": [180], "age": [33]}, settings)
        >>> new.x, new.y
        (tensor([[33.]]), tensor([-1]))
    """
    if "classes" not in settings or not {"columns", "image", "shape", "text"} & set(settings):
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
    roles = _roles_in(settings)
    columns = columns_of(source, roles.is_text)
    if "text" in settings:
        x = texts_of(columns, roles) or TextColumn([])
    elif "image" in settings:
        look = settings["image"]
        x = images_of(source, columns, roles, tuple(look["size"]), look["channels"], root)
    else:
        x = encode(columns, settings["columns"])
    target = roles.target
    found = (
        labels(target, columns[target])
        if target is not None and target in columns
        else [None] * len(x)
    )
    c = annotated(columns, roles, schema)
    ids = ids_of(columns, roles)
    return Examples(
        x,
        class_ids(found, classes),
        None if c is None else torch.from_numpy(c),
        classes,
        schema,
        None if ids is None else tuple(ids),
    )


def _roles_in(settings: Mapping[str, Any]) -> Roles:
    categories = tuple(r["name"] for r in settings.get("columns", ()) if "values" in r)
    drop = tuple(settings.get("drop", ()))
    text = settings.get("text")
    return Roles(settings["target"], settings["prefix"], drop, categories, text)


def _same_shape(source: Any, shape: Sequence[int]) -> Tensor:
    x = features_of(source)
    if tuple(x.shape[1:]) != tuple(shape):
        raise wrong("x", f"rows of shape {tuple(x.shape[1:])}", f"{tuple(shape)} as in training")
    return x
