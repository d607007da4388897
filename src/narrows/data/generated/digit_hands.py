"""`digit_hands`: three handwritten digits on a table, with concepts that meet or always meet.

After the playing cards of Furby, Cunnington, Braines, Preece, "Can we constrain concept
bottleneck models to learn semantically meaningful input features?" (2024, arXiv 2402.00912):
a concept says that a card is on the table, the task is the rank of the hand, and what differs
from one condition to the next is only which cards come together. Their cards are 52 glyphs;
these are the ten digits of scikit-learn's `load_digits`, and a hand of three is

    triple      three equal digits
    pair        two equal digits
    straight    three consecutive digits, in any order
    high        anything else
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from narrows.data.assemble import schema_settings
from narrows.data.record import Concepts, Dataset, Examples
from narrows.data.registry import dataset
from narrows.data.split import SPLITS, check_seed, split_rows
from narrows.errors import unknown, wrong

HANDS = ("high", "pair", "straight", "triple")
CONDITIONS = ("random", "hands", "class_level")
CONCEPTS = Concepts(tuple(f"shows a {digit}" for digit in range(10)))
_SIDE = 8
_ID = re.compile(r"\d+\+\d+\+\d+")


@dataset("digit_hands")
def digit_hands(
    sizes: Sequence[int] = (10_000, 2_000, 2_000),
    condition: str = "random",
    seed: int = 0,
    label_noise: float = 0.0,
) -> Dataset:
    """Three digits on a canvas (1, 8, 24) in [0, 1]; the label is the rank of the hand.

    The source digits are split first (70/15/15, stratified), so no image is in two splits. An
    id `12+931+5` says which source images make the hand.

    Args:
        sizes: hands in train, val and test.
        condition: which digits come together. `random`: three independent digits. `hands`: the
            rank is uniform, then any hand of that rank. `class_level`: the rank is uniform and
            each rank always shows the same digits, in any order; no digit belongs to two ranks,
            so that the concepts of a rank always co-occur.
        seed: of everything random; turning a knob leaves what other knobs do as it was.
        label_noise: the share of concept labels in train that are turned round.

    Raises:
        InvalidInput: a knob out of range.
        UnknownName: a condition that does not exist.

    Example:
        >>> hands = digit_hands(sizes=(50, 10, 10))
        >>> hands.classes, len(hands.concepts)
        (('high', 'pair', 'straight', 'triple'), 10)
    """
    if len(sizes) != 3 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise wrong("sizes", sizes, "three positive whole numbers: train, val, test")
    check_seed(seed)
    if condition not in CONDITIONS:
        raise unknown("condition", condition, CONDITIONS)
    if not 0 <= label_noise <= 1:
        raise wrong("label_noise", label_noise, "a share in [0, 1]")
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    sources = split_rows(digits.target.tolist(), seed)
    hand_seeds, noise_seed, rule_seed = np.random.SeedSequence(seed).spawn(3)
    tables = _tables(condition, np.random.default_rng(rule_seed))
    parts: dict[str, Examples] = {}
    for split, size, own in zip(SPLITS, sizes, hand_seeds.spawn(3), strict=True):
        rng = np.random.default_rng(own)
        shown = _deal(tables, size, rng)
        chosen = _images_of(shown, sources[split], digits.target, rng)
        x = np.concatenate([images[chosen[:, place]] for place in range(3)], axis=2)[:, None]
        c = (shown[:, :, None] == np.arange(10)).any(1).astype(np.float32)
        if split == "train":
            _turn(c, label_noise, np.random.default_rng(noise_seed))
        parts[split] = Examples(
            torch.from_numpy(x),
            torch.from_numpy(hand_of(shown)),
            torch.from_numpy(c),
            HANDS,
            CONCEPTS,
            tuple("+".join(map(str, row)) for row in chosen.tolist()),
        )
    settings = {
        "source": "digit_hands",
        "sizes": dict(zip(SPLITS, sizes, strict=True)),
        "condition": condition,
        "seed": seed,
        "label_noise": label_noise,
        "shape": [1, _SIDE, 3 * _SIDE],
        "features": None,
        **schema_settings(HANDS, CONCEPTS),
    }
    return Dataset("digit_hands", **parts, settings=settings)


def hand_of(digits: np.ndarray) -> np.ndarray:
    """Class ids of hands `(n, 3)`, into `HANDS`.

    Example:
        >>> hand_of(np.array([[7, 7, 7], [3, 9, 3], [4, 2, 3], [0, 5, 9]])).tolist()
        [3, 1, 2, 0]
    """
    low, middle, high = np.sort(digits, axis=1).T
    equal = (low == middle).astype(int) + (middle == high)
    straight = (middle == low + 1) & (high == middle + 1)
    return np.where(straight, 2, np.array([0, 1, 3])[equal]).astype(np.int64)


def hand_regions(examples: Examples) -> Tensor:
    """Where each digit stands, `(n, 10, 8, 24)` bool; nowhere for a digit that is not shown.

    Args:
        examples: rows of `digit_hands`, with their ids.

    Raises:
        InvalidInput: rows of other data.

    Example:
        >>> hand_regions(digit_hands(sizes=(5, 1, 1)).train).shape
        torch.Size([5, 10, 8, 24])
    """
    if examples.ids is None:
        raise wrong("examples", "rows without ids", "rows of digit_hands")
    from sklearn.datasets import load_digits

    for row in examples.ids:
        if not _ID.fullmatch(row):
            raise wrong("examples.ids", repr(row), "rows of digit_hands like '12+931+5'")
    chosen = np.array([row.split("+") for row in examples.ids], dtype=int)
    shown = load_digits().target[chosen]
    place = torch.from_numpy(shown[:, None] == np.arange(10)[:, None])
    return place.repeat_interleave(_SIDE, 2)[:, :, None].expand(-1, -1, _SIDE, -1).contiguous()


def _tables(condition: str, rng: np.random.Generator) -> list[np.ndarray]:
    """The hands `(m, 3)` of each rank that is drawn uniformly; one table is all hands."""
    every = np.stack(np.meshgrid(*[np.arange(10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    if condition == "random":
        return [every]
    ranks = [every[hand_of(every) == rank] for rank in range(len(HANDS))]
    if condition == "hands":
        return ranks
    while True:
        sets = [set(rng.choice(hands).tolist()) for hands in ranks]
        if len(set().union(*sets)) == sum(map(len, sets)):
            break
    return [
        np.array([hand for hand in hands.tolist() if set(hand) == own])
        for hands, own in zip(ranks, sets, strict=True)
    ]


def _deal(tables: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    """`(size, 3)` digits: a table, then a hand of it."""
    table = rng.integers(len(tables), size=size)
    counts = np.array([len(hands) for hands in tables])
    place = (rng.random(size) * counts[table]).astype(int)
    starts = np.cumsum(counts) - counts
    dealt: np.ndarray = np.concatenate(tables)[starts[table] + place]
    return dealt


def _images_of(
    shown: np.ndarray, source: np.ndarray, digit_of: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A random source image of every digit shown."""
    chosen = np.empty_like(shown)
    for digit in range(10):
        own = source[digit_of[source] == digit]
        here = shown == digit
        chosen[here] = rng.choice(own, size=int(here.sum()))
    return chosen


def _turn(c: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Turn exactly this share of the entries round, in place."""
    chosen = rng.permutation(c.size)[: round(share * c.size)]
    c.flat[chosen] = 1 - c.flat[chosen]
