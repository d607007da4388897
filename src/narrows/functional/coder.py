"""A lossless code for rows of integers, with one frequency table per column.

The tables are integers and travel with the model, so a stream decodes to the same values on
every machine. Any int64 can be coded: what the fit did not see within a column's window is
coded as an escape, then its distance from the window as a bit length, whose table is fitted
too, and plain bits (an exponential Golomb code with learnt lengths).

    stream = count of escapes | [length | lengths of the escapes | bits | their CRC32] | symbols

The two coded parts are streams of `narrows.functional.rans`, each with its own checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narrows.errors import FileRefused, wrong
from narrows.functional.bit_stack import Bits, Ints
from narrows.functional.frequencies import frequencies
from narrows.functional.rans import Tables, decode, encode, ideal_bits, integers

__all__ = ["FactorizedCode", "decode", "encode", "frequencies", "ideal_bits"]

_SPAN = 4096  # values a column's table may have
_SMOOTHING = 0.5  # Krichevsky and Trofimov's half a count
_CLASSES = 128  # bit length and side of an escape
Distances = NDArray[np.uint64]


@dataclass(frozen=True)
class FactorizedCode:
    """A code that takes columns as independent; make it with `fit` or `from_tensors`.

    Symbol 0 of a table is the escape, symbol `s` the value `offset + s - 1`.

    Attributes:
        offset: `(n,)` int64, the least value of each table.
        frequencies: `(n, symbols)` int64, zero beyond a column's own symbols.
        escapes: `(128,)` frequencies of the escapes' lengths and sides.

    Example:
        >>> code = FactorizedCode.fit([[0, 7], [1, 7], [0, 7]])
        >>> stream = code.encode([[1, 7], [0, -5]])
        >>> code.decode(stream, n_rows=2).tolist()
        [[1, 7], [0, -5]]
    """

    offset: Ints
    frequencies: Ints
    escapes: Ints

    def __post_init__(self) -> None:
        tables = Tables(self.frequencies)
        ...
