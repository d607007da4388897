"""A lossless code for rows of integers, with one frequency table per column.

The tables are integers and travel with the model, so a stream decodes to the same values on
every machine. Any int64 can be coded: what lies outside a column's window is coded as an escape,
then as the bit length of its distance from the window, whose table is fitted too, and as plain
bits (an exponential Golomb code with learnt lengths).

    stream = count of escapes | [bytes of lengths | lengths | bits | their CRC32] | symbols

Lengths and symbols are streams of `narrows.functional.rans`, each with a checksum of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narrows.errors import FileRefused, InvalidInput, InvalidType, wrong
from narrows.functional.bit_stack import Ints, enough, from_tail_bits, tail_bits
from narrows.functional.frequency_tables import Tables, frequencies, integers
from narrows.functional.rans import decode, encode, ideal_bits

__all__ = ["FactorizedCode", "decode", "encode", "frequencies", "ideal_bits"]

_SMOOTHING = 0.5  # Krichevsky and Trofimov's half a count
_KINDS = 128  # an escape's bit length and side


@dataclass(frozen=True)
class FactorizedCode:
    """A code that takes the columns as independent; made by `fit` or `from_tensors`.

    Memory: 50 bytes a table entry, and about 100 bytes a value while coding.

    Attributes:
        offset: `(n,)` int64. Symbol 0 of a column is the escape, `s` the value `offset + s - 1`.
        frequencies: `(n, symbols)` int64, 0 beyond the column's own symbols.
        kinds: `(128,)` int64, frequencies of the lengths and sides of escapes.

    Example:
        >>> code = FactorizedCode.fit([[0, 7], [1, 7], [0, 7]])
        >>> stream = code.encode([[1, 7], [0, -5]])
        >>> code.decode(stream, n_rows=2).tolist()
        [[1, 7], [0, -5]]
    """

    offset: Ints
    frequencies: Ints
    kinds: Ints

    @classmethod
    def fit(cls, values: ArrayLike) -> Self:
        """Fit histograms to integers `(N, n)`, at least one row and column.

        A column's window has at most 256, 1024, 4096 or 16384 values, what promises fewest bits.
        A value seen c times counts c + a, where a is half of the share of the window that was
        seen; the escape's a is a half.

        Raises:
            InvalidInput: another shape.
            InvalidType: values that are not integers.
        """
        table = integers("values", values, 2)
        if 0 in table.shape:
            raise wrong("values", f"shape {table.shape}", "shape (rows, columns), none empty")
        most = max(256, 2**22 // table.shape[1])
        spans = [span for span in (256, 1024, 4096, 16384) if span <= most]
        found = [_histogram(column, spans) for column in table.T]
        counts = np.zeros((len(found), 1 + max(len(seen) for _, seen in found)))
        for row, (_, seen) in zip(counts, found, strict=True):
            row[0] = len(table) - seen.sum() + _SMOOTHING
            row[1 : 1 + len(seen)] = seen + _SMOOTHING * np.count_nonzero(seen) / len(seen)
        offset = np.array([low for low, _ in found])
        kinds = np.full((1, _KINDS), _SMOOTHING)
        code = cls(offset, frequencies(counts), frequencies(kinds)[0])
        kinds += np.bincount(code._split(table)[1], minlength=_KINDS)
        return replace(code, kinds=frequencies(kinds)[0])

    def encode(self, values: ArrayLike) -> bytes:
        """Code integers `(N, n)`; without escapes the bits, 64 more and 0.1 % more, at most.

        Raises:
            InvalidInput: another width.
            InvalidType: values that are not integers.
        """
        symbols, kinds, distance = self._split(self._checked(values))
        head = _number(len(kinds))
        if len(kinds):
            lengths = encode(kinds, np.zeros_like(kinds), self._kinds)
            plain = np.packbits(tail_bits(distance, kinds // 2)).tobytes()
            head += _number(len(lengths)) + lengths + plain + _crc(plain)
        return head + encode(symbols.ravel(), self._columns(len(symbols)), self._tables)

    def decode(self, stream: bytes, n_rows: int) -> Tensor:
        """The values `(n_rows, n)` int64 that `encode` was given.

        Raises:
            FileRefused: a stream that is damaged, or of another code or number of rows.
        """
        if n_rows < 0:
            raise wrong("n_rows", n_rows, "at least 0")
        escaped, rest = _take_number(stream)
        enough(n_rows * len(self.offset) - escaped)
        kinds, distance = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if escaped:
            size, rest = _take_number(rest)
            lengths, rest = _take(rest, size)
            kinds = decode(lengths, np.zeros(escaped, np.int64), self._kinds)
            plain, rest = _take(rest, -(-int((kinds // 2).sum()) // 8))
            mark, rest = _take(rest, 4)
            if mark != _crc(plain):
                raise FileRefused("stream: found a wrong checksum of its escapes, wanted it whole")
            bits = np.unpackbits(np.frombuffer(plain, np.uint8))
            distance = from_tail_bits(bits[: (kinds // 2).sum()], kinds // 2)
        symbols = decode(rest, self._columns(n_rows), self._tables)
        return torch.from_numpy(
            self._join(symbols.reshape(n_rows, len(self.offset)), kinds, distance)
        )

    def bits(self, values: ArrayLike) -> Tensor:
        """The ideal bits of each row of `(N, n)`, `(N,)` float64.

        Example:
            >>> code = FactorizedCode.fit([[0], [1], [0], [1]])
            >>> code.bits([[0], [1]])
            tensor([1.1375, 1.1375], dtype=torch.float64)
        """
        table = self._checked(values)
        symbols, kinds, _ = self._split(table)
        ids = self._tables.ids(symbols.ravel(), self._columns(len(table)))
        bits = self._tables.bits[ids].reshape(table.shape)
        bits[symbols == 0] += self._kinds.bits[kinds] + kinds // 2
        return torch.from_numpy(bits.sum(1))

    def to_tensors(self) -> dict[str, Tensor]:
        """The tables as tensors, for a file or as buffers; `from_tensors` reads them."""
        return {
            "offset": torch.from_numpy(self.offset.copy()),
            "frequencies": torch.from_numpy(self.frequencies.astype(np.int32)),
            "kinds": torch.from_numpy(self.kinds.astype(np.int32)),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The code that `to_tensors` described.

        Raises:
            FileRefused: tensors missing, or tables that are none.
        """
        names = ("offset", "frequencies", "kinds")
        missing = sorted(set(names) - set(tensors))
        if missing:
            raise FileRefused(f"code: found no {missing}, wanted {list(names)}")
        parts = [tensors[name] for name in names]
        try:
            code = cls(
                *(integers(n, t, d) for n, t, d in zip(names, parts, (1, 2, 1), strict=True))
            )
            code._check()
        except (InvalidInput, InvalidType) as error:
            raise FileRefused(f"code: {error}") from error
        return code

    def _check(self) -> None:
        used = self.frequencies > 0
        if self.offset.shape != used.shape[:1] or self._tables.count != len(used):
            raise wrong("offset", f"shape {self.offset.shape}", f"shape {used.shape[:1]}")
        sizes = used.sum(1)
        if (used != (np.arange(used.shape[1]) < sizes[:, None])).any() or sizes.min() < 2:
            raise wrong("frequencies", "a gap within a table", "positive, then zero")
        if self.kinds.shape != (_KINDS,) or (self.kinds < 1).any() or self._kinds.count != 1:
            raise wrong("kinds", f"shape {self.kinds.shape}", f"{_KINDS} positive frequencies")
        if (self.offset > self._last).any():
            raise wrong("offset", f"up to {self.offset.max()}", "windows within int64")

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self.frequencies)

    @cached_property
    def _kinds(self) -> Tables:
        return Tables(self.kinds[None])

    @cached_property
    def _last(self) -> Ints:
        """The greatest value of each window, `(n,)`."""
        return self.offset + (self.frequencies > 0).sum(1) - 2

    def _columns(self, rows: int) -> Ints:
        return np.tile(np.arange(len(self.offset)), rows)

    def _checked(self, values: ArrayLike) -> Ints:
        table = integers("values", values, 2)
        if table.shape[1] != len(self.offset):
            raise wrong("values", f"shape {table.shape}", f"shape (rows, {len(self.offset)})")
        return table

    def _split(self, table: Ints) -> tuple[Ints, Ints, Ints]:
        """Symbols `(N, n)`, and of each escape, row by row, its kind and distance."""
        outside = (table < self.offset) | (table > self._last)
        symbols = np.where(outside, 0, table - self.offset + 1)
        value, column = table[outside], outside.nonzero()[1]
        low, high = self.offset[column], self._last[column]
        # Differences wrap modulo 2^64, so as unsigned numbers they are right.
        distance = np.where(value < low, low - value, value - high)
        return symbols, 2 * _bit_length(distance.view(np.uint64)) - 2 + (value < low), distance

    def _join(self, symbols: Ints, kinds: Ints, distance: Ints) -> Ints:
        """The inverse of `_split`."""
        outside = symbols == 0
        if outside.sum() != len(kinds):
            found = f"{len(kinds)} escapes for {outside.sum()}"
            raise FileRefused(f"stream: found {found}, wanted as many")
        table = self.offset + symbols - 1
        column = outside.nonzero()[1]
        below, above = self.offset[column] - distance, self._last[column] + distance
        table[outside] = np.where(kinds & 1, below, above)
        return table


