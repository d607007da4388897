"""The varying part of the bound, which never poses as one; and its sensitivity."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from narrows.errors import InvalidInput
from narrows.measure import gap_surrogate
from narrows.measure.generalization.sensitivity import sensitivity
from narrows.measure.mi.result import MIResult

XZ = MIResult(4.0, 0.1, "lower", "sandwich", 50, warnings=("at a ceiling",))
THETA = MIResult(12.0, 0.1, "upper", "swag", 3)


def test_it_is_the_root_of_nats_over_rows_in_either_unit() -> None:
    assert gap_surrogate(XZ, 100).value == pytest.approx(0.2)
    assert gap_surrogate(XZ, 100, THETA).value == pytest.approx(0.4)
    bits = gap_surrogate(XZ.to("bits"), 100, THETA.to("bits"))
    assert bits.value == pytest.approx(0.4)
    assert gap_surrogate(MIResult(-0.3, 0.1, "lower", "sandwich", 50), 10).value == 0


def test_it_says_that_it_bounds_nothing_and_keeps_the_warnings_of_its_parts() -> None:
    told = gap_surrogate(XZ, 100)
    assert (told.kind, told.units) == ("surrogate", "no unit")
    assert "not a bound" in told.warnings[0]
    assert "I(S; theta) is left out" in told.warnings[1]
    assert told.warnings[2] == "at a ceiling"
    assert "left out: right only" not in " ".join(gap_surrogate(XZ, 100, THETA).warnings)
    assert told.to("bits") == told


def test_no_rows_make_no_number() -> None:
    with pytest.raises(InvalidInput, match="n: found 0"):
        gap_surrogate(XZ, 0)


def test_sensitivity_of_two_rows_is_that_of_their_exchange() -> None:
    """One column: the only changes are none, and one row's density for the other's; equal here."""
    rows = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    mixed = torch.tensor([3.0, 0.0])

    def log_p(z: torch.Tensor) -> float:
        return float(Normal(rows, 1.0).log_prob(z).sum(-1).logsumexp(0))

    # a swap of either column gives one of the two rows again, and their densities are equal
    assert abs(log_p(rows[0]) - log_p(mixed)) < 1e-6
    assert sensitivity([rows], 1.0) == pytest.approx(0, abs=1e-6)
    three = torch.tensor([[0.0], [1.0], [9.0]])
    most = max(
        abs(float(Normal(three, 1.0).log_prob(a).logsumexp(0) - Normal(three, 1.0).log_prob(b)
                  .logsumexp(0)))
        for a in three[:, 0] for b in three[:, 0]
    )  # fmt: skip
    found = [sensitivity([three], 1.0, seed=seed) for seed in range(20)]
    assert max(found) == pytest.approx(most, rel=1e-6)
    assert all(0 <= one <= most + 1e-9 for one in found)


def test_sensitivity_is_the_largest_of_the_classes_and_falls_with_noise() -> None:
    source = torch.Generator().manual_seed(0)
    parts = [torch.randn(30, 4, generator=source), 5 * torch.randn(30, 4, generator=source)]
    assert sensitivity(parts, 1.0) >= sensitivity(parts[:1], 1.0)
    assert sensitivity(parts, 10.0) < sensitivity(parts, 1.0)
    assert math.isfinite(sensitivity(parts, 0.1))
    with pytest.raises(InvalidInput, match="parts"):
        sensitivity([], 1.0)
