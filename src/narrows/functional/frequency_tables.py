"""Integer frequency tables for an entropy coder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.functional.bit_stack import Ints

_LOOKUP = 2**24  # slots that a look-up table may have
_COARSE = 6  # a coarse one holds every 64th
Finder = Callable[[Ints, Ints], Ints]


def frequencies(counts: ArrayLike, precision: int = 16) -> Ints:
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


def _first(count: Ints, like: Ints) -> NDArray[np.bool_]:
    return np.arange(like.shape[1]) < count


class Tables:
    """Frequency tables, checked and made ready once for many streams.

    They are flat, with rows as wide as a power of two: an id is `row * width + symbol`.

    Memory: 40 bytes an entry, and once many symbols are decoded up to 2^24 slots (32 or 64 MB).
    """

    def __init__(self, tables: ArrayLike) -> None:
        table = integers("tables", tables, 2)
        if 0 in table.shape or (table < 0).any():
            raise wrong("tables", "none or negative values", "frequencies >= 0")
        sums = np.unique(table.sum(1))
        self.slots = int(sums[0])
        self.precision = self.slots.bit_length() - 1
        if len(sums) > 1 or not 0 <= self.precision <= 16 or self.slots != 1 << self.precision:
            raise wrong("tables", f"row sums {sums[:3]}", "one power of two, at most 2^16")
        self.count, self.symbols = table.shape
        self.width = 1 << (self.symbols - 1).bit_length()
        table = np.pad(table, ((0, 0), (0, self.width - self.symbols)))
        sure = table.max(1) == self.slots
        self.certain = np.where(sure, table.argmax(1) + np.arange(self.count) * self.width, -1)
        self.starts = np.cumsum(table, 1) - table
        self.freq, self.start = table.ravel(), self.starts.ravel()
        self.bits = self.precision - np.log2(np.maximum(self.freq, 1))
        self._uses = 0

    def rows(self, table_index: ArrayLike) -> Ints:
        """Checked rows `(N,)`."""
        rows = integers("table_index", table_index, 1)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.count):
            found = f"values in [{rows.min()}, {rows.max()}]"
            raise wrong("table_index", found, f"rows in [0, {self.count})")
        return rows

    def ids(self, symbols: ArrayLike, rows: Ints) -> Ints:
        """Checked ids `(N,)`."""
        value = integers("symbols", symbols, 1)
        if value.shape != rows.shape:
            raise wrong("symbols", f"shape {value.shape}", f"shape {rows.shape} of table_index")
        if len(value) and not (value.min() >= 0 and value.max() < self.symbols):
            found = f"values in [{value.min()}, {value.max()}]"
            raise wrong("symbols", found, f"columns in [0, {self.symbols})")
        ids = rows * self.width + value
        free = self.freq[ids] == 0
        if free.any():
            at = int(free.argmax())
            found = f"{value[at]} under table {rows[at]}, of frequency 0"
            raise wrong("symbols", found, "frequencies of 1 or more")
        return ids

    def finder(self, uses: int) -> Finder:
        """A function of rows and slots `(lanes,)` that gives ids.

        Halving, where that many uses are not worth a table; a table of every 64th slot, which
        settles most, with halving for the rest; and a table of all slots, once that many uses
        have been asked for in all.
        """
        self._uses += uses
        if self.count * self.slots <= min(_LOOKUP, 8 * self._uses):
            return self._look_up
        if self.precision <= _COARSE or self.count << self.precision - _COARSE > 8 * uses:
            return self._halve
        return self._step

    @cached_property
    def _every(self) -> NDArray[np.unsignedinteger]:
        kind = np.min_scalar_type(len(self.freq))
        return np.repeat(np.arange(len(self.freq), dtype=kind), self.freq)

    @cached_property
    def _coarse(self) -> Ints:
        return self._at_every(1 << _COARSE)

    def _look_up(self, row: Ints, slot: Ints) -> Ints:
        return self._every[(row << self.precision) + slot].astype(np.int64)

    def _step(self, row: Ints, slot: Ints) -> Ints:
        at = self._coarse[(row << self.precision - _COARSE) + (slot >> _COARSE)]
        late = (self.start[at] + self.freq[at] <= slot).nonzero()[0]
        at[late] += 1
        now = at[late]
        late = late[self.start[now] + self.freq[now] <= slot[late]]
        if len(late):
            at[late] = self._halve(row[late], slot[late])
        return at

    def _at_every(self, step: int) -> Ints:
        """Ids at slots 0, step, 2 step, ... of each row, one row after the other."""
        used = self.freq.nonzero()[0]
        first = (used // self.width * self.slots + self.start[used] + step - 1) // step
        at = np.zeros(self.count * self.slots // step + 1, np.int64)
        at[first] = used  # of several that start before the same place the last stays
        return np.maximum.accumulate(at)

    def _halve(self, row: Ints, slot: Ints) -> Ints:
        """The last symbol that starts at or before the slot."""
        at, step = row * self.width, self.width // 2
        while step:
            at = at + step * (self.start[at + step] <= slot)
            step //= 2
        return at


def integers(name: str, values: ArrayLike, ndim: int) -> Ints:
    """An int64 array of `ndim` dimensions from a tensor, an array or a list."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise wrong_type(name, array.dtype, "integers")
    if array.ndim != ndim:
        raise wrong(name, f"shape {array.shape}", f"{ndim} dimensions")
    return array.astype(np.int64, copy=False)
