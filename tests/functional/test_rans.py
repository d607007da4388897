"""The entropy coder: exactness, length, refusal."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import FileRefused, InvalidInput, InvalidType
from narrows.functional import rans
from narrows.functional.frequency_tables import frequencies
from narrows.functional.rans import decode, encode, ideal_bits


def _draw(freq: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Symbols drawn from the tables, and their rows."""
    rows = rng.integers(0, len(freq), n)
    ends = np.cumsum(freq, 1)
    slot = rng.integers(0, ends[0, -1], n)
    return (slot[:, None] >= ends[rows]).sum(1), rows


def _bell(tables: int, symbols: int, rng: np.random.Generator) -> np.ndarray:
    width = rng.uniform(0.3, symbols / 4, (tables, 1))
    return frequencies(np.exp(-(((np.arange(symbols) - symbols / 2) / width) ** 2)) + 1e-9)


def _check(symbols: np.ndarray, rows: np.ndarray, freq: np.ndarray) -> bytes:
    stream = encode(symbols, rows, freq)
    assert (decode(stream, rows, freq) == symbols).all()
    ideal = ideal_bits(symbols, rows, freq)
    assert len(stream) * 8 <= ideal * 1.001 + 64
    return stream


@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 1000, 1537, 5000, 20_000, 60_000])
def test_streams_of_any_length_are_exact_and_short(n: int) -> None:
    rng = np.random.default_rng(n)
    freq = _bell(8, 50, rng)
    _check(*_draw(freq, n, rng), freq)


