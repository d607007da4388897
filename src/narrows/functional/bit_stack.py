"""A stack of bits that coder states are written on and taken from.

A stack is an array of zeros and ones, the top last. A state is an integer in [2^32, 2^48); on the
stack it is the 32 to 47 bits that follow its leading one, and four bits that say how many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narrows.errors import FileRefused

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]
LOW = 2**32  # the least state


def push(stack: Bits, states: Ints) -> Bits:
    """Put states on a stack.

    Example:
        >>> push(np.ones(2, np.uint8), np.array([2**33 + 5]))[-8:]
        array([0, 1, 0, 1, 0, 0, 0, 1], dtype=uint8)
    """
    if states.min() < LOW:
        raise FileRefused("stream: found an impossible state, wanted a whole stream")
    extra = (states[:, None] >> np.arange(33, 48) > 0).sum(1)
    bits = np.unpackbits(states.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    places = np.unpackbits(extra.astype(np.uint8)[:, None], axis=1)[:, 4:]
    return np.concatenate([stack, bits[_below_leading(extra)], places.ravel()])


def pop(stack: Bits, count: int) -> tuple[Bits, Ints]:
    """Take states off a stack: what is left of it, and the states.

    Raises:
        FileRefused: the stack holds too little.
    """
    places = len(stack) - 4 * count
    enough(places)
    extra = stack[places:].reshape(-1, 4) @ np.array([8, 4, 2, 1])
    below = _below_leading(extra)
    rest = places - int(below.sum())
    enough(rest)
    bits = np.zeros((count, 64), np.uint8)
    bits[below] = stack[rest:places]
    bits[np.arange(count), 31 - extra] = 1
    return stack[:rest], np.packbits(bits, axis=1).view(">u8").ravel().astype(np.int64)


def push_words(stack: Bits, words: Ints) -> Bits:
    """Put 16-bit words on a stack, the last on top."""
    return np.concatenate([stack, np.unpackbits(words.astype(">u2").view(np.uint8))])


def words_of(stack: Bits) -> Ints:
    """The stack as 16-bit words, the top one last; up to 15 bits at the bottom are left out."""
    odd = len(stack) % 16
    return np.packbits(stack[odd:]).view(">u2").astype(np.int64)


def to_bytes(stack: Bits) -> bytes:
    """Whole bytes, with a one below the bottom so that its place is known."""
    padding = np.zeros(-(len(stack) + 1) % 8, np.uint8)
    return np.packbits(np.concatenate([padding, np.ones(1, np.uint8), stack])).tobytes()


def from_bytes(data: bytes) -> Bits:
    """The stack in `data`.

    Raises:
        FileRefused: no mark of the bottom in the first byte.
    """
    if not data or data[0] == 0:
        raise FileRefused("stream: found no mark of its beginning, wanted a whole stream")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    return bits[bits.argmax() + 1 :]


def enough(left: int) -> None:
    """Refuse a stream that ended too soon."""
    if left < 0:
        raise FileRefused("stream: found too few bits, wanted a whole stream")


def _below_leading(extra: Ints) -> NDArray[np.bool_]:
    """Which of 64 bits, the highest first, follow the leading one of each state."""
    return np.arange(64, dtype=np.int8) >= 32 - extra.astype(np.int8)[:, None]
