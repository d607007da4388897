"""Shifts between training and test images, for made-up data sets."""

from __future__ import annotations

import numpy as np

from narrows.errors import wrong

_WANTED = "'invert', 'contrast:<factor>', 'noise:<deviation>' or 'patch'"


def check_shift(shift: str | None) -> None:
    """Refuse a shift that does not exist or whose number cannot be.

    Example:
        >>> check_shift("contrast:0.4")
    """
    if shift is not None:
        _parsed(shift)


def shifted(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    shift: str,
    test: bool,
    strength: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Images of one split under a shift.

    `invert` (1 - x), `contrast:f` (0.5 + f (x - 0.5)) and `noise:s` (normal noise of deviation
    s, clipped to [0, 1]) change test images only. `patch` paints the upper left 2 x 2 corner of
    all images with level k / (classes - 1). In training k is y; in test it is the class half
    the classes away; with probability 1 - strength it is any class.

    Args:
        x: `(n, channels, height, width)` in [0, 1]; left as it is.
        y: `(n,)` class ids.
        classes: how many there are.
        shift: which one.
        test: whether this is the test split.
        strength: of the patch.
        rng: for noise and patch.

    Raises:
        InvalidInput: an unknown shift.
    """
    name, number = _parsed(shift)
    if name == "patch":
        told = (y + classes // 2) % classes if test else y
        random = rng.integers(classes, size=len(y))
        shown = np.where(rng.random(len(y)) < strength, told, random)
        painted = x.copy()
        painted[:, :, :2, :2] = (shown / (classes - 1))[:, None, None, None]
        return painted
    if not test:
        return x
    if name == "noise":
        noise: np.ndarray = rng.standard_normal(x.shape, dtype=np.float32)
        return (x + np.float32(number) * noise).clip(0, 1)
    half, factor = np.float32(0.5), np.float32(-1 if name == "invert" else number)
    changed: np.ndarray = half + factor * (x - half)
    return changed


def _parsed(shift: str) -> tuple[str, float]:
    name, _, text = shift.partition(":")
    if name in ("invert", "patch") and not text:
        return name, 0.0
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if name not in ("contrast", "noise") or not 0 <= number <= 1:
        raise wrong("shift", repr(shift), f"{_WANTED}, numbers in [0, 1]")
    return name, number
