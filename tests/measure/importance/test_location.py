"""Where concepts fire, against loops and sorts."""

from __future__ import annotations

import importlib
import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.importance.activation import activation_map, enlarge
from narrows.measure.importance.existence import existence, local_importance
from narrows.measure.importance.location import location

NAN = float("nan")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_location_and_its_baselines_equal_loops_over_sorted_pixels(data) -> None:
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    n, k, size = 5, 4, (6, 8)
    # Few levels, so that pixels tie; full size, so that no arithmetic is shared.
    maps = torch.tensor(rng.integers(0, 4, (n, k, *size)).astype(float))
    points = torch.tensor(rng.random((n, k, 2)) * size)
    points[torch.tensor(rng.random((n, k)) < 0.4)] = NAN
    importance = torch.tensor(rng.integers(0, 3, (n, k)).astype(float))
    objects = torch.tensor(rng.random((n, *size)) < 0.4)
    areas, top = (1 / 12, 0.3, 1.0), (1, 2, 4)
    found = location(maps, points, importance, size, areas=areas, top=top, objects=objects)
    centre = [-((y - 2.5) ** 2 + (x - 3.5) ** 2) for y, x in itertools.product(range(6), range(8))]
    for (a, area), (t, most) in itertools.product(enumerate(areas), enumerate(top)):
        count = round(area * 48)
        means: dict[str, list[float]] = {"share": [], "centre": [], "object": []}
        for i in range(n):
            order = sorted(range(k), key=lambda j, i=i: -float(importance[i, j]))
            order = [j for j in order if not points[i, j].isnan().any()][:most]
            hits: dict[str, list[float]] = {name: [] for name in means}
            for j in order:
                y, x = int(points[i, j, 0]), int(points[i, j, 1])
                at = y * 8 + x
                for name, values in (("share", maps[i, j].flatten().tolist()), ("centre", centre)):
                    highest = sorted(range(48), key=lambda p, v=values: -v[p])[:count]
                    hits[name].append(at in highest)
                inside = int(objects[i].sum())
                if objects[i, y, x]:
                    hits["object"].append(min(1.0, count / inside))
                else:
                    hits["object"].append(max(0.0, (count - inside) / (48 - inside)))
            for name, values in hits.items():
                if values:
                    means[name].append(float(np.mean(values)))
        share = found.by_area[a]
        assert share.rows == len(means["share"])
        if share.rows:
            assert float(share.share[t]) == pytest.approx(np.mean(means["share"]), abs=1e-12)
            for name in ("centre", "object"):
                wanted = np.mean(means[name])
                assert float(share.baselines[name][t]) == pytest.approx(wanted, abs=1e-12)
            assert float(share.baselines["chance"][t]) == pytest.approx(count / 48)
    assert found.pixels == (4, 14, 48)


def test_a_hot_pixel_at_the_point_is_found_in_any_area() -> None:
    size = (6, 8)
    maps, points = torch.zeros(10, 2, *size), torch.zeros(10, 2, 2)
    rng = np.random.default_rng(0)
    for i, j in itertools.product(range(10), range(2)):
        y, x = rng.integers(6), rng.integers(8)
        maps[i, j, y, x] = 1
        points[i, j] = torch.tensor([y, x])
    found = location(maps, points, torch.ones(10, 2), size, areas=(1 / 48, 0.2, 1.0), top=(1, 2))
    assert all(share.share.tolist() == [1, 1] for share in found.by_area)


def test_a_constant_map_covers_exactly_its_area_in_reading_order() -> None:
    size = (4, 6)
    points = torch.tensor([[y, x] for y in range(4) for x in range(6)], dtype=torch.float64)
    maps = torch.full((24, 1, 2, 3), 0.7)
    found = location(maps, points[:, None], torch.ones(24, 1), size, areas=(1 / 12, 0.5), top=(1,))
    assert [float(share.share) for share in found.by_area] == [2 / 24, 0.5]


def test_random_maps_reach_chance_within_three_standard_errors() -> None:
    source = torch.Generator().manual_seed(1)
    maps = torch.rand(3000, 3, 12, 12, generator=source)
    points = 12 * torch.rand(3000, 3, 2, generator=source)
    importance = torch.rand(3000, 3, generator=source)
    found = location(maps, points, importance, (12, 12), top=(1, 3))
    for alpha, share in zip((1, 3, 6), found.by_area, strict=True):
        assert share.baselines["chance"].tolist() == pytest.approx([alpha / 12] * 2)
        assert ((share.share - alpha / 12).abs() < 3 * share.error).all()


