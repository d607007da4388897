"""What is made of places, layer by layer, and the order of rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.complexity import PooledLayers
from narrows.measure.complexity.pooled import pool_places, project_rows


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_places_become_means_deviations_or_a_grid() -> None:
    h = draw(3, 5, 4, 6)
    torch.testing.assert_close(pool_places(h, "gap"), h.mean((2, 3)))
    both = pool_places(h, "gap+std")
    torch.testing.assert_close(both[:, 5:], h.flatten(2).std(2, correction=0))
    grid = pool_places(h, "grid").reshape(3, 5, 2, 2)
    torch.testing.assert_close(grid[:, :, 0, 1], h[:, :, :2, 3:].mean((2, 3)))
    tokens = draw(3, 7, 5)
    torch.testing.assert_close(pool_places(tokens, "gap"), tokens.mean(1))
    assert pool_places(tokens, "grid").shape == (3, 10)
    assert pool_places(draw(3, 5), "grid").shape == (3, 5)


def test_wide_rows_are_projected_alike_each_time_and_keep_their_lengths() -> None:
    rows = draw(4, 2000)
    a, b = project_rows(rows, 400, 1), project_rows(rows, 400, 1)
    assert torch.equal(a, b)
    assert (a.norm(dim=1) / rows.norm(dim=1)).sub(1).abs().max() < 0.2
    assert project_rows(rows, 2000, 1) is rows
    assert not torch.equal(a, project_rows(rows, 400, 2))


def test_layers_come_in_the_order_of_rows_whatever_the_batches_and_mode() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    x = draw(10, 3)
    found = PooledLayers(net, [(part, "label") for part in x.split(3)], ["1", "2"]).record()
    net.eval()
    torch.testing.assert_close(found["1"], net[0](x))
    torch.testing.assert_close(found["2"], net(x))
    into = PooledLayers(net, x.split(4), "2", side="input", max_dim=2)
    assert into.record()["2"].shape == (10, 2)


def test_bad_settings_are_named() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4)), draw(4, 3)
    with pytest.raises(UnknownName, match="'7'"):
        PooledLayers(net, [x], "7")
    with pytest.raises(InvalidInput, match="pool"):
        PooledLayers(net, [x], "0", pool="max")
    with pytest.raises(InvalidInput, match="max_dim"):
        PooledLayers(net, [x], "0", max_dim=0)
    with pytest.raises(InvalidType, match="batches"):
        PooledLayers(net, iter([x]), "0")
    with pytest.raises(InvalidInput, match="batches"):
        PooledLayers(net, [], "0").record()
    with pytest.raises(InvalidInput, match="layer"):
        PooledLayers(nn.Sequential(nn.Flatten(0)), [x], "0").record()


def test_a_pass_that_is_broken_off_leaves_gradients_and_mode_as_they_were() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4)).train(), draw(4, 3)
    for _ in PooledLayers(net, x.split(1), "0"):
        assert torch.is_grad_enabled()
        assert net.training
        break
    assert torch.is_grad_enabled()
    assert not net[0]._forward_hooks
