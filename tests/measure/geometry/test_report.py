"""The report says what its parts say, and how far they are to be trusted."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.geometry import (
    CovarianceStream,
    alpha_req,
    bootstrap,
    rankme,
    spectrum_report,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_report_holds_the_two_numbers_and_the_shares() -> None:
    x = draw(600, 30) * torch.arange(1, 31) ** -0.5
    report = spectrum_report(x)
    assert report.rankme == rankme(x)
    assert report.power_law == alpha_req(x)
    values = torch.linalg.svdvals(x.double() - x.double().mean(0)).square()
    assert report.explained[10] == pytest.approx(float(values[:10].sum() / values.sum()))
    assert list(report.explained) == [1, 10]
    assert report.ratio == 20
    assert report.warnings == ()
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["rankme_interval"] == [None, None]
    assert told["power_law"]["range"] == [3, 21]


def test_the_interval_covers_the_spread_over_samples() -> None:
    scale = torch.arange(1, 11) ** -1.0
    found = [rankme(draw(500, 10, seed=s) * scale) for s in range(40)]
    spread = float(torch.tensor(found).std())
    low, high = bootstrap(draw(500, 10) * scale, lambda v: rankme(v), 60, torch.Generator())
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.4)
    report = spectrum_report(draw(500, 10), draws=20, generator=torch.Generator())
    assert report.rankme_interval[0] < report.rankme < report.rankme_interval[1]
    assert report.alpha_interval[0] < report.alpha < report.alpha_interval[1]
    again = spectrum_report(draw(500, 10), draws=20, generator=torch.Generator())
    assert again == report


def test_the_bootstrap_needs_rows_draws_and_a_generator() -> None:
    x = draw(50, 3)
    with pytest.raises(InvalidType, match="rows"):
        spectrum_report(CovarianceStream(3).update(x), draws=5, generator=torch.Generator())
    with pytest.raises(InvalidInput, match="draws"):
        spectrum_report(x, draws=1, generator=torch.Generator())
    with pytest.raises(InvalidInput, match="generator"):
        spectrum_report(x, draws=5)


def test_few_rows_and_a_massive_column_are_told() -> None:
    assert "cannot pass 9" in spectrum_report(draw(10, 20)).warnings[0]
    assert "2.0 rows for each column" in spectrum_report(draw(40, 20)).warnings[0]
    x = draw(500, 4) * torch.tensor([1.0, 1.0, 90.0, 1.0])
    for source in (x, CovarianceStream(4).update(x)):
        assert "column 2 holds 100 %" in str(spectrum_report(source))
    assert spectrum_report(torch.tensor([9.0, 1.0, 1.0, 1.0])).warnings == ()


def test_without_a_power_law_the_rank_is_still_told_unless_a_range_was_asked_for() -> None:
    report = spectrum_report(torch.tensor([1.0, 1.0]))
    assert report.rankme == pytest.approx(2)
    assert math.isnan(report.alpha)
    assert "no power law" in str(report)
    with pytest.raises(InvalidInput, match="range"):
        spectrum_report(torch.tensor([1.0, 1.0]), range=(1, 3))