def test_low_maps_give_what_enlarged_maps_give_and_pieces_do_not_matter(monkeypatch) -> None:
    maps, points = draw(9, 4, 3, 5), torch.rand(9, 4, 2, generator=torch.Generator()) * 12
    importance = draw(9, 4, seed=3)
    found = location(maps, points, importance, (12, 20), top=(1, 4)).to_dict()
    large = location(enlarge(maps, (12, 20)), points, importance, (12, 20), top=(1, 4))
    assert large.to_dict() == found
    # The package has a function of the same name.
    module = importlib.import_module("narrows.measure.importance.location")
    monkeypatch.setattr(module, "_PIXELS", 1)
    assert location(maps, points, importance, (12, 20), top=(1, 4)).to_dict() == found


def test_concepts_without_a_place_are_not_ranked_and_coverage_says_so() -> None:
    maps = torch.zeros(2, 3, 2, 2)
    maps[0, 2, 1, 1] = 1
    points = torch.full((2, 3, 2), NAN)
    points[0, 2] = torch.tensor([1.0, 1.0])
    importance = torch.tensor([[5.0, 4.0, 3.0], [1.0, 1.0, 1.0]])
    found = location(maps, points, importance, (2, 2), areas=(0.25,), top=(1, 2)).by_area[0]
    assert found.rows == 1
    assert found.share.tolist() == [1, 1]
    assert found.coverage.tolist() == [0.5, 0.25]
    none = location(maps, points * NAN, importance, (2, 2), areas=(0.25,), top=(1,))
    assert none.by_area[0].rows == 0
    text = json.dumps(none.to_dict(), allow_nan=False)
    assert json.loads(text)["by_area"][0]["share"] == [None]
    assert "area 0.25 (1 pixels)" in str(none)


def test_a_model_that_looks_finds_everything_and_one_that_cheats_by_twins_finds_nothing() -> None:
    """Colours on a canvas, 2 and 2 always together; a map per colour, pooled, decides.

    The cheat reads each concept from its twin's colour: the same scores, the wrong places.
    """
    rng = np.random.default_rng(0)
    n, size = 60, (12, 24)
    pictures, points = torch.zeros(n, 4, *size), torch.full((n, 4, 2), NAN)
    y = torch.tensor(rng.integers(0, 2, n))
    for i, pair in enumerate(y.tolist()):
        places = rng.permutation(6 * 12)[:2]  # cells of 2 x 2 pixels
        for colour, place in zip((2 * pair, 2 * pair + 1), places.tolist(), strict=True):
            row, column = 2 * (place // 12), 2 * (place % 12)
            pictures[i, colour, row : row + 2, column : column + 2] = 1
            points[i, colour] = torch.tensor([row, column]) + torch.tensor(rng.random(2) * 2)
    labels = (~points[..., 0].isnan()).float()
    weight = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    honest = torch.eye(4)
    found = {}
    for name, directions in (("honest", honest), ("cheat", honest[[1, 0, 3, 2]])):
        scores = pictures.mean((2, 3)) @ directions.T
        predicted = (scores @ weight.T).argmax(1)
        assert torch.equal(predicted, y)
        importance = local_importance(weight, scores, predicted)
        there = existence(importance, labels, predicted, torch.ones(2, 4), top=(1, 2))
        assert there.share.tolist() == [1, 1]
        maps = activation_map(pictures, directions)
        found[name] = location(maps, points, importance, size, areas=(4 / 288,), top=(1, 2))
    assert found["honest"].by_area[0].share.tolist() == [1, 1]
    assert found["cheat"].by_area[0].share.tolist() == [0, 0]


def test_what_cannot_be_is_refused_by_name() -> None:
    maps, points, importance = draw(2, 3, 2, 2), torch.zeros(2, 3, 2), torch.ones(2, 3)
    outside, objects = points.clone(), torch.ones(2, 4, 5, dtype=torch.bool)
    outside[1, 2] = torch.tensor([0.0, 4.0])
    with pytest.raises(InvalidInput, match=r"points\[1, 2\]: found \[0.0, 4.0\]"):
        location(maps, outside, importance, (4, 4))
    outside[1, 2] = torch.tensor([0.0, NAN])
    with pytest.raises(InvalidInput, match=r"points\[1, 2\]"):
        location(maps, outside, importance, (4, 4))
    with pytest.raises(InvalidInput, match="areas: found"):
        location(maps, points, importance, (4, 4), areas=(0.0,))
    with pytest.raises(InvalidInput, match="size: found"):
        location(maps, points, importance, (0, 4))
    with pytest.raises(InvalidInput, match=r"top: found \(4,\), wanted whole numbers from 1 to 3"):
        location(maps, points, importance, (4, 4), top=(4,))
    with pytest.raises(InvalidInput, match="maps: found a number"):
        location(maps * math.inf, points, importance, (4, 4), top=(1,))
    with pytest.raises(InvalidType, match=r"maps: found torch\.int64"):
        location(maps.long(), points, importance, (4, 4), top=(1,))
    with pytest.raises(InvalidInput, match="objects: found shape"):
        location(maps, points, importance, (4, 4), top=(1,), objects=objects)
