"""The stack of bits against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import FileRefused
from narrows.functional.bit_stack import (
    from_bytes,
    from_tail_bits,
    pop,
    push,
    push_words,
    tail_bits,
    to_bytes,
    words_of,
)

bits = st.lists(st.integers(0, 1), max_size=80).map(lambda b: np.array(b, np.uint8))
states = st.lists(st.integers(2**32, 2**48 - 1), min_size=1, max_size=9).map(np.array)


@given(bits, states)
def test_popped_states_are_the_pushed_ones(stack: np.ndarray, states: np.ndarray) -> None:
    rest, back = pop(push(stack, states), len(states))
    assert rest.tolist() == stack.tolist()
    assert back.tolist() == states.tolist()


@given(bits, states)
def test_a_state_takes_the_bits_after_its_leading_one_and_four(
    stack: np.ndarray, states: np.ndarray
) -> None:
    text = "".join(map(str, push(stack, states)))
    tails = "".join(bin(int(s))[3:] for s in states)
    places = "".join(f"{int(s).bit_length() - 33:04b}" for s in states)
    assert text == "".join(map(str, stack)) + tails + places


@given(bits)
def test_bytes_give_the_stack_back(stack: np.ndarray) -> None:
    data = to_bytes(stack)
    assert len(data) == len(stack) // 8 + 1
    assert from_bytes(data).tolist() == stack.tolist()


@given(bits, st.lists(st.integers(0, 2**16 - 1), max_size=9))
def test_words_come_back_from_the_top(stack: np.ndarray, words: list[int]) -> None:
    all_words = words_of(push_words(stack, np.array(words, np.int64)))
    assert all_words[len(all_words) - len(words) :].tolist() == words
    assert len(all_words) == len(words) + len(stack) // 16


@given(st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=9))
def test_tails_with_their_lengths_are_the_values(values: list[int]) -> None:
    length = np.array([v.bit_length() - 1 for v in values])
    array = np.array(values, np.uint64).view(np.int64)
    back = from_tail_bits(tail_bits(array, length), length)
    assert back.view(np.uint64).tolist() == values


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\1"])
def test_bytes_without_a_mark_are_refused(data: bytes) -> None:
    with pytest.raises(FileRefused, match="mark"):
        from_bytes(data)


@pytest.mark.parametrize("left", [0, 3, 20, 35])
def test_a_short_stack_is_refused(left: int) -> None:
    with pytest.raises(FileRefused, match="too few bits"):
        pop(np.ones(left, np.uint8), 1)


def test_an_impossible_state_is_refused() -> None:
    with pytest.raises(FileRefused, match="impossible state"):
        push(np.zeros(0, np.uint8), np.array([2**32 - 1]))
