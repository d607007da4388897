"""Grids: integers pass as they are, other numbers come back within half a step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.measure.grid import Grids, unit_grid
from narrows.reading import Reading


@given(st.integers(0, 10**6), st.sampled_from([8.0, 1.0, 0.25, 2.0**-12]))
@settings(max_examples=100, deadline=None)
def test_values_come_back_within_half_a_step_and_symbols_exactly(seed, step):
    generator = torch.Generator().manual_seed(seed)
    values = 5 + 3 * torch.randn(20, 2, 3, generator=generator, dtype=torch.float64)
    grid = unit_grid(values).coarser(step)
    symbols = grid.symbols(values)
    back = grid.restore(symbols, values)
    assert back.shape == values.shape
    half = step * values.flatten(1).std(0, correction=0) / 2
    assert ((back - values).flatten(1).abs() <= half * (1 + 1e-9)).all()
    assert torch.equal(grid.symbols(back), symbols)


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([[3, -7], [0, 2]]),
        torch.tensor([[True, False], [True, True]]),
        torch.tensor([[3.0, -7.0], [0.0, 2.0]]),
    ],
)
def test_integers_pass_as_they_are_at_any_step(values):
    grid = unit_grid(values).coarser(8.0)
    assert grid.exact
    assert torch.equal(grid.symbols(values), values.long())
    back = grid.restore(grid.symbols(values), values)
    assert back.dtype == values.dtype
    assert torch.equal(back, values)


def test_a_number_that_never_varies_is_always_symbol_0():
    values = torch.tensor([[0.37, 1.0], [0.37, 2.5]])
    grid = unit_grid(values)
    assert grid.symbols(values)[:, 0].tolist() == [0, 0]
    assert grid.pitch[0] == 1
    torch.testing.assert_close(grid.restore(grid.symbols(values), values)[:, 0], values[:, 0])


def test_all_parts_of_a_reading_pass_and_are_rebuilt():
    units = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    picked = torch.tensor([[0, 3]] * 6)
    context = {"bits": torch.ones(6, 2, 2, dtype=torch.bool), "side": torch.rand(6, 1)}
    reading = Reading(units, picked, context)
    grids = Grids.fit(reading).coarser(2.0**-20)
    assert not grids.exact
    symbols = grids.symbols(reading)
    assert symbols.shape == (6, 2 + 2 + 4 + 1)
    back = grids.restore(symbols, reading)
    torch.testing.assert_close(back.units, units, atol=1e-5, rtol=0)
    assert torch.equal(back.indices, picked)
    assert torch.equal(back.context["bits"], context["bits"])
    assert back.context["bits"].dtype == torch.bool
    torch.testing.assert_close(back.context["side"], context["side"], atol=1e-5, rtol=0)


def test_values_that_are_not_finite_are_refused_by_name():
    broken = Reading(torch.zeros(2, 1), context={"side": torch.tensor([[0.0], [float("nan")]])})
    with pytest.raises(InvalidInput, match=r"context\.side: found NaN or infinite"):
        Grids.fit(broken)
    grids = Grids.fit(Reading(torch.zeros(2, 1), context={"side": torch.rand(2, 1)}))
    with pytest.raises(InvalidInput, match=r"context\.side: found NaN or infinite"):
        grids.symbols(broken)
