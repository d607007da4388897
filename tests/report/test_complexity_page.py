"""The page of complexities holds every feature and layer, escaped, and opens offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from narrows.measure import FeatureComplexity, feature_complexity
from narrows.report.complexity_page import draw_complexity, draw_layers
from narrows.report.figures import to_svg


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def found_for_page(importance: bool) -> FeatureComplexity:
    x = draw(300, 6)
    z = torch.cat([x[:, :5] + 0.3 * draw(300, 5, seed=1), torch.ones(300, 1)], 1)
    names = ["<wing>", *"bcde", "dead"]
    found = feature_complexity({"l<1>": x[:, :2], "l2": x}, z, names=names)
    return found.with_importance(torch.arange(6.0)) if importance else found


@pytest.mark.parametrize("importance", [True, False])
def test_a_page_holds_each_feature_and_layer_and_opens_offline(
    importance: bool, tmp_path: Path
) -> None:
    found = found_for_page(importance)
    found.save(tmp_path / "new" / "k.html")
    page = (tmp_path / "new" / "k.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "&lt;wing&gt;" in page
    assert "<wing>" not in page
    assert "l&lt;1&gt;, l2" in page
    assert "dead dropped: without variance" in page
    for value in found.complexity.tolist():
        assert f"{value:.4g}" in page
    assert ("Γ" in page) is importance
    assert "<script" not in page
    found.to_png(tmp_path / "k.png")
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")


def test_the_figures_name_the_ends_and_both_axes() -> None:
    found = found_for_page(True)
    svg = to_svg(draw_complexity(found), "f")
    for word in ("complexity K", "importance", "&lt;wing&gt;"):
        assert word in svg
    layers = to_svg(draw_layers(found), "f")
    for word in ("simplest", "most complex", "layer"):
        assert word in layers
