"""Integer frequency tables for an entropy coder."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import wrong


def frequencies(counts: ArrayLike, precision: int = 16) -> NDArray[np.int64]:
    """Round counts to integer frequencies that sum to `2^precision`.

    A positive count gets at least 1; a zero stays 0, and such a symbol cannot be coded. The
    shares that 1 is too much for are set first, the others scaled to what is left and floored,
    and the remaining slots go where one more saves the most bits.

    Args:
        counts: `(tables, symbols)` finite numbers >= 0 on any scale.
        precision: 1 to 16.

    Returns:
        `(tables, symbols)`.

    Raises:
        InvalidInput: other values, or a table with no positive count or more than
            `2^precision` of them.

    Example:
        >>> frequencies([[3, 1, 0], [0, 0, 5]], precision=4)
        array([[12,  4,  0],
               [ 0,  0, 16]])
    """
    share = np.asarray(counts, np.float64)
    if share.ndim != 2 or 0 in share.shape:
        raise wrong("counts", f"shape {share.shape}", "shape (tables, symbols), none empty")
    if not np.isfinite(share).all() or (share < 0).any():
        raise wrong("counts", "NaN, infinite or negative values", "finite numbers >= 0")
    if not 1 <= precision <= 16:
        raise wrong("precision", precision, "1 to 16")
    slots, used = 2**precision, share > 0
    sizes = used.sum(1)
    if sizes.min() < 1 or sizes.max() > slots:
        found = f"{sizes.min()} to {sizes.max()} positive counts in a table"
        raise wrong("counts", found, f"1 to {slots}")
    share = share / share.max(1, keepdims=True)
    fixed = ~used
    while True:
        room = slots - (fixed & used).sum(1, keepdims=True)
        rest = np.where(fixed, 0.0, share).sum(1, keepdims=True)
        ideal = share * (room / np.maximum(rest, 1e-300))
        small = ~fixed & (ideal < 1)
        if not small.any():
            break
        fixed |= small
    freq = np.where(fixed, used, np.floor(ideal)).astype(np.int64)
    # One more slot saves about share / (freq + 1/2) of a nat per symbol.
    gain = np.where(used, share / (freq + 0.5), -1.0)
    best = np.argsort(-gain, axis=1, kind="stable")
    left = slots - freq.sum(1, keepdims=True)
    np.put_along_axis(freq, best, np.take_along_axis(freq, best, 1) + _first(left, best), 1)
    return freq


def _first(count: NDArray[np.int64], like: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.arange(like.shape[1]) < count
