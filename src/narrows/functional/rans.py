"""Entropy coding with integer frequency tables: interleaved rANS in numpy.

Range asymmetric numeral systems (Duda, arXiv:1311.2540) keep a message in one integer `x`. A
symbol that owns the slots `[c, c + f)` of `M = 2^precision` is pushed and popped by

    x -> (x // f) M + x % f + c        the symbol from x % M, x -> f (x // M) + x % M - c

Interleaved (Giesen, arXiv:1402.3392), with states in [2^32, 2^48); what overflows leaves as
16-bit words. numpy needs many states ("lanes") to be quick, and each takes 36 to 51 bits to
write down, which would burden a short message. So the stream is a stack of bits, as in
bits-back coding: a larger set of lanes does not start from nothing but is popped off the stack,
from bits that the smaller set before it has written, and is pushed back when it is done. Sets
grow fourfold from 1 to 4096 as the stack can pay for them. What remains constant is a header
byte, the first state, which is the CRC32 of the symbols, and padding: at most 52 bits.

Decoding is integer arithmetic only: a stream gives the same symbols on every machine.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narrows.errors import FileRefused, wrong, wrong_type

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]  # zeros and ones, the top of the stack last
_LOW = 2**32
_LANES = (1, 64, 256, 1024, 4096)
_PAY = 96  # bits on the stack per new lane; popping takes at most 51, and 0.1 % is to hold
_LOOKUP = 2**24  # slots that a look-up table may have


def encode(symbols: ArrayLike, table_index: ArrayLike, tables: ArrayLike) -> bytes:
    """Code symbols, each under its own table.

    Memory: about 80 bytes a symbol.

    Args:
        symbols: `(N,)` integers, columns of `tables`.
        table_index: `(N,)` integers, rows of `tables`.
        tables: `(tables, symbols)` integers, each row summing to the same power of two, at most
            2^16; see `frequencies`.

    Returns:
        The ideal bits, and at most 52 more and 0.1 % more.

    Raises:
        InvalidInput: other values, or a symbol of frequency 0.
        InvalidType: values that are not integers.

    Example:
        >>> tables = [[8, 4, 4], [15, 1, 0]]
        >>> stream = encode([2, 0, 0, 1], [0, 0, 1, 1], tables)
        >>> decode(stream, [0, 0, 1, 1], tables)
        array([2, 0, 0, 1])
    """
    code = _Code(tables)
    ids = code.ids(symbols, code.rows(table_index))
    ids = ids[code.freq[ids] < code.slots]  # a certain symbol says nothing
    freq, start = code.freq[ids], code.start[ids]
    header = _plan(code.bits[ids])
    stack = _push(np.zeros(0, np.uint8), _first_state(ids % code.width))
    for lanes, part in _blocks(len(ids), header):
        stack, states = _pop(stack, lanes)
        words = _push_symbols(states, freq[part], start[part], code.precision)
        stack = _push(np.concatenate([stack, _to_bits(words)]), states)
    bits = np.concatenate([np.ones(1, np.uint8), stack])  # the first one marks the bottom
    padding = np.zeros(-len(bits) % 8, np.uint8)
    return bytes([header]) + np.packbits(np.concatenate([padding, bits])).tobytes()


def decode(stream: bytes, table_index: ArrayLike, tables: ArrayLike) -> Ints:
    """The symbols that `encode` was given; arguments as there.

    Raises:
        InvalidInput: tables or indices that no stream can have.
        FileRefused: a stream that was not made with these tables and indices, or is damaged.
    """
    code = _Code(tables)
    rows = code.rows(table_index)
    ids = code.certain[rows]
    open_ = (ids < 0).nonzero()[0]
    found, rows = np.zeros(len(open_), np.int64), rows[open_]
    if len(stream) < 2 or stream[1] == 0:
        raise FileRefused("stream: found no mark of its beginning, wanted a whole stream")
    bits = np.unpackbits(np.frombuffer(stream, np.uint8, offset=1))
    stack = bits[bits.argmax() + 1 :]
    for lanes, part in reversed(list(_blocks(len(found), stream[0]))):
        stack, states = _pop(stack, lanes)
        words = _to_words(stack)
        used = _pop_symbols(states, words, code, rows[part], found[part])
        stack = _push(stack[: len(stack) - 16 * used], states)
    rest, state = _pop(stack, 1)
    if len(rest) or state != _first_state(found - rows * code.width):
        raise FileRefused("stream: found a wrong checksum, wanted the stream of these tables")
    ids[open_] = found
    return ids - code.rows(table_index) * code.width


def ideal_bits(symbols: ArrayLike, table_index: ArrayLike, tables: ArrayLike) -> float:
    """The information of the symbols under their tables: `-sum log2(f / M)`; as `encode`.

    Example:
        >>> ideal_bits([0, 1], [0, 0], [[8, 4, 4]])
        3.0
    """
    code = _Code(tables)
    return float(code.bits[code.ids(symbols, code.rows(table_index))].sum())


class _Code:
    """Checked tables, flat and as wide as a power of two, so that row and symbol are one number."""

    def __init__(self, tables: ArrayLike) -> None:
        table = integers("tables", tables, 2)
        if 0 in table.shape or (table < 0).any():
            raise wrong("tables", "none or negative values", "frequencies >= 0")
        sums = np.unique(table.sum(1))
        self.slots = int(sums[0])
        self.precision = self.slots.bit_length() - 1
        if len(sums) > 1 or not 0 <= self.precision <= 16 or self.slots != 1 << self.precision:
            raise wrong("tables", f"rows that sum to {sums[:3]}", "one power of two, at most 2^16")
        self.count, self.symbols = table.shape
        self.width = 1 << (self.symbols - 1).bit_length()
        table = np.pad(table, ((0, 0), (0, self.width - self.symbols)))
        full = table.max(1) == self.slots
        self.certain = np.where(full, table.argmax(1) + np.arange(self.count) * self.width, -1)
        self.starts = np.cumsum(table, 1) - table
        self.freq, self.start = table.ravel(), self.starts.ravel()
        self.bits = self.precision - np.log2(np.maximum(self.freq, 1))

    def rows(self, table_index: ArrayLike) -> Ints:
        """Checked rows `(N,)`."""
        rows = integers("table_index", table_index, 1)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.count):
            found = f"values in [{rows.min()}, {rows.max()}]"
            raise wrong("table_index", found, f"rows in [0, {self.count})")
        return rows

    def ids(self, symbols: ArrayLike, rows: Ints) -> Ints:
        """Row and symbol as one number `(N,)`."""
        value = integers("symbols", symbols, 1)
        if value.shape != rows.shape:
            raise wrong("symbols", f"shape {value.shape}", f"shape {rows.shape} of table_index")
        inside = (value >= 0) & (value < self.symbols)
        ids = rows * self.width + np.where(inside, value, 0)
        bad = ~inside | (self.freq[ids] == 0)
        if bad.any():
            at = int(bad.argmax())
            found = f"symbol {value[at]} of table {rows[at]} at {at}"
            raise wrong("symbols", found, "symbols of frequency 1 or more")
        return ids

    def finder(self, uses: int) -> tuple[int, Callable[[Ints, Ints], Ints]]:
        """How to find ids: a factor of the rows, and a function of rows times it and slots."""
        if self.count * self.slots <= min(_LOOKUP, 8 * uses):
            kind = np.min_scalar_type(len(self.freq))
            table = np.repeat(np.arange(len(self.freq), dtype=kind), self.freq)
            return self.slots, lambda base, slot: table[base + slot]
        return self.width, self._search

    def _search(self, base: Ints, slot: Ints) -> Ints:
        """The last symbol that starts at or before the slot, by halving."""
        at, step = base, self.width // 2
        while step:
            at = at + step * (self.start[at + step] <= slot)
            step //= 2
        return at


def integers(name: str, values: ArrayLike, ndim: int) -> Ints:
    """An int64 array with `ndim` dimensions from anything like one, or an error."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise wrong_type(name, array.dtype, "integers")
    if array.ndim != ndim:
        raise wrong(name, f"shape {array.shape}", f"{ndim} dimensions")
    return array.astype(np.int64, copy=False)


