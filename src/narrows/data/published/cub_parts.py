"""Where the parts of the birds of CUB-200-2011 are, and which parts an attribute speaks of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from narrows.data.published.cub import CUB, INNER
from narrows.data.published.layout import numbered, rows
from narrows.errors import FileRefused, unknown

_WINGS, _EYES = ("left wing", "right wing"), ("left eye", "right eye")
_LEGS = ("left leg", "right leg")
# Families of attributes that have a place; those of size, shape and overall colour have none.
PARTS = {
    **dict.fromkeys(("has_bill_shape", "has_bill_length", "has_bill_color"), ("beak",)),
    **dict.fromkeys(("has_wing_color", "has_wing_shape", "has_wing_pattern"), _WINGS),
    "has_upperparts_color": ("back", "nape"),
    "has_underparts_color": ("belly", "breast", "throat"),
    **dict.fromkeys(("has_breast_pattern", "has_breast_color"), ("breast",)),
    **dict.fromkeys(("has_back_color", "has_back_pattern"), ("back",)),
    **dict.fromkeys(("has_tail_shape", "has_tail_pattern"), ("tail",)),
    **dict.fromkeys(("has_upper_tail_color", "has_under_tail_color"), ("tail",)),
    **dict.fromkeys(("has_head_pattern", "has_crown_color"), ("crown",)),
    **dict.fromkeys(("has_belly_color", "has_belly_pattern"), ("belly",)),
    "has_throat_color": ("throat",),
    "has_eye_color": _EYES,
    "has_forehead_color": ("forehead",),
    "has_nape_color": ("nape",),
    "has_leg_color": _LEGS,
}


def parts_of(concept: str) -> tuple[str, ...]:
    """Names of the parts of a bird that a concept speaks of; none where it has no place.

    Example:
        >>> parts_of("has_wing_color::blue"), parts_of("has_size::small")
        (('left wing', 'right wing'), ())
    """
    return PARTS.get(concept.split("::")[0], ())


def part_locations(folder: str | Path, ids: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """The centres of the parts of some birds.

    Args:
        folder: as of `cub`.
        ids: of the images, such as `data.test.ids`.

    Returns:
        The names of the parts, and `(ids, parts, 2)` float32: x and y in pixels of the original
        image, NaN where the part is not visible or has no line.

    Raises:
        FileMissing: no `parts` folder, or another file of the archive is not there.
        FileRefused: a malformed line, a part of an image twice, a part without a name.
        UnknownName: an id that is no image.
    """
    root = CUB.folder(folder, INNER, "images.txt")
    number_of = {name: number for number, name in numbered(CUB.file(root / "images.txt")).items()}
    row_of = {}
    for row, name in enumerate(ids):
        if name not in number_of:
            raise unknown("ids", name, number_of)
        row_of[number_of[name]] = row
    names = {
        fields[0]: " ".join(fields[1:]) for fields in _named(CUB.file(root / "parts/parts.txt"))
    }
    column_of = {number: column for column, number in enumerate(names)}
    path = CUB.file(root / "parts" / "part_locs.txt")
    places = torch.full((len(ids), len(names), 2), math.nan)
    seen = set()
    for line, (image, part, x, y, visible) in rows(path, 5):
        if part not in column_of or (image, part) in seen:
            what = "a second time" if part in column_of else "which parts.txt does not name"
            raise FileRefused(f"{path}, line {line}: found part {part} of image {image} {what}")
        seen.add((image, part))
        if image in row_of and visible == "1":
            spot = torch.tensor([_number(path, line, text) for text in (x, y)])
            places[row_of[image], column_of[part]] = spot
    return tuple(names.values()), places


def _named(path: Path) -> list[list[str]]:
    """Fields of `parts.txt`, whose names may have a blank."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for fields in lines:
        if len(fields) < 2 or not fields[0].isdecimal():
            raise FileRefused(f"{path}: found {' '.join(fields)!r}, wanted a number and a name")
    return lines


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileRefused(f"{path}, line {line}: found {text!r}, wanted a position in pixels")
    return value
