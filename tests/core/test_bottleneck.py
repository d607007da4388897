"""Corrections: names, masks, groups, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.bottleneck import Bottleneck, IdentityBottleneck, check_units, resolve_known
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.reading import Reading

NAMES = ("a", "b", "c", "d", "e")
GROUPS = ((0, 1, 2),)


def test_a_truth_in_a_group_sets_the_rest_of_it_to_zero_and_no_other_unit() -> None:
    mask, values = resolve_known({"b": 1.0}, NAMES, GROUPS, torch.full((2, 5), 0.3))
    assert mask[0].tolist() == [True, True, True, False, False]
    assert values[0, :3].tolist() == [0.0, 1.0, 0.0]


def test_a_falsehood_in_a_group_says_nothing_of_the_others() -> None:
    mask, _ = resolve_known({"b": 0.0}, NAMES, GROUPS, torch.zeros(1, 5))
    assert mask[0].tolist() == [False, True, False, False, False]


def test_values_may_differ_between_examples() -> None:
    mask, values = resolve_known(
        {"a": torch.tensor([1.0, 0.0])}, NAMES, GROUPS, torch.full((2, 5), 0.3)
    )
    assert mask.tolist() == [[True, True, True, False, False], [True, False, False, False, False]]
    assert values[:, 0].tolist() == [1.0, 0.0]


def test_a_wrong_name_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownName, match="nearest: 'left is 3'"):
        resolve_known({"left is 33": 1.0}, ("left is 3", "right is 9"), (), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("known", "error", "message"),
    [
        ({"a": 1.0, "b": 1.0}, InvalidInput, "'a' and 'b' both 1"),
        ({"a": float("nan")}, InvalidInput, "NaN or infinite"),
        ({"a": float("inf")}, InvalidInput, "NaN or infinite"),
        ({"a": torch.ones(3)}, InvalidInput, r"shape \(3,\)"),
        ([0, 1], InvalidType, "name: value"),
        ((torch.zeros(1, 5, dtype=torch.long), torch.zeros(1, 5)), InvalidType, "never an index"),
        ((torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, 5)), InvalidInput, r"shape \(1, 4\)"),
        ((torch.zeros(1, 5, dtype=torch.bool), torch.zeros(5)), InvalidInput, r"shape \(5,\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(known: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_known(known, NAMES, GROUPS, torch.zeros(1, 5))  # type: ignore[arg-type]


def test_a_mask_of_zeros_and_ones_is_not_taken_for_a_list_of_units() -> None:
    ambiguous = torch.tensor([[0, 1, 0, 1, 0]])
    with pytest.raises(InvalidType, match="boolean mask"):
        resolve_known((ambiguous, torch.zeros(1, 5)), NAMES, (), torch.zeros(1, 5))


def test_unknown_values_outside_the_mask_do_not_matter() -> None:
    values = torch.full((1, 5), torch.nan)
    values[0, 3] = 1.0
    mask = torch.tensor([[False, False, False, True, False]])
    _, found = resolve_known((mask, values), NAMES, GROUPS, torch.zeros(1, 5))
    assert found[0].tolist() == [0, 0, 0, 1, 0]


@given(st.lists(st.sampled_from(NAMES), unique=True), st.floats(0, 1), st.floats(0, 0.99))
def test_default_correction_replaces_and_can_be_undone(
    names: list[str], start: float, value: float
) -> None:
    bottleneck = Bottleneck(NAMES)
    reading = Reading(torch.full((2, 5), start))
    fixed = bottleneck.condition(reading, dict.fromkeys(names, value))
    back = bottleneck.condition(fixed, dict.fromkeys(names, start))
    assert torch.equal(back.units, reading.units)
    changed = {
        NAMES[j] for j in range(5) if not torch.equal(fixed.units[:, j], reading.units[:, j])
    }
    assert changed <= set(names)


def test_groups_and_singles_are_corrected_in_turn() -> None:
    assert Bottleneck(NAMES, ((1, 3),)).interventions == ((0,), (1, 3), (2,), (4,))


@pytest.mark.parametrize(
    ("names", "groups", "message"),
    [
        ((), (), "no unit"),
        (("a", "a"), (), "'a' more than once"),
        (("a", "b"), ((0, 1), (1,)), "more than one group"),
        (("a", "b"), ((0, 2),), "outside"),
    ],
)
def test_units_that_cannot_be_told_apart_are_refused(
    names: tuple, groups: tuple, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_units(names, groups)


def test_video_readings_keep_their_batch_dimensions() -> None:
    bottleneck = Bottleneck(NAMES, GROUPS)
    fixed = bottleneck.condition(Reading(torch.zeros(2, 7, 5)), {"a": torch.ones(2, 7)})
    assert fixed.units[..., 0].eq(1).all()
    assert fixed.rate.shape == (2, 7)


def test_no_evidence_by_default_and_unknown_units_are_named() -> None:
    layer = IdentityBottleneck(2)
    reading = layer.read(torch.zeros(1, 2))
    assert [e.kind for e in layer.evidence(torch.zeros(1, 2), reading, ["h0"])] == ["none"]
    with pytest.raises(UnknownName, match="h7"):
        layer.evidence(torch.zeros(1, 2), reading, ["h7"])
