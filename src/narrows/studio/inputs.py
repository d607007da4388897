"""The input of a case as a person sees it: a picture, a row of cells, curves, a text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data import Examples
from narrows.data.texts import TextColumn
from narrows.errors import UnknownName
from narrows.report.picture import data_uri

CELLS = 256  # of a row that are shown


def describe(examples: Examples, row: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a row as JSON values, by the shape of the data alone."""
    if isinstance(examples.x, TextColumn):
        return {"kind": "text", "text": examples.x.texts[row]}
    x = pixels(examples, row)
    if is_picture(x):
        return {"kind": "image", "width": x.shape[2], "height": x.shape[1]}
    if x.ndim == 1:
        names = feature_names(settings, len(x))
        cells = [[n, v] for n, v in zip(names[:CELLS], x[:CELLS].tolist(), strict=True)]
        return {"kind": "row", "cells": cells, "hidden": len(x) - len(cells)}
    if x.ndim == 2:
        names = feature_names(settings, x.shape[1])
        series = [{"name": n, "values": v} for n, v in zip(names, x.T.tolist(), strict=True)]
        return {"kind": "sequence", "steps": len(x), "series": series}
    return {"kind": "none"}


def pixels(examples: Examples, row: int) -> Tensor:
    """The features of one row."""
    return examples.x[torch.tensor([row])][0].detach().float().cpu()


def is_picture(x: Tensor) -> bool:
    """Whether features `(channels, height, width)` can be shown as a picture."""
    return x.ndim == 3 and x.shape[0] in (1, 3)


def feature_names(settings: Mapping[str, Any], count: int) -> Sequence[str]:
    """One name a feature: those of the data where they have them."""
    names = settings.get("features") or ()
    return list(map(str, names)) if len(names) == count else [f"x{i}" for i in range(count)]


def input_png(examples: Examples, row: int) -> bytes:
    """A picture as a PNG file.

    Raises:
        UnknownName: the rows are no pictures.
    """
    uri = None if isinstance(examples.x, TextColumn) else data_uri(pixels(examples, row))
    if uri is None:
        raise UnknownName("picture: the rows of this run are no pictures")
    return base64.b64decode(uri.partition(",")[2])
