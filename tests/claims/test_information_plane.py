"""The task of the information plane's claims is of the paper's kind, and seeds train apart."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from narrows.claims import information_plane
from narrows.claims.claim import HOLDS


def test_the_rule_is_balanced_and_turning_the_circle_leaves_it_alone() -> None:
    x, y = information_plane.task()
    assert len(x.unique(dim=0)) == 4096
    assert abs(float(y.double().mean()) - 0.5) < 0.05
    places = 2.0 ** torch.arange(11, -1, -1)
    for turn in range(12):
        assert torch.equal(y[(x.roll(turn, 1) @ places).long()], y)
    by_count = [y[x.sum(1) == n].double().mean() for n in range(13)]
    assert any(0.1 < share < 0.9 for share in by_count)  # counting ones is not enough


def test_the_network_starts_as_the_paper_says() -> None:
    layers = [m for m in information_plane._net("tanh", 0) if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [
        (12, 10), (10, 7), (7, 5), (5, 4), (4, 3), (3, 2),
    ]  # fmt: skip
    for layer in layers:
        assert float(layer.weight.detach().abs().max()) <= 2 / layer.out_features**0.5
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


@pytest.mark.parametrize("units", ["tanh", "relu"])
def test_all_seeds_at_once_train_as_each_does_alone(units: str) -> None:
    x, y = information_plane.task()
    one = information_plane._Experiment(units, 2, 1, x, y)
    alone = [copy.deepcopy(model) for model in one.models]
    one._look = lambda *_: None  # type: ignore[method-assign]  # training alone is compared
    one._knee = lambda *_: 0.0  # type: ignore[method-assign]
    one.run()
    source = torch.Generator().manual_seed(0)
    train = torch.rand(2, 4096, generator=source).argsort(1)[:, :3277]
    order = train.gather(1, torch.rand(2, 3277, generator=source).argsort(1))
    for i, model in enumerate(alone):
        optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
        for rows in order[i].split(512):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(one.state[name][i].detach(), value, atol=2e-5, rtol=1e-4)


def test_a_short_run_gives_a_value_a_seed_for_every_claim_but_none_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(information_plane._EPOCHS, "small", 6)
    evidence = information_plane.run("small", 1)
    assert set(evidence.values) == {c.key for c in information_plane.CLAIMS}
    for claim in information_plane.CLAIMS:
        assert len(evidence.values[claim.key]) == 1
        assert claim.verdict(evidence.values[claim.key]) != HOLDS  # one seed proves nothing
    assert evidence.values["compression"][0] < 1  # nothing was learned yet
    assert evidence.values["fitting"][0] < 0.8


def test_a_layer_without_gradients_has_no_knee_and_breaks_nothing() -> None:
    one = information_plane._Experiment("relu", 1, 1, *information_plane.task())
    one.noted = [0, 1, 2, 4, 8, 16, 32]
    alive = [2.0, 2.0, 2.0, 2.0, 1.0, 0.5, 0.25]
    dead = [float("inf")] * 7
    assert one._knee({"a": alive, "b": dead}) == 4
    assert math.isnan(one._knee({"b": dead}))
