"""The monitor measures the features of its layer, when it should, without a trace."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.geometry import GeometryMonitor, alpha_req, pool_features, rankme


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model() -> nn.Sequential:
    with torch.random.fork_rng():
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).train()


def test_it_measures_what_enters_the_head_or_the_layer_named(model) -> None:
    x = draw(100, 6)
    h = torch.tanh(x @ model[0].weight.T + model[0].bias).detach()
    monitor = GeometryMonitor(model, x.split(30), every=1)
    row = monitor.record(0, loss=2.5)
    assert row.rankme == pytest.approx(rankme(h), rel=1e-6)
    assert row.alpha == pytest.approx(alpha_req(h).alpha, rel=1e-5)
    assert row.loss == 2.5
    before = GeometryMonitor(model, [(x, torch.zeros(100))], layer="0").look()
    assert before.rankme == pytest.approx(rankme(model[0](x).detach()), rel=1e-6)
    assert model.training
    assert model[2].training


def test_it_looks_every_so_many_steps_of_an_optimizer_and_finds_phases(model) -> None:
    x = draw(64, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = GeometryMonitor(model, [x], every=2)
    with monitor.attached(optimizer):
        for _ in range(5):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    optimizer.step()  # unseen
    assert [r.step for r in monitor.rows] == [0, 2, 4]
    assert math.isnan(monitor.rows[0].loss)
    assert monitor.table()[1]["rankme"] == monitor.rows[1].rankme
    assert isinstance(monitor.phases(), tuple)
    assert monitor.step(5) is None
    with pytest.raises(InvalidInput, match="step"):
        monitor.record(4)


def test_the_last_position_is_the_last_that_is_no_padding() -> None:
    h = torch.arange(24.0).reshape(2, 4, 3)
    right = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    left = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
    assert torch.equal(pool_features(h, "last", right), torch.stack([h[0, 1], h[1, 3]]))
    assert torch.equal(pool_features(h, "last", left), h[:, 3])
    assert torch.equal(pool_features(h), h[:, 3])
    assert torch.equal(pool_features(h, "all", right), torch.cat([h[0, :2], h[1]]))
    mean = pool_features(h, "mean", right)
    torch.testing.assert_close(mean, torch.stack([h[0, :2].mean(0), h[1].mean(0)]).double())
    assert pool_features(draw(5, 3)).shape == (5, 3)
    with pytest.raises(InvalidInput, match="mask"):
        pool_features(h, "last", torch.zeros(2, 4))


def test_padding_does_not_change_what_is_measured_of_a_language_model() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, n_positions=16, vocab_size=11, use_cache=False
    )
    with torch.random.fork_rng():
        model = transformers.GPT2LMHeadModel(config)
    ids = torch.randint(11, (40, 6), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.zeros(40, 3, dtype=torch.long)], 1)
    mask = torch.cat([torch.ones(40, 6), torch.zeros(40, 3)], 1).long()
    plain = GeometryMonitor(model, [{"input_ids": ids}]).look()
    found = GeometryMonitor(model, [{"input_ids": padded, "attention_mask": mask}]).look()
    assert found.rankme == pytest.approx(plain.rankme, rel=1e-4)


def test_settings_that_cannot_work_are_refused(model) -> None:
    x = [draw(9, 6)]
    for more in ({"every": 0}, {"pool": "first"}):
        with pytest.raises(InvalidInput):
            GeometryMonitor(model, x, **more)
    with pytest.raises(UnknownName):
        GeometryMonitor(model, x, layer="head")
    with pytest.raises(InvalidInput, match="layer"):
        GeometryMonitor(nn.Tanh(), x)
    with pytest.raises(InvalidType, match="loader"):
        GeometryMonitor(model, iter(x))
    with pytest.raises(InvalidInput, match="batches"):
        GeometryMonitor(model, []).look()
    with pytest.raises(InvalidType, match="batch"):
        GeometryMonitor(model, [3]).look()