def _histogram(column: Ints, spans: list[int]) -> tuple[int, NDArray[np.float64]]:
    """Least value and counts of a window."""
    value, count = np.unique(column, return_counts=True)
    covered = np.concatenate([[0], np.cumsum(count)])
    windows = [_window(value, covered, span) for span in spans]
    _, first, end = min(windows)
    low = int(value[first])
    counts = np.zeros(int(value[end - 1]) - low + 1)
    counts[value[first:end] - low] = count[first:end]
    return low, counts


def _window(value: Ints, covered: Ints, span: int) -> tuple[float, int, int]:
    """What the best window of a span wastes, in bits, and which distinct values it holds.

    Each value of the window takes one of 2^16 slots at least; an escape takes some 24 bits.
    """
    most = np.iinfo(np.int64).max
    end = np.searchsorted(value, np.minimum(value, most - span) + span)
    end[value > most - span] = len(value)
    inside = covered[end] - covered[:-1]
    first = int(inside.argmax())
    last = int(end[first])
    size = int(value[last - 1]) - int(value[first]) + 1
    total = int(covered[-1])
    waste = -total * np.log2(1 - size / 2**16) + 24.0 * (total - int(inside[first]))
    return float(waste), first, last


def _bit_length(values: NDArray[np.uint64]) -> Ints:
    length, rest = np.ones(len(values), np.int64), values.copy()
    for half in (32, 16, 8, 4, 2, 1):
        long = rest >> np.uint64(half) > 0
        rest[long] >>= np.uint64(half)
        length += half * long
    return length


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _number(value: int) -> bytes:
    """A number in groups of seven bits, the last of them first."""
    groups = [value & 127]
    while value := value >> 7:
        groups[-1] |= 128
        groups.append(value & 127)
    return bytes(groups)


def _take_number(data: bytes) -> tuple[int, bytes]:
    value = 0
    for i, group in enumerate(data[:9]):
        value |= (group & 127) << 7 * i
        if group < 128 and (group or not i):
            return value, data[i + 1 :]
    raise FileRefused("stream: found no number at its beginning, wanted a whole stream")


def _take(data: bytes, size: int) -> tuple[bytes, bytes]:
    enough(len(data) - size)
    return data[:size], data[size:]
