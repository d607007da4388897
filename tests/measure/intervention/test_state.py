"""What a policy may look at: costs of turns and validation rows."""

from __future__ import annotations

import math

import pytest
import torch

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.corrections import prepare
from narrows.measure.intervention.state import HeldOut, State, turn_costs

GROUPS = ((0, 2),)


@pytest.fixture
def ready(make_model, make_rows):
    rows = make_rows(20, 4, 3, GROUPS)
    return prepare(make_model(4, 3, groups=GROUPS, extra=1), rows), rows


def test_a_turn_costs_what_its_concepts_cost_together(ready):
    wanted = torch.tensor([5.0, 2.0, 8.0], dtype=torch.float64)
    assert ready[0].turns == ((0, 2), (1,), (3,))
    for costs in ([1, 2, 4, 8], torch.tensor([1.0, 2, 4, 8]), {"c3": 8, "c0": 1, "c2": 4, "c1": 2}):
        assert torch.equal(turn_costs(costs, *ready), wanted)


@pytest.mark.parametrize(
    ("costs", "error", "said"),
    [
        ({"c0": 1, "c1": 1, "c2": 1}, InvalidInput, "no cost of 'c3'"),
        ({"c0": 1, "c1": 1, "c2": 1, "c4": 1}, UnknownName, "found 'c4', wanted one of 4 names"),
        ([1, 2, 3], InvalidInput, r"shape \(3,\), wanted one per concept: \(4,\)"),
        ([1, 2, -3, 1], InvalidInput, r"costs\['c2'\]: found -3.0, wanted a finite number >= 0"),
        ([1, math.nan, 3, 1], InvalidInput, r"costs\['c1'\]: found nan"),
        ([1, 1, 1, math.inf], InvalidInput, r"costs\['c3'\]: found inf"),
        ([0, 0, 0, 0], InvalidInput, "0 for all turns"),
    ],
)
def test_costs_that_make_no_sense_are_refused(ready, costs, error, said):
    with pytest.raises(error, match=said):
        turn_costs(costs, *ready)


def test_at_most_so_many_validation_rows_from_end_to_end(ready, make_rows):
    held = make_rows(100, 4, 3, GROUPS, seed=7)
    state = State(ready[0], held_out=HeldOut(ready[0].model, held))
    assert torch.equal(state.validation().y, held.y)
    few = state.validation(5)
    at = [0, 25, 50, 74, 99]
    assert torch.equal(few.y, held.y[at])
    again = prepare(ready[0].model, held[torch.tensor(at)])
    for name in ("written", "known", "truth"):
        torch.testing.assert_close(getattr(few, name), getattr(again, name))
    torch.testing.assert_close(few.reading.units, again.reading.units)
    assert len(state.validation(100)) == len(state.validation(1000)) == 100


def test_a_state_without_validation_rows_says_so(ready):
    with pytest.raises(InvalidInput, match="validation: found None, wanted validation rows"):
        State(ready[0]).validation()
