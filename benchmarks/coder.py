"""The entropy coder on 393,216 symbols under 192 tables, against constriction.

The size is that of a feature map of 8 images, 192 channels and 16 x 16 places, one table a
channel, Gaussian-shaped with scales from 0.3 to 12. constriction (Rust, ANS stack) gets the
same tables as probabilities and is called once a channel with a ready model, which is its
fastest use from Python. Both must give back the symbols before anything is timed. Target: at
most 40 ns a symbol to decode, from Python and without compiled code of our own.

    python benchmarks/coder.py
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report

from narrows.functional.coder import FactorizedCode
from narrows.functional.frequency_tables import Tables, frequencies
from narrows.functional.rans import decode, encode, ideal_bits

IMAGES, CHANNELS, PLACES, SYMBOLS = 8, 192, 256, 81
REPEATS = 15


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols `(channels, images * places)`, their rows, and the tables."""
    rng = np.random.default_rng(0)
    scale = np.geomspace(0.3, 12, CHANNELS)
    edges = (np.arange(SYMBOLS + 1) - SYMBOLS / 2) / scale[:, None] / math.sqrt(2)
    mass = np.diff(np.vectorize(math.erf)(edges), axis=1) + 1e-9
    tables = frequencies(mass)
    slot = rng.integers(0, 2**16, (CHANNELS, IMAGES * PLACES))
    ends = np.cumsum(tables, 1)
    symbols = np.stack([np.searchsorted(*pair, "right") for pair in zip(ends, slot, strict=True)])
    return symbols, np.repeat(np.arange(CHANNELS), IMAGES * PLACES), tables


def peer(symbols: np.ndarray, tables: np.ndarray) -> tuple[Any, Any, int]:
    """constriction's encoder and decoder as calls, and the bits they take."""
    import constriction

    model = constriction.stream.model.Categorical
    models = [model(row / 2**16, perfect=False) for row in tables.astype(np.float32)]
    rows = symbols.astype(np.int32)

    def push() -> np.ndarray:
        coder = constriction.stream.stack.AnsCoder()
        for row, model in zip(reversed(rows), reversed(models), strict=True):
            coder.encode_reverse(row, model)
        return coder.get_compressed()

    words = push()

    def pop() -> np.ndarray:
        coder = constriction.stream.stack.AnsCoder(words)
        return np.stack([coder.decode(model, rows.shape[1]) for model in models])

    assert (pop() == symbols).all()
    return push, pop, 32 * len(words)


def main() -> None:
    torch.set_num_threads(1)
    symbols, rows, tables = data()
    flat, ready = symbols.ravel(), Tables(tables)
    stream = encode(flat, rows, ready)
    assert (decode(stream, rows, ready) == flat).all()
    ideal = ideal_bits(flat, rows, ready)
    assert 8 * len(stream) <= ideal * 1.001 + 64
    values = np.ascontiguousarray(symbols.T) - SYMBOLS // 2
    code = FactorizedCode.fit(values)
    coded = code.encode(values)
    assert (code.decode(coded, len(values)).numpy() == values).all()
    calls = {
        "encode": lambda: encode(flat, rows, ready),
        "decode": lambda: decode(stream, rows, ready),
        "FactorizedCode.encode": lambda: code.encode(values),
        "FactorizedCode.decode": lambda: code.decode(coded, len(values)),
    }
    bits = {"ideal": ideal, "narrows": 8 * len(stream)}
    try:
        push, pop, bits["constriction"] = peer(symbols, tables)
        calls |= {"constriction encode": push, "constriction decode": pop}
    except ImportError:
        print("constriction is not installed: timing ours alone")
    seconds = in_turns(calls, REPEATS)
    nanoseconds = {
        name: {figure: 1e9 * value / flat.size for figure, value in times.items()}
        for name, times in seconds.items()
    }
    report(
        "coder",
        {
            "symbols": flat.size,
            "tables": CHANNELS,
            "runs": REPEATS,
            "symbols decoded equal": True,
            "bits": bits,
            "bits a symbol": ideal / flat.size,
            "overhead": 8 * len(stream) / ideal - 1,
            "nanoseconds a symbol": nanoseconds,
            "target": "decode at most 40 ns a symbol",
        },
    )


if __name__ == "__main__":
    main()
