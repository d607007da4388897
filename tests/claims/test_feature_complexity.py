"""The network of the complexity claims is residual, and its pieces fit the measure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch

from narrows.claims import feature_complexity as claim
from narrows.data import load


def test_a_block_is_its_branches_added_and_halves_where_it_widens() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 8, 8)
    same, wider = claim.Block(16, 16, 1).eval(), claim.Block(16, 32, 2).eval()
    assert isinstance(same.skip, torch.nn.Identity)
    torch.testing.assert_close(same(x), torch.relu(same.main(x) + x))
    torch.testing.assert_close(wider(x), torch.relu(wider.main(x) + wider.skip(x)))
    assert wider(x).shape == (2, 32, 4, 4)


def test_the_recorded_last_layer_is_what_the_head_reads() -> None:
    torch.manual_seed(0)
    model, x = claim.ResNet().eval(), torch.randn(7, 1, 28, 28)
    layers = claim.layers_of(model, x)
    assert list(layers) == [f"blocks.{i}" for i in range(7)]
    torch.testing.assert_close(model.head(layers["blocks.6"]), model(x))
    assert 150_000 < sum(p.numel() for p in model.parameters()) < 250_000


@pytest.mark.slow
def test_one_small_run_measures_every_claim_and_chance_is_chance() -> None:
    try:
        data = load("fashion_attributes", sizes=(700, 100, 700))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    values: dict[str, list[float]] = defaultdict(list)
    rows: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(list))
    claim._one_seed(data, 0, values, rows)
    assert set(values) == {c.key for c in claim.CLAIMS}
    assert all(len(found) == 1 for found in values.values())
    assert rows["features in another order"]["K, median"][0] > 0.97
    assert rows["trained network"]["explained by atoms"][0] > 0.9


def test_the_papers_own_data_are_not_pretended() -> None:
    evidence = claim.run("full", 3)
    assert not evidence.values
    assert "ImageNet" in evidence.reasons["bypass"]
