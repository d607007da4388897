"""`scattered_digits`: two handwritten digits anywhere on a canvas, with exact places.

The digits and their pairs are those of `digit_pairs`. A concept says that a digit
is somewhere in the picture, so a network has to find it: where it looks can be compared with
where the digit is. The ids carry the places: `12@3,17+931@6,2` is source image 12 with its upper
left pixel at row 3, column 17, and source image 931 at row 6, column 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from narrows.data.assemble import schema_settings
from narrows.data.generated.digit_pairs import digit_pairs
from narrows.data.record import Concepts, Dataset, Examples
from narrows.data.registry import dataset
from narrows.errors import InvalidInput

CONCEPTS = Concepts(tuple(f"has {digit}" for digit in range(10)))
HEIGHT, WIDTH, SIDE = 16, 32, 8
_PLACE = re.compile(r"\d+@(\d+),(\d+)\+\d+@(\d+),(\d+)")


@dataset("scattered_digits")
def scattered_digits(
    sizes: Sequence[int] = (10_000, 2_000, 2_000),
    task: str = "sum",
    seed: int = 0,
    co_occurrence: float = 0.0,
) -> Dataset:
    """The pairs of `digit_pairs`, whole and apart on a canvas (1, 16, 32) in [0, 1].

    No source image is in two splits. The concepts are `has 0` to `has 9`, one of them where both
    digits are equal, else two.

    Args:
        sizes: canvases in train, val and test.
        task: as in `digit_pairs`.
        seed: of everything random; the places have their own stream.
        co_occurrence: with this probability the second digit is (3 first + 1) mod 10; else both
            are independent and uniform.

    Raises:
        InvalidInput: a knob out of range or a task that does not exist.

    Example:
        >>> rows = scattered_digits(sizes=(50, 10, 10)).train
        >>> regions(rows)[rows.c == 1].any((1, 2)).all()
        tensor(True)
    """
    pairs = digit_pairs(sizes=sizes, task=task, seed=seed, co_occurrence=co_occurrence)
    streams = np.random.SeedSequence([seed, 1]).spawn(len(pairs.splits))
    parts = {
        name: _scatter(split, np.random.default_rng(stream))
        for (name, split), stream in zip(pairs.splits.items(), streams, strict=True)
    }
    settings = {
        "source": "scattered_digits",
        **{name: pairs.settings[name] for name in ("sizes", "task", "seed", "co_occurrence")},
        "shape": [1, HEIGHT, WIDTH],
        "features": None,
        **schema_settings(pairs.classes, CONCEPTS),
    }
    return Dataset("scattered_digits", **parts, settings=settings)


def regions(examples: Examples) -> Tensor:
    """`(n, 10, 16, 32)` bool: the squares where each digit is.

    Raises:
        InvalidInput: rows that are not of this data set.
    """
    inside = torch.zeros(len(examples), 10, HEIGHT, WIDTH, dtype=torch.bool)
    for row, (places, shown) in enumerate(_shown(examples)):
        for (y, x), digit in zip(places, shown, strict=True):
            inside[row, digit, y : y + SIDE, x : x + SIDE] = True
    return inside


def points(examples: Examples) -> Tensor:
    """`(n, 10, 2)` row and column of the middle of each digit; NaN where there is no one place.

    That is where the digit is absent, and where both digits are the same.

    Raises:
        InvalidInput: rows that are not of this data set.
    """
    middles = torch.full((len(examples), 10, 2), torch.nan)
    for row, (places, shown) in enumerate(_shown(examples)):
        if shown[0] != shown[1]:
            for place, digit in zip(places, shown, strict=True):
                middles[row, digit] = torch.tensor(place) + SIDE / 2
    return middles


def _shown(examples: Examples) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """For each row the places of both digits, and the digits."""
    from sklearn.datasets import load_digits

    target = load_digits().target
    found = []
    for name in examples.ids or [""] * len(examples):
        match = _PLACE.fullmatch(name)
        if match is None:
            raise InvalidInput(
                f"examples.ids: found {name!r}, wanted rows of scattered_digits like '1@0,0+2@8,8'"
            )
        y0, x0, y1, x1 = map(int, match.groups())
        sources = [int(part.partition("@")[0]) for part in name.split("+")]
        found.append(([(y0, x0), (y1, x1)], target[sources].tolist()))
    return found


def _scatter(pairs: Examples, rng: np.random.Generator) -> Examples:
    """Both halves of each pair on a canvas, and concepts of the whole."""
    places = _places(len(pairs), rng)
    x = np.zeros((len(pairs), 1, HEIGHT, WIDTH), dtype=np.float32)
    rows = np.arange(len(pairs))[:, None, None]
    halves = pairs.x[torch.arange(len(pairs))][:, 0].numpy()
    for one in (0, 1):
        top, left = places[:, one, 0, None, None], places[:, one, 1, None, None]
        at = (rows, 0, top + np.arange(SIDE)[:, None], left + np.arange(SIDE))
        x[at] = halves[:, :, SIDE * one : SIDE * (one + 1)]
    if pairs.c is None:
        raise InvalidInput("pairs: found no concepts, wanted pairs of digits")
    sources = (name.split("+") for name in pairs.ids or ())
    ids = tuple(
        f"{a}@{first[0]},{first[1]}+{b}@{second[0]},{second[1]}"
        for (a, b), (first, second) in zip(sources, places.tolist(), strict=True)
    )
    c = torch.maximum(pairs.c[:, :10], pairs.c[:, 10:])
    return Examples(torch.from_numpy(x), pairs.y, c, pairs.classes, CONCEPTS, ids)


def _places(size: int, rng: np.random.Generator) -> np.ndarray:
    """`(size, 2, 2)` upper left pixels of two squares that do not overlap, uniformly."""
    places = np.zeros((size, 2, 2), dtype=np.int64)
    open_rows = np.arange(size)
    while len(open_rows):
        drawn = rng.integers([HEIGHT - SIDE + 1, WIDTH - SIDE + 1], size=(len(open_rows), 2, 2))
        places[open_rows] = drawn
        overlap = (np.abs(drawn[:, 0] - drawn[:, 1]) < SIDE).all(1)
        open_rows = open_rows[overlap]
    return places
