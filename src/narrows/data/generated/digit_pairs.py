"""`digit_pairs`: two handwritten digits side by side, with exact concepts.

The digits are scikit-learn's `load_digits` (1,797 images of 8 x 8, UCI Optical Recognition of
Handwritten Digits), which the package carries: nothing is downloaded. The idea is the
UMNIST-addition task of concept embedding models (Espinosa Zarlenga et al. 2022) at a size for
a laptop: the label is a known function of the concepts, and each concept has a known place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from narrows.data.assemble import schema_settings
from narrows.data.generated.shift import check_shift, shifted
from narrows.data.record import Concepts, Dataset, Examples
from narrows.data.registry import dataset
from narrows.data.split import SPLITS, check_seed, split_rows
from narrows.errors import wrong

CONCEPTS = Concepts(
    tuple(f"{side} is {digit}" for side in ("left", "right") for digit in range(10)),
    (tuple(range(10)), tuple(range(10, 20))),
)


@dataset("digit_pairs")
def digit_pairs(
    sizes: Sequence[int] = (10_000, 2_000, 2_000),
    task: str = "sum",
    seed: int = 0,
    co_occurrence: float = 0.0,
    shift: str | None = None,
    shift_strength: float = 0.9,
    missing: float = 0.0,
) -> Dataset:
    """Pairs of digits on a canvas (1, 8, 16) in [0, 1].

    The source digits are split first (70/15/15, stratified), so no image is in two splits.
    The concepts are `left is 0` to `right is 9`, two exclusive groups of ten. An id `12+931`
    says which source images make the pair.

    Args:
        sizes: pairs in train, val and test.
        task: `sum` (0 to 18), `parity` (of the sum: `even`, `odd`), or `at_least:<t>` (whether
            the sum is at least t: False, True).
        seed: of everything random; each knob has its own stream, so turning one leaves the
            rest of the data as it was.
        co_occurrence: with this probability the right digit is (3 left + 1) mod 10; else both
            are independent and uniform.
        shift: how test images differ: `invert`, `contrast:0.4`, `noise:0.3`, or `patch` (a
            2 x 2 corner, in all splits, whose grey level tells the class in train and val and
            another class in test).
        shift_strength: how often the patch tells what it should; else its level is random.
        missing: the share of concept labels in train that are set unknown.

    Raises:
        InvalidInput: a knob out of range or a task or shift that does not exist.

    Example:
        >>> pairs = digit_pairs(sizes=(50, 10, 10))
        >>> row = pairs.train[0]
        >>> left, right = row.c[0, :10].argmax(), row.c[0, 10:].argmax()
        >>> row.labels == [int(left + right)]
        True
    """
    _check(sizes, seed, co_occurrence, missing, shift_strength)
    labels_of, classes = _task(task)
    check_shift(shift)
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    sources = split_rows(digits.target.tolist(), seed)
    pair_seeds, shift_seeds, missing_seed = np.random.SeedSequence(seed).spawn(3)
    parts: dict[str, Examples] = {}
    streams = zip(SPLITS, sizes, pair_seeds.spawn(3), shift_seeds.spawn(3), strict=True)
    for split, size, pair_seed, shift_seed in streams:
        pairs = _draw(sources[split], digits.target, size, co_occurrence, pair_seed)
        shown = digits.target[pairs]
        x = np.concatenate([images[pairs[:, 0]], images[pairs[:, 1]]], axis=2)[:, None]
        y = labels_of(shown.sum(axis=1))
        if shift is not None:
            rng = np.random.default_rng(shift_seed)
            x = shifted(x, y, len(classes), shift, split == "test", shift_strength, rng)
        c = np.concatenate(
            [np.eye(10, dtype=np.float32)[shown[:, side]] for side in (0, 1)], axis=1
        )
        if split == "train":
            _forget(c, missing, np.random.default_rng(missing_seed))
        ids = tuple(f"{left}+{right}" for left, right in pairs.tolist())
        parts[split] = Examples(
            torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(c), classes, CONCEPTS, ids
        )
    settings = {
        "source": "digit_pairs",
        "sizes": dict(zip(SPLITS, sizes, strict=True)),
        "task": task,
        "seed": seed,
        "co_occurrence": co_occurrence,
        "shift": shift,
        "shift_strength": shift_strength,
        "missing": missing,
        "shape": [1, 8, 16],
        "features": None,
        **schema_settings(classes, CONCEPTS),
    }
    return Dataset("digit_pairs", **parts, settings=settings)


def _check(
    sizes: Sequence[int], seed: int, co_occurrence: float, missing: float, strength: float
) -> None:
    if len(sizes) != 3 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise wrong("sizes", sizes, "three positive whole numbers: train, val, test")
    check_seed(seed)
    shares = {"co_occurrence": co_occurrence, "missing": missing, "shift_strength": strength}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise wrong(name, value, "a share in [0, 1]")


def _task(task: str) -> tuple[Any, tuple[Any, ...]]:
    """From sums to class ids, and the classes."""
    if task == "sum":
        return (lambda total: total.astype(np.int64)), tuple(range(19))
    if task == "parity":
        return (lambda total: (total % 2).astype(np.int64)), ("even", "odd")
    name, _, level = task.partition(":")
    if name == "at_least" and level.isdecimal() and 1 <= int(level) <= 18:
        return (lambda total: (total >= int(level)).astype(np.int64)), (False, True)
    raise wrong("task", repr(task), "'sum', 'parity' or 'at_least:<t>' with t from 1 to 18")


def _draw(
    source: np.ndarray,
    digit_of: np.ndarray,
    size: int,
    co_occurrence: float,
    seed: np.random.SeedSequence,
) -> np.ndarray:
    """`(size, 2)` source images: the digits first, then an image of each digit."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(10, size=(size, 2))
    tied = rng.random(size) < co_occurrence
    digits[tied, 1] = (3 * digits[tied, 0] + 1) % 10
    by_digit = source[np.argsort(digit_of[source], kind="stable")]
    counts = np.bincount(digit_of[source], minlength=10)
    starts = np.cumsum(counts) - counts
    place = (rng.random((size, 2)) * counts[digits]).astype(int)
    chosen: np.ndarray = by_digit[starts[digits] + place]
    return chosen


def _forget(c: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Set exactly this share of the entries unknown, in place."""
    chosen = rng.permutation(c.size)[: round(share * c.size)]
    c.flat[chosen] = np.nan
