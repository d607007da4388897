"""Replaced pixels: an honest model, a cheat, and loops over pixels."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType
from narrows.measure.locality import swaps
from narrows.measure.locality.maps import concept_maps, map_scores
from narrows.measure.locality.swaps import swap

LEFT = torch.zeros(4, 6, dtype=torch.bool)
LEFT[:, :3] = True
HALVES = torch.stack([LEFT, ~LEFT])


def test_a_concept_that_reads_its_own_half_has_energy_1_and_leakage_0(
    halves, rows, weights
) -> None:
    model, data = halves(weights * HALVES), rows(40)
    for method in ("gradient_x_input", "integrated_gradients"):
        maps = concept_maps(model, data.x, method=method)
        found = map_scores(maps, HALVES, names=model.bottleneck.names)
        assert found.energy.numpy() == pytest.approx(np.ones((40, 2)))
        assert found.rank.isfinite().all()
        positive = map_scores(concept_maps(model, data.x, method=method).clamp(min=0), HALVES)
        assert positive.mean()["pointing"] == 1
    swapped = swap(model, data, HALVES)
    assert swapped.leakage.tolist() == [0, 0]
    assert torch.equal(swapped.change, swapped.full)
    assert (swapped.full > 0.01).all()
    assert (swapped.relative_leakage, swapped.relative_change) == (0, 1)


def test_a_concept_that_reads_the_other_half_has_energy_0_and_no_change(
    halves, rows, weights
) -> None:
    model, data = halves(weights * HALVES.flip(0)), rows(40)
    assert map_scores(concept_maps(model, data.x), HALVES).mean()["energy"] == 0
    swapped = swap(model, data, HALVES)
    assert torch.equal(swapped.leakage, swapped.full)
    assert swapped.change.tolist() == [0, 0]


def test_swaps_equal_pixel_by_pixel_replacement_with_moving_regions(halves, rows, weights) -> None:
    model, data = halves(weights), rows(9)
    regions = torch.rand(9, 2, 4, 6, generator=torch.Generator().manual_seed(2)) < 0.4
    regions[3, 1] = False
    found = swap(model, data, regions, seed=5)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5)).tolist()
    after = {a: order[(i + 1) % 9] for i, a in enumerate(order)}
    for j in range(2):
        parts: dict[str, list[float]] = {"leakage": [], "change": [], "full": []}
        for i in range(9):
            if not regions[i, j].any():
                continue
            u = float(model(data.x[i : i + 1]).reading.units[0, j])
            for name in parts:
                x = data.x[i : i + 1].clone()
                for p, q in itertools.product(range(4), range(6)):
                    inside = bool(regions[i, j, p, q])
                    if name == "full" or (name == "change") == inside:
                        x[0, 0, p, q] = data.x[after[i], 0, p, q]
                parts[name].append(abs(float(model(x).reading.units[0, j]) - u))
        for name, values in parts.items():
            assert float(getattr(found, name)[j]) == pytest.approx(np.mean(values), abs=1e-6)
    assert found.rows.tolist() == [9, 8]


def test_concepts_with_one_region_share_their_passes_and_pieces_do_not_matter(
    halves, rows, weights, monkeypatch
) -> None:
    model, data = halves(weights), rows(12)
    calls = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return x.flatten(1)

    model.encoder = Counting()
    same = torch.stack([LEFT, LEFT])
    found = swap(model, data, same)
    assert calls == [12] * 4
    first = swap(model, data, same[:1], units=[0])
    assert torch.equal(first.leakage, found.leakage[:1])
    monkeypatch.setattr(swaps, "_NUMBERS", 1)
    one = swap(model, data, same)
    torch.testing.assert_close(one.leakage, found.leakage)
    torch.testing.assert_close(one.change, found.change)


def test_swaps_need_no_gradient(halves, rows, weights) -> None:
    class Bits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) > 0.5).float()

    model = halves(weights * HALVES)
    model.encoder = Bits()
    with pytest.raises(InvalidInput, match="replacing pixels"):
        concept_maps(model, rows(3).x)
    assert swap(model, rows(20), HALVES).relative_leakage == 0


def test_the_cheat_has_full_accuracy_and_no_locality(halves) -> None:
    """Left and right always agree; `left` is read from the right half, perfectly."""
    source = torch.Generator().manual_seed(3)
    c = torch.randint(2, (200,), generator=source)
    x = 0.1 * torch.rand(200, 1, 4, 6, generator=source)
    x[:, 0, 1, 1] += c
    x[:, 0, 1, 4] += c
    w = torch.zeros(2, 4, 6)
    honest, cheat = w.clone(), w.clone()
    honest[0, 1, 1] = honest[1, 1, 4] = cheat[0, 1, 4] = cheat[1, 1, 4] = 20
    data = Examples(x, c, None, ("no", "yes"), Concepts(("left", "right")))
    results = {}
    for name, weight in (("honest", honest), ("cheat", cheat)):
        model = halves(weight)
        with torch.no_grad():
            model.bottleneck.linear.bias.fill_(-11.0)
        assert ((model(x).reading.units[:, 0] > 0.5) == c.bool()).all()
        maps = map_scores(concept_maps(model, x), HALVES)
        results[name] = (maps.per_concept(), swap(model, data, HALVES))
    maps, swapped = results["honest"]
    assert maps["energy"][0] == maps["pointing"][0] == 1
    assert swapped.leakage[0] == 0
    maps, swapped = results["cheat"]
    assert maps["energy"][0] == maps["pointing"][0] == 0
    assert swapped.change[0] == 0
    assert swapped.leakage[0] == swapped.full[0] > 0.4


def test_modes_and_inputs_are_as_before_and_results_are_json(halves, rows, weights) -> None:
    model, data = halves(weights), rows(6)
    model.train()
    x = data.x.clone()
    swapped, maps = swap(model, data, HALVES), map_scores(concept_maps(model, x), HALVES)
    assert model.training
    assert torch.equal(x, data.x)
    assert "left" in str(swapped)
    assert "as a share of the full change" in str(swapped)
    assert str(map_scores(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)))
    assert json.loads(json.dumps(swapped.to_dict(), allow_nan=False))["names"] == ["left", "right"]
    assert json.loads(json.dumps(maps.to_dict(), allow_nan=False))["distance"] == [None, None]


def test_what_cannot_be_is_refused_by_name(halves, rows, weights) -> None:
    model, data = halves(weights), rows(3)
    with pytest.raises(InvalidInput, match=r"regions: found shape \(1, 3, 4, 6\), wanted shape"):
        swap(model, data, torch.ones(3, 4, 6, dtype=torch.bool))
    with pytest.raises(InvalidType, match=r"regions: found torch\.float32"):
        swap(model, data, torch.ones(2, 4, 6))
    with pytest.raises(InvalidInput, match="at least 2 pictures"):
        swap(model, rows(1), HALVES)
    with pytest.raises(InvalidInput, match=r"units: found \(0, 2\)"):
        swap(model, data, HALVES, units=[0, 2])
