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
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import FileRefused
from narrows.functional.bit_stack import (
    LOW,
    Ints,
    enough,
    from_bytes,
    pop,
    push,
    push_words,
    to_bytes,
    words_of,
)
from narrows.functional.frequency_tables import Finder, Tables

_LANES = (1, 64, 256, 1024, 4096)
_PAY = 96  # bits on the stack per new lane; popping takes at most 51, and 0.1 % is to hold


def encode(symbols: ArrayLike, table_index: ArrayLike, tables: ArrayLike | Tables) -> bytes:
    """Code symbols, each under its own table.

    Memory: about 80 bytes a symbol.

    Args:
        symbols: `(N,)` integers, columns of `tables`.
        table_index: `(N,)` integers, rows of `tables`.
        tables: `(tables, symbols)` integers, each row summing to the same power of two, at most
            2^16 (see `frequencies`), or these as `Tables`.

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
    code = _ready(tables)
    ids = code.ids(symbols, code.rows(table_index))
    if (code.certain >= 0).any():
        ids = ids[code.freq[ids] < code.slots]  # a certain symbol says nothing
    freq, start = code.freq[ids], code.start[ids]
    header = _plan(code.bits[ids])
    stack = push(np.zeros(0, np.uint8), _first_state(ids & code.width - 1))
    for lanes, part in _blocks(len(ids), header):
        stack, states = pop(stack, lanes)
        push_symbols = _push_one if lanes == 1 else _push_many
        words = push_symbols(states, freq[part], start[part], code.precision)
        stack = push(push_words(stack, words), states)
    return bytes([header]) + to_bytes(stack)


def decode(stream: bytes, table_index: ArrayLike, tables: ArrayLike | Tables) -> Ints:
    """The symbols that `encode` was given; arguments as there.

    Raises:
        InvalidInput: tables or indices that no stream can have.
        FileRefused: a stream that is damaged, or was not made with these tables and indices.
    """
    code = _ready(tables)
    rows = code.rows(table_index)
    if not (code.certain >= 0).any():
        return _decode(stream, rows, code) & code.width - 1
    ids = code.certain[rows]
    unsure = ids < 0
    ids[unsure] = _decode(stream, rows[unsure], code)
    return ids & code.width - 1


def _decode(stream: bytes, rows: Ints, code: Tables) -> Ints:
    """Ids under tables that all have more than one symbol."""
    ids = np.zeros_like(rows)
    blocks = list(_blocks(len(ids), stream[0])) if stream else []
    find, stack = code.finder(len(ids)), from_bytes(stream[1:])
    for lanes, part in reversed(blocks):
        stack, states = pop(stack, lanes)
        pop_symbols = _pop_one if lanes == 1 else _pop_many
        used = pop_symbols(states, words_of(stack), code, find, rows[part], ids[part])
        stack = push(stack[: len(stack) - 16 * used], states)
    rest, state = pop(stack, 1)
    if len(rest) or state != _first_state(ids & code.width - 1):
        raise FileRefused("stream: found a wrong checksum, wanted a stream of these tables")
    return ids


def ideal_bits(symbols: ArrayLike, table_index: ArrayLike, tables: ArrayLike | Tables) -> float:
    """The information of symbols under their tables, `-sum log2(f / M)`; arguments as `encode`.

    Example:
        >>> ideal_bits([0, 1], [0, 0], [[8, 4, 4]])
        3.0
    """
    code = _ready(tables)
    return float(code.bits[code.ids(symbols, code.rows(table_index))].sum())


def _ready(tables: ArrayLike | Tables) -> Tables:
    return tables if isinstance(tables, Tables) else Tables(tables)


def _plan(bits: NDArray[np.float64]) -> int:
    """The header byte: how many sets of lanes are used, and how long each waits.

    The set of `n` lanes starts when `n << shift` symbols, counted from the end, are coded. This
    is the quickest choice whose every set the stack can pay for, by times in microseconds.
    """
    paid = np.cumsum(bits[::-1])
    best = (0.5 * len(bits), 0)
    for shift in range(32):
        for sets in range(1, len(_LANES)):
            wait = _LANES[sets] << shift
            if wait >= len(bits) or paid[wait - 1] < _PAY * _LANES[sets]:
                break
            header, time = sets << 5 | shift, 0.0
            for lanes, part in _blocks(len(bits), header):
                size = part.stop - part.start
                time += 0.5 * size if lanes == 1 else 100 + size * (14 / lanes + 0.012)
            best = min(best, (time, header))
    return best[1]


def _blocks(count: int, header: int) -> Iterator[tuple[int, slice]]:
    """Sets of lanes and the symbols they code, in the order of encoding: from the end."""
    sets, shift = header >> 5, header & 31
    ends = [n << shift for n in _LANES[1 : sets + 1]]
    if sets >= len(_LANES) or (ends and ends[-1] >= count) or (shift and not sets):
        raise FileRefused("stream: found a wrong header, wanted a stream of this many symbols")
    for lanes, low, high in zip(_LANES, [0, *ends], [*ends, count], strict=False):
        yield lanes, slice(count - high, count - low)


def _first_state(symbols: Ints) -> Ints:
    return np.array([LOW | zlib.crc32(symbols.astype("<u4").tobytes())])


def _push_many(states: Ints, freq: Ints, start: Ints, precision: int) -> Ints:
    """Push symbols in place, the last first; the words that left, in the order they did."""
    lanes, gap, limit = len(states), (1 << precision) - freq, freq << 48 - precision
    words = [states[:0]]
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


def _push_one(states: Ints, freq: Ints, start: Ints, precision: int) -> Ints:
    """`_push_many` for one lane, without a numpy call per symbol."""
    x, room, words = int(states[0]), 48 - precision, []
    for f, c in zip(reversed(freq.tolist()), reversed(start.tolist()), strict=True):
        if x >= f << room:
            words.append(x & 0xFFFF)
            x >>= 16
        share, rest = divmod(x, f)
        x = (share << precision) + rest + c
    states[0] = x
    return np.array(words, np.int64)


def _pop_many(states: Ints, words: Ints, code: Tables, find: Finder, rows: Ints, ids: Ints) -> int:
    """Pop symbols in place, into `ids`; how many words came back."""
    lanes, at = len(states), len(words)
    for low in range(0, len(rows), lanes):
        part = slice(low, low + lanes)
        x = states[: len(rows) - low]
        slot = x & code.slots - 1
        ids[part] = find(rows[part], slot)
        now = ids[part]
        x >>= code.precision
        x *= code.freq[now]
        slot -= code.start[now]
        x += slot
        short = (x < LOW).nonzero()[0]
        at -= len(short)
        enough(at)
        x[short] = x[short] << 16 | words[at : at + len(short)]
    return len(words) - at


def _pop_one(states: Ints, words: Ints, code: Tables, find: Finder, rows: Ints, ids: Ints) -> int:
    """`_pop_many` for one lane."""
    x, precision, mask = int(states[0]), code.precision, code.slots - 1
    left = words[max(0, len(words) - len(rows)) :].tolist()  # a symbol takes one at most
    at, found = len(left), []
    starts = {row: [*code.starts[row].tolist(), code.slots] for row in np.unique(rows).tolist()}
    for row in rows.tolist():
        ends = starts[row]
        slot = x & mask
        symbol = bisect_right(ends, slot)
        start = ends[symbol - 1]
        x = (ends[symbol] - start) * (x >> precision) + slot - start
        if x < LOW:
            at -= 1
            enough(at)
            x = x << 16 | left[at]
        found.append(symbol - 1)
    states[0] = x
    ids[:] = rows * code.width + np.array(found, np.int64)
    return len(left) - at