def _plan(bits: NDArray[np.float64]) -> int:
    """The header byte: which sets of lanes are used, and how many symbols each waits for.

    The set of `n` lanes starts when `n << shift` symbols, counted from the end, are coded. The
    quickest choice whose every set the stack can pay for; times in microseconds.
    """
    paid = np.cumsum(bits[::-1])
    best = (0.5 * len(bits), 0)
    for shift in range(32):
        for sets in range(1, len(_LANES)):
            wait = _LANES[sets] << shift
            if wait >= len(bits) or paid[wait - 1] < _PAY * _LANES[sets]:
                break
            header = sets << 5 | shift
            steps = ((len(range(*p.indices(len(bits)))) / n, n) for n, p in _blocks(len(bits), header))
            cost = sum(s * (0.5 if n == 1 else 14 + 0.012 * n) + 100 for s, n in steps)
            best = min(best, (cost, header))
    return best[1]


def _blocks(count: int, header: int) -> Iterator[tuple[int, slice]]:
    """Sets of lanes and the symbols they code, in the order of encoding: from the end."""
    sets, shift = header >> 5, header & 31
    ends = [n << shift for n in _LANES[1 : sets + 1]]
    if sets >= len(_LANES) or (ends and ends[-1] >= count):
        raise FileRefused("stream: found an impossible header, wanted a stream of this length")
    for lanes, low, high in zip(_LANES, [0, *ends], [*ends, count], strict=False):
        yield lanes, slice(count - high, count - low)


