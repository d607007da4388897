"""The page of claims: every figure a claim file asks for stands beside it and shows its table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from narrows.claims import run
from narrows.claims.claim import Sweep, spread
from narrows.report.claims_page import draw_sweep, write_claims

DOCS = Path(__file__).parents[2] / "docs"


def test_the_figures_the_page_links_to_are_in_the_repository() -> None:
    linked = re.findall(r"\]\((claims/[^)]*)\)", (DOCS / "claims.md").read_text("utf-8"))
    assert sorted(linked) == sorted(f"claims/{p.name}" for p in (DOCS / "claims").glob("*.svg"))
    assert linked


def test_page_and_figures_are_written_together(tmp_path: Path) -> None:
    results = [r for r in run.load_results() if r["slug"] in ("cbm", "semantic_cbm")]
    write_claims(results, tmp_path / "claims.md")
    names = sorted(p.name for p in (tmp_path / "claims").iterdir())
    assert names == ["semantic_cbm-accuracy.svg", "semantic_cbm-place.svg"]


@pytest.mark.parametrize("percent", [True, False])
def test_a_sweep_draws_means_and_bands_of_its_rows_in_order(percent: bool) -> None:
    rows = {"far": {"score": [1.0, 3.0]}, "near": {"score": [0.0, 1.0]}}
    sweep = Sweep("s", "A line.", {"far": 2.0, "near": 0.5}, {"score": "it"}, "at", "of", percent)
    (axes,) = draw_sweep(sweep, {"rows": rows}).axes
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xydata(), [[0.5, 0.5], [2.0, 2.0]])
    (band,) = axes.collections
    low = band.get_paths()[0].vertices[:, 1].min()
    assert low == pytest.approx(0.5 - spread([0.0, 1.0])[1])
