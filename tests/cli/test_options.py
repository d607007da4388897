"""Texts of the command line become settings of the right type, or are refused."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from narrows.baselines import BlackBox
from narrows.cli.app import UsageError
from narrows.cli.jobs import _listed
from narrows.cli.options import _accepts, build, pairs_of
from narrows.concepts import CBM

ACCEPTED: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -3], [True, 1.5, "1", None, [1]]),
    (float, [0, 1.5], [True, "x", None]),
    (bool, [True, False], [0, 1, "true"]),
    (str, ["a", ""], [1, None, ["a"]]),
    (str | None, ["a", None], [1, []]),
    (str | nn.Module, ["auto"], [1, None]),
    (tuple[int, ...], [[], [1, 2]], [[1.5], 1, "1", None]),
    (Literal["a", 1], ["a", 1], ["b", 2]),
    (Any, [None, 1, "a", [1]], []),
]


@pytest.mark.parametrize(("hint", "good", "bad"), ACCEPTED)
def test_a_type_takes_its_values_only(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert all(_accepts(hint, value) for value in good)
    assert not any(_accepts(hint, value) for value in bad)


@given(st.integers(1, 10**6), st.floats(1e-6, 1e3))
def test_numbers_come_through_as_they_are(epochs: int, lr: float) -> None:
    method = build(BlackBox, {"epochs": str(epochs), "lr": repr(lr)})
    assert (method.epochs, method.lr) == (epochs, lr)


def test_a_word_that_looks_like_json_stays_a_word_where_words_are_wanted() -> None:
    assert build(CBM, {"mode": "3"}).mode == "3"
    assert build(CBM, {"concept_weighting": "null"}).concept_weighting is None


def test_options_that_were_not_given_leave_the_defaults() -> None:
    assert build(BlackBox, {}, epochs=None, device=None).get_params() == BlackBox().get_params()


def test_an_option_the_method_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="no such setting"):
        build(BlackBox, {}, wings=2)


def test_values_may_hold_equals_signs() -> None:
    assert pairs_of("--set", ["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    with pytest.raises(UsageError, match="KEY=VALUE"):
        pairs_of("--set", ["=b"])


def test_commas_inside_brackets_do_not_part_methods() -> None:
    assert _listed("cbm:hidden=[8,4], vib") == ["cbm:hidden=[8,4]", "vib"]
    assert _listed(None) == []
