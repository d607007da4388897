"""CKA of branches is its definition, and goes to the branch that carries the feature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.complexity import linear_cka, residual_flow


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_alignment_of_centred_gram_matrices() -> None:
    x, z = draw(40, 5).double() + 2, draw(40, 3, seed=1).double()
    found = linear_cka({"a": x, "b": 2 * x @ torch.linalg.qr(draw(5, 5).double())[0]}, z)
    centre = np.eye(40) - 1 / 40
    k = centre @ (x @ x.T).numpy() @ centre
    for j in range(3):
        m = centre @ np.outer(z[:, j], z[:, j]) @ centre
        expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
        assert float(found["a"][j]) == pytest.approx(expected)
        assert float(found["b"][j]) == pytest.approx(expected)  # scale and turns do not count
    assert float(linear_cka({"a": x}, torch.ones(40))["a"]) == 0


class Block(nn.Module):
    """A residual block with both kinds of skip branch."""

    def __init__(self, width: int, project: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.skip = nn.Linear(width, width) if project else None

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + (x if self.skip is None else self.skip(x))


def test_branches_are_the_blocks_own_inputs_and_outputs() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Block(4, False), Block(4, True))
    x, z = draw(50, 4), draw(50, 2, seed=1)
    found = residual_flow(net, x.split(20), {"0": ("main", None), "1": ("main", "skip")}, z)
    with torch.no_grad():
        middle = net[0](x)
        branches = {
            "skip0": x,
            "main0": net[0].main(x),
            "skip1": net[1].skip(middle),
            "main1": net[1].main(middle),
        }
    expected = linear_cka(branches, z)
    torch.testing.assert_close(found.skip[0], expected["skip0"])
    torch.testing.assert_close(found.skip[1], expected["skip1"])
    torch.testing.assert_close(found.main[0], expected["main0"])
    torch.testing.assert_close(found.main[1], expected["main1"])
    assert found.blocks == ("0", "1")
    assert np.shape(found.to_dict()["skip"]) == (2, 2)


def test_what_does_not_fit_is_named() -> None:
    net, x, z = nn.Sequential(Block(4, False)), draw(10, 4), draw(10, 1)
    with pytest.raises(InvalidInput, match="blocks"):
        residual_flow(net, [x], {}, z)
    with pytest.raises(UnknownName, match=r"'0\.side'"):
        residual_flow(net, [x], {"0": ("side", None)}, z)
    with pytest.raises(InvalidInput, match="layers: found 10 rows"):
        linear_cka({"a": x}, draw(11, 1))
