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

    Raises:
        FileRefused: a state below 2^32, which only a damaged stream leads to.
    """
    if states.min() < LOW:
        raise FileRefused("stream: found an impossible state, wanted a whole stream")
    extra = (states[:, None] >> np.arange(33, 48) > 0).sum(1)
    places = np.unpackbits(extra.astype(np.uint8)[:, None], axis=1)[:, 4:]
    return np.concatenate([stack, tail_bits(states, 32 + extra), places.ravel()])


def pop(stack: Bits, count: int) -> tuple[Bits, Ints]:
    """Take states off a stack: what is left of it, and the states.

    Raises:
        FileRefused: the stack holds too little.
    """
    places = len(stack) - 4 * count
    enough(places)
    length = 32 + stack[places:].reshape(-1, 4) @ np.array([8, 4, 2, 1])
    rest = places - int(length.sum())
    enough(rest)
    return stack[:rest], from_tail_bits(stack[rest:places], length)


def push_words(stack: Bits, words: Ints) -> Bits:
    """Put 16-bit words on a stack, the last on top."""
    return np.concatenate([stack, np.unpackbits(words.astype(">u2").view(np.uint8))])


def words_of(stack: Bits) -> Ints:
    """A stack as 16-bit words, the top one last; up to 15 bits at the bottom are left out."""
    odd = len(stack) % 16
    return np.packbits(stack[odd:]).view(">u2").astype(np.int64)


def to_bytes(stack: Bits) -> bytes:
    """Whole bytes, with a one below the bottom so that its place is known."""
    padding = np.zeros(-(len(stack) + 1) % 8, np.uint8)
    return np.packbits(np.concatenate([padding, np.ones(1, np.uint8), stack])).tobytes()


def from_bytes(data: bytes) -> Bits:
    """The stack that `to_bytes` wrote.

    Raises:
        FileRefused: no mark of the bottom in the first byte.
    """
    if not data or data[0] == 0:
        raise FileRefused("stream: found no mark of its beginning, wanted a whole stream")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    return bits[bits.argmax() + 1 :]


def tail_bits(values: Ints, length: Ints) -> Bits:
    """The last `length` bits of each value, one value after the other.

    Example:
        >>> tail_bits(np.array([5, 2]), np.array([2, 3]))
        array([0, 1, 0, 1, 0], dtype=uint8)
    """
    bits = np.unpackbits(values.astype(">i8").view(np.uint8).reshape(-1, 8), axis=1)
    return bits[_last(length)]


def from_tail_bits(bits: Bits, length: Ints) -> Ints:
    """The values whose leading one is followed by these bits; 64-bit ones come out negative.

    Example:
        >>> from_tail_bits(np.array([0, 1, 0, 1, 0], np.uint8), np.array([2, 3]))
        array([ 5, 10])
    """
    table = np.zeros((len(length), 64), np.uint8)
    table[_last(length)] = bits
    table[np.arange(len(length)), 63 - length] = 1
    return np.packbits(table, axis=1).view(">i8").ravel().astype(np.int64)


def enough(left: int) -> None:
    """Refuse a stream that ended too soon."""
    if left < 0:
        raise FileRefused("stream: found too few bits, wanted a whole stream")


def _last(length: Ints) -> NDArray[np.bool_]:
    return np.arange(64, dtype=np.int8) >= 64 - length.astype(np.int8)[:, None]
