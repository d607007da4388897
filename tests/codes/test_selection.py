"""What every code bottleneck owes: names, corrections, messages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from narrows.codes import CodeSelection
from narrows.errors import FileRefused, InvalidInput, InvalidType, UnknownName
from narrows.wire import from_bytes, to_bytes

HEADS, CODES = 3, 4


def _layer() -> CodeSelection:
    names = [f"head {c} code {j}" for c in range(HEADS) for j in range(CODES)]
    return CodeSelection(HEADS, CODES, names, [f"head {c}" for c in range(HEADS)])


def _numbers(batch: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(CODES, (batch, HEADS), generator=torch.Generator().manual_seed(seed))


def test_units_are_counted_over_all_heads_and_numbers_within_each() -> None:
    layer = _layer()
    reading = layer.select(torch.tensor([[3, 0, 1]]))
    assert reading.indices.tolist() == [[3, 4, 9]]
    assert layer.scores(reading).tolist() == [[3.0, 0.0, 1.0]]
    assert layer.spoken(reading) == [["head 0 code 3", "head 1 code 0", "head 2 code 1"]]
    assert layer.columns == ("head 0", "head 1", "head 2")
    assert layer.interventions == ()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 5), head=st.integers(0, HEADS - 1))
def test_choosing_a_code_changes_its_head_alone(seed: int, batch: int, head: int) -> None:
    layer, numbers = _layer(), _numbers(batch, seed)
    reading = layer.select(numbers)
    changed = layer.condition(reading, {f"head {head} code 2": 1.0})
    expected = numbers.clone()
    expected[:, head] = 2
    assert torch.equal(layer.numbers(changed), expected)
    assert torch.equal(layer.numbers(reading), numbers)


def test_choosing_what_was_picked_changes_nothing() -> None:
    layer = _layer()
    reading = layer.select(_numbers(6), torch.tensor([True, False, True]))
    mask = (reading.units > 0).expand_as(reading.units)
    again = layer.condition(reading, (mask, layer.scores(reading)))
    assert torch.equal(again.indices, reading.indices)
    assert torch.equal(again.units, reading.units)


def test_a_pair_holds_code_numbers_where_the_mask_is_true() -> None:
    layer, numbers = _layer(), _numbers(2)
    mask = torch.tensor([[True, False, False], [False, False, True]])
    values = torch.tensor([[3.0, 99.0, float("nan")], [-1.0, 0.5, 1.0]])
    changed = layer.numbers(layer.condition(layer.select(numbers), (mask, values)))
    assert torch.equal(changed, torch.where(mask, values.nan_to_num().long(), numbers))


def test_a_correction_makes_a_silent_head_speak() -> None:
    layer = _layer()
    reading = layer.select(_numbers(2), torch.tensor([True, False, True]))
    assert layer.condition(reading, {"head 1 code 0": 1.0}).units.min() == 1


@pytest.mark.parametrize(
    ("known", "error", "text"),
    [
        ({"head 0 code 1": 0.0}, InvalidInput, "a code can be chosen, not excluded"),
        ({"head 0 code 1": 0.5}, InvalidInput, "a code can be chosen, not excluded"),
        ({"head 0 code 1": float("nan")}, InvalidInput, "a code can be chosen, not excluded"),
        ({"head 0 code 1": torch.tensor([1.0, 0.0])}, InvalidInput, "not excluded"),
        ({"head 0 code 1": 1.0, "head 0 code 2": 1.0}, InvalidInput, "two codes of 'head 0'"),
        ({"head 0 code 9": 1.0}, UnknownName, "nearest: 'head 0 code"),
        (([0, 1], [1, 1]), InvalidType, "known mask"),
        ((torch.ones(2, 3), torch.ones(2, 3)), InvalidType, "boolean mask"),
        ((torch.ones(2, 12).bool(), torch.ones(2, 12)), InvalidInput, r"shape \(2, 12\)"),
        ((torch.ones(2, 3).bool(), torch.full((2, 3), 4.0)), InvalidInput, "0 to 3"),
        ((torch.ones(2, 3).bool(), torch.full((2, 3), -1.0)), InvalidInput, "0 to 3"),
        ((torch.ones(2, 3).bool(), torch.full((2, 3), 0.5)), InvalidInput, "0 to 3"),
        ((torch.ones(2, 3).bool(), torch.full((2, 3), torch.nan)), InvalidInput, "NaN"),
    ],
)
def test_corrections_that_make_no_sense_are_refused(known, error, text: str) -> None:
    layer = _layer()
    with pytest.raises(error, match=text):
        layer.condition(layer.select(_numbers(2)), known)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 6), silent=st.integers(0, 2**HEADS - 1))
def test_a_message_gives_back_the_reading(seed: int, batch: int, silent: int) -> None:
    layer = _layer()
    speaks = torch.tensor([not silent >> c & 1 for c in range(HEADS)])
    reading = layer.select(_numbers(batch, seed), speaks)
    again = layer.unpack(from_bytes(to_bytes(layer.pack(reading))))
    assert torch.equal(again.units, reading.units)
    assert torch.equal(again.indices[again.units > 0], reading.indices[reading.units > 0])


def test_a_message_holds_one_byte_per_head_and_no_floating_point() -> None:
    layer = _layer()
    message = to_bytes(layer.pack(layer.select(_numbers(5))))
    sent = load(message[8:])
    assert {name: (t.dtype, tuple(t.shape)) for name, t in sent.items()} == {
        "codes": (torch.uint8, (5, HEADS))
    }


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"units": torch.zeros(2, 3)}, "wanted integers called 'codes'"),
        ({"codes": torch.zeros(2, 3)}, "wanted integers called 'codes'"),
        ({"codes": torch.ones(2, 3).bool()}, "wanted integers called 'codes'"),
        ({"codes": torch.zeros(2, 4, dtype=torch.long)}, "wanted 3 heads"),
        ({"codes": torch.tensor(1)}, "wanted 3 heads"),
        ({"codes": torch.full((2, 3), 4)}, "outside -1 to 3"),
        ({"codes": torch.full((2, 3), -2)}, "outside -1 to 3"),
    ],
)
def test_messages_of_another_kind_are_refused(sent, text: str) -> None:
    with pytest.raises(FileRefused, match=text):
        _layer().unpack(sent)