def _first_state(symbols: Ints) -> Ints:
    return np.array([_LOW | zlib.crc32(symbols.astype("<u4").tobytes())], np.int64)


def _to_bits(words: Ints) -> Bits:
    return np.unpackbits(words.astype(">u2").view(np.uint8))


def _to_words(stack: Bits) -> Ints:
    whole = len(stack) // 16 * 16
    return np.packbits(stack[len(stack) - whole :]).view(">u2").astype(np.int64)


def _low_bits(extra: Ints) -> NDArray[np.bool_]:
    """Which of 64 bits, the highest first, lie below the leading one of each state."""
    return np.arange(64) >= 32 - extra[:, None]


def _push(stack: Bits, states: Ints) -> Bits:
    """Put states on the stack: what follows their leading one, then where that one was."""
    extra = (states[:, None] >> np.arange(33, 48) > 0).sum(1)
    if states.min() < _LOW:
        raise FileRefused("stream: found an impossible state, wanted the stream of these tables")
    bits = np.unpackbits(states.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    places = np.unpackbits(extra.astype(np.uint8)[:, None], axis=1)[:, 4:]
    return np.concatenate([stack, bits[_low_bits(extra)], places.ravel()])


def _pop(stack: Bits, lanes: int) -> tuple[Bits, Ints]:
    """Take states off the stack; the rest of the stack, and the states."""
    places = stack[len(stack) - 4 * lanes :].reshape(-1, 4)
    extra = places @ np.array([8, 4, 2, 1]) if len(places) == lanes else np.zeros(0, np.int64)
    ...


def _push_symbols(states: Ints, freq: Ints, start: Ints, precision: int) -> Ints:
    """Push symbols in place, the last first; the words that left, in the order they did."""
    if len(states) == 1:
        return _push_symbols_one(states, freq.tolist(), start.tolist(), precision)
    lanes, gap, limit = len(states), (1 << precision) - freq, freq << 48 - precision
    words = []
    for low in range((len(freq) - 1) // lanes * lanes, -1, -lanes):
        part = slice(low, low + lanes)
        x = states[: len(freq) - low]
        full = (x >= limit[part]).nonzero()[0]
        spilt = x[full]
        words.append(spilt & 0xFFFF)
        x[full] = spilt >> 16
        share = x // freq[part]
        share *= gap[part]
        x += share
        x += start[part]
    return np.concatenate(words)
