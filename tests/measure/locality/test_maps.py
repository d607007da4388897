"""Maps against regions: closed forms and loops over pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from narrows.bottleneck import IdentityBottleneck
from narrows.errors import InvalidInput, InvalidType
from narrows.heads import FixedHead
from narrows.measure.locality.maps import concept_maps, map_scores
from narrows.model import NarrowModel

NAN = float("nan")
LEFT = torch.zeros(4, 6, dtype=torch.bool)
LEFT[:, :3] = True
HALVES = torch.stack([LEFT, ~LEFT])


def test_a_linear_concept_has_its_terms_as_map_and_its_energy_in_closed_form(
    halves, rows, weights
) -> None:
    w, data = weights, rows(10)
    model = halves(w)

    def logits(x: Tensor) -> Tensor:
        return model.bottleneck.logits(model.encoder(x))

    maps = concept_maps(model, data.x, method="gradient_x_input", score=logits)
    torch.testing.assert_close(maps, w * data.x)
    # Probabilities scale each map by one number, which no score sees.
    soft = map_scores(concept_maps(model, data.x, method="gradient_x_input"), HALVES)
    torch.testing.assert_close(soft.energy, map_scores(maps, HALVES).energy)
    terms = (w * data.x).abs()
    wanted = (terms * HALVES).sum((2, 3)) / terms.sum((2, 3))
    torch.testing.assert_close(map_scores(maps, HALVES).energy, wanted.double())


def test_units_of_any_bottleneck_are_attributed(rows) -> None:
    model = NarrowModel(nn.Flatten(), IdentityBottleneck(24), FixedHead(24))
    x = rows(3).x
    maps = concept_maps(model, x, [5, 0])
    wanted = torch.zeros(3, 2, 24)
    wanted[:, 0, 5], wanted[:, 1, 0] = x.flatten(1)[:, 5], x.flatten(1)[:, 0]
    torch.testing.assert_close(maps.flatten(2), wanted)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_score_equals_a_loop_over_pixels(seed) -> None:
    rng = np.random.default_rng(seed)
    maps = torch.tensor(rng.integers(-2, 3, (4, 3, 3, 4)).astype(float))
    regions = torch.tensor(rng.random((4, 3, 3, 4)) < 0.3)
    points = torch.tensor(rng.random((4, 3, 2)) * 3)
    points[torch.tensor(rng.random((4, 3)) < 0.3)] = NAN
    found = map_scores(maps, regions, points=points)
    for i, j in itertools.product(range(4), range(3)):
        a, r = maps[i, j].flatten().tolist(), regions[i, j].flatten().tolist()
        order = sorted(range(12), key=lambda p, a=a: -a[p])
        size, total = sum(r), sum(abs(v) for v in a)
        if not size or not total:
            assert all(math.isnan(getattr(found, c)[i, j]) for c in ("energy", "rank", "iou"))
            continue
        top = set(order[:size])
        own = {p for p in range(12) if r[p]}
        assert float(found.energy[i, j]) == pytest.approx(sum(abs(a[p]) for p in own) / total)
        assert float(found.pointing[i, j]) == r[order[0]]
        assert float(found.rank[i, j]) == pytest.approx(len(top & own) / size)
        assert float(found.iou[i, j]) == pytest.approx(len(top & own) / len(top | own))
        assert float(found.region[i, j]) == pytest.approx(size / 12)
        y, x = divmod(order[0], 4)
        wanted = math.dist((y, x), points[i, j].tolist())
        assert float(found.distance[i, j]) == pytest.approx(wanted, nan_ok=True)


def test_a_map_that_says_nothing_scores_the_share_of_the_region() -> None:
    """By energy at once; by rank where the region is spread evenly in reading order."""
    maps, region = torch.ones(1, 1, 4, 6), torch.zeros(1, 4, 6, dtype=torch.bool)
    region[0, :, ::3] = True
    found = map_scores(maps, region)
    assert found.energy.item() == found.region.item() == pytest.approx(1 / 3)
    source = torch.Generator().manual_seed(0)
    noise = map_scores(torch.rand(3000, 1, 4, 6, generator=source), region)
    for column in ("energy", "pointing", "rank"):
        values = getattr(noise, column)
        assert abs(float(values.mean()) - 1 / 3) < 4 * float(values.std()) / math.sqrt(3000)


def test_what_cannot_be_is_refused_by_name() -> None:
    maps = torch.ones(3, 2, 4, 6)
    with pytest.raises(InvalidInput, match="maps: found a number"):
        map_scores(maps * torch.nan, HALVES)
    with pytest.raises(InvalidType, match=r"maps: found torch\.int64"):
        map_scores(maps.long(), HALVES)
    with pytest.raises(InvalidInput, match="maps: found shape"):
        map_scores(maps[0], HALVES)
    with pytest.raises(InvalidInput, match=r"points: found shape \(3, 2\)"):
        map_scores(maps, HALVES, points=torch.ones(3, 2))
    with pytest.raises(InvalidInput, match="names: found 1 names"):
        map_scores(maps, HALVES, names=["left"])