@pytest.mark.slow
@pytest.mark.parametrize("peak", [2**16 - 1, 2**16 - 300, 2**15, 40])
def test_a_million_symbols_are_exact_and_short(peak: int) -> None:
    rng = np.random.default_rng(peak)
    rest = 2**16 - peak
    other = np.array([rest // 2 or 1, rest - rest // 2][: 1 + (rest > 1)])
    freq = np.concatenate([[peak], other, np.zeros(5 - len(other), int)])[None]
    _check(*_draw(freq, 10**6, rng), freq)


def test_the_last_symbol_of_a_table_can_be_the_only_surprise() -> None:
    freq = np.array([[2**16 - 1, 1]])
    symbols = np.zeros(5000, int)
    symbols[[0, 17, 4999]] = 1
    _check(symbols, np.zeros(5000, int), freq)


def test_symbols_that_contradict_their_table_are_exact_and_short() -> None:
    freq = np.array([[2**16 - 1, 1]])
    _check(np.ones(30_000, int), np.zeros(30_000, int), freq)


def test_a_uniform_table_costs_its_bits() -> None:
    freq = np.full((1, 256), 256)
    symbols = np.random.default_rng(0).integers(0, 256, 50_000)
    assert len(_check(symbols, np.zeros(50_000, int), freq)) <= 50_000 + 7


def test_certain_symbols_cost_nothing() -> None:
    freq = np.array([[0, 2**16, 0]])
    assert len(_check(np.ones(100_000, int), np.zeros(100_000, int), freq)) == 6


def test_certain_symbols_between_others_cost_nothing() -> None:
    rng = np.random.default_rng(0)
    freq = np.array([[0, 2**16, 0], [2**15, 2**14, 2**14]])
    symbols, rows = _draw(freq, 3000, rng)
    alone = encode(symbols[rows == 1], rows[rows == 1], freq)
    assert len(_check(symbols, rows, freq)) == len(alone)


def test_dense_symbols_before_and_after_sparse_ones_are_exact_and_short() -> None:
    rng = np.random.default_rng(0)
    freq = np.array([[2**16 - 1, 1] + [0] * 14, [2**12] * 16])
    for order in ([0] * 40_000 + [1] * 20_000, [1] * 20_000 + [0] * 40_000):
        rows = np.array(order)
        _check(np.where(rows == 1, rng.integers(0, 16, len(rows)), 0), rows, freq)


@settings(max_examples=150, deadline=None)
@given(
    tables=st.integers(1, 4),
    symbols=st.integers(1, 70),
    precision=st.integers(1, 16),
    skew=st.sampled_from([0.0, 1.0, 5.0, 40.0]),
    n=st.integers(0, 4000),
    uniform=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_table_and_message_is_exact_and_short(
    tables: int, symbols: int, precision: int, skew: float, n: int, uniform: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    symbols = min(symbols, 2**precision)
    shares = rng.random((tables, symbols)) ** skew + 1e-12
    freq = frequencies(shares, precision)
    drawn, rows = _draw(freq, n, rng)
    message = rng.integers(0, symbols, n) if uniform else drawn
    _check(message, rows, freq)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_one_lane_is_the_textbooks_integer(message: list[int]) -> None:
    """Without overflow the state is the one exact integer of Duda's paper."""
    freq = [1000, 1, 2**15, 2**16 - 2**15 - 1003, 2]
    start = np.cumsum([0, *freq]).tolist()
    state = np.array([2**32])
    size = np.array(message, np.int64)
    table = np.array(freq)
    words = rans._push_one(state, table[size], np.array(start)[size], 16)
    x = 2**32
    for s in reversed(message):
        x = (x // freq[s] << 16) + x % freq[s] + start[s]
    got = int(state[0])
    for w in reversed(words.tolist()):
        got = got << 16 | w
    if len(words) == 0:
        assert got == x
    # With overflow both still spend the same, up to the rounding of one push.
    assert abs(math.log2(Fraction(got, 2**32)) - math.log2(Fraction(x, 2**32))) < 1e-3


def test_one_lane_and_many_lanes_of_one_agree() -> None:
    rng = np.random.default_rng(0)
    freq = _bell(3, 20, rng)
    tables = rans.Tables(freq)
    symbols, rows = _draw(freq, 500, rng)
    ids = rows * tables.width + symbols
    results = []
    for push, pop in ((rans._push_one, rans._pop_one), (rans._push_many, rans._pop_many)):
        state, back = np.array([2**40 + 12345]), np.zeros(500, np.int64)
        words = push(state, tables.freq[ids], tables.start[ids], 16)
        pushed = int(state[0])
        used = pop(state, words, tables, tables.finder(500), rows, back)
        assert used == len(words)
        assert state.tolist() == [2**40 + 12345]
        assert (back == ids).all()
        results.append((pushed, words.tolist()))
    assert results[0] == results[1]


def test_ideal_bits_are_minus_log_probability() -> None:
    freq = np.array([[1, 3, 4], [8, 0, 0]])
    want = sum(math.log2(8 / f) for f in (1, 4, 8, 3))
    assert ideal_bits([0, 2, 0, 1], [0, 0, 1, 0], freq) == pytest.approx(want)


@pytest.mark.parametrize("n", [0, 1, 12, 40])
def test_each_flipped_bit_of_a_short_stream_is_refused(n: int) -> None:
    rng = np.random.default_rng(n)
    freq = _bell(3, 20, rng)
    symbols, rows = _draw(freq, n, rng)
    stream = encode(symbols, rows, freq)
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileRefused, match="stream"):
            decode(bytes(damaged), rows, freq)


@pytest.mark.parametrize("n", [12, 30_000])
def test_a_truncated_or_lengthened_stream_is_refused(n: int) -> None:
    rng = np.random.default_rng(0)
    freq = _bell(3, 20, rng)
    symbols, rows = _draw(freq, n, rng)
    stream = encode(symbols, rows, freq)
    cuts = range(len(stream)) if n < 100 else (0, 1, 2, 9, len(stream) // 2, len(stream) - 1)
    for end in cuts:
        for damaged in (stream[:end], stream[len(stream) - end :]):
            with pytest.raises(FileRefused, match="stream"):
                decode(damaged, rows, freq)
    for damaged in (stream + b"\0", b"\0" + stream, stream + stream):
        with pytest.raises(FileRefused, match="stream"):
            decode(damaged, rows, freq)


def test_flipped_bits_of_a_long_stream_are_refused() -> None:
    rng = np.random.default_rng(0)
    freq = _bell(3, 20, rng)
    symbols, rows = _draw(freq, 30_000, rng)
    stream = encode(symbols, rows, freq)
    for bit in [*range(24), *rng.integers(24, 8 * len(stream), 40).tolist()]:
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileRefused, match="stream"):
            decode(bytes(damaged), rows, freq)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_are_decoded_or_refused(stream: bytes, n: int) -> None:
    freq = frequencies([[5, 1, 1, 90]])
    rows = np.zeros(n, int)
    try:
        symbols = decode(stream, rows, freq)
    except FileRefused:
        return
    assert encode(symbols, rows, freq) == stream


def test_a_stream_of_other_tables_or_rows_is_refused() -> None:
    rng = np.random.default_rng(0)
    freq = _bell(3, 20, rng)
    symbols, rows = _draw(freq, 200, rng)
    stream = encode(symbols, rows, freq)
    for rows_, freq_ in ((rows, freq[[1, 2, 0]]), (rows[:-1], freq), ((rows + 1) % 3, freq)):
        with pytest.raises(FileRefused, match="stream"):
            decode(stream, rows_, freq_)


def test_a_stream_written_once_decodes_for_ever() -> None:
    """The format: a change that breaks stored streams must not pass unseen."""
    freq = np.array([[40_000, 20_000, 5_000, 536], [1, 2, 3, 65_530]])
    rows = np.arange(30) % 2
    symbols = np.array([0, 3, 1, 3, 2, 3, 3, 3, 0, 2] * 3)
    stream = bytes.fromhex("000200080735068eb3f21afaf7421714b5")
    assert encode(symbols, rows, freq) == stream
    assert decode(stream, rows, freq).tolist() == symbols.tolist()


def test_tensors_lists_and_ready_tables_are_accepted() -> None:
    freq = [[8, 4, 4], [15, 1, 0]]
    stream = encode(torch.tensor([2, 1]), torch.tensor([0, 1], dtype=torch.int32), freq)
    ready = rans.Tables(torch.tensor(freq))
    assert encode([2, 1], [0, 1], ready) == stream
    assert decode(stream, [0, 1], ready).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("symbols", "rows", "message"),
    [
        ([3], [0], r"symbols: found values in \[3, 3\]"),
        ([-1], [0], r"symbols: found values in \[-1, -1\]"),
        ([2], [1], "symbols: found 2 under table 1, of frequency 0"),
        ([0], [2], "table_index: found values"),
        ([0], [-1], "table_index: found values"),
        ([0, 0], [0], "symbols: found shape"),
        ([[0]], [0], "symbols: found shape"),
        ([0], [[0]], "table_index: found shape"),
    ],
)
def test_bad_messages_are_named(symbols: list[int], rows: list[int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode(symbols, rows, [[8, 4, 4], [15, 1, 0]])


def test_floats_and_bools_are_no_symbols() -> None:
    for value in ([0.0], [True]):
        with pytest.raises(InvalidType, match="symbols"):
            encode(value, [0], [[8, 8]])
