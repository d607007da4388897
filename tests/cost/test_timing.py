"""Latency: what is timed, how often, and how it is reported. Never how fast."""

from __future__ import annotations

import json
import time

import pytest
import torch
from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.cost import latency
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.model import NarrowModel


class MeasureTestLog(nn.Module):
    """Writes down who ran on how many rows, and advances a clock of its own."""

    def __init__(self, name, log, clock, seconds):
        super().__init__()
        self.name, self.log, self.clock, self.seconds = name, log, clock, seconds

    def forward(self, x):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.log.append((self.name, len(x)))
        self.clock[0] += self.seconds
        return x


@pytest.fixture
def timed(monkeypatch):
    """Two models on a clock that only they advance: 2 and 6 ms to encode, 1 and 4 to decide."""
    clock, log = [0.0], []
    monkeypatch.setattr("narrows.cost.timing.perf_counter", lambda: clock[0])
    models = {
        name: NarrowModel(
            MeasureTestLog(f"{name} encoder", log, clock, encoder),
            IdentityBottleneck(3),
            nn.Sequential(MeasureTestLog(f"{name} head", log, clock, head), LinearHead(3, 2)),
        )
        for name, encoder, head in (("black box", 2e-3, 1e-3), ("narrow", 6e-3, 4e-3))
    }
    return models, log


def test_medians_and_ratios_are_those_of_the_clock(timed):
    found = latency(timed[0], torch.zeros(5, 3), repeats=4, batches=(1, 8))
    assert [(row.model, row.batch) for row in found.rows] == [
        ("black box", 1),
        ("narrow", 1),
        ("black box", 8),
        ("narrow", 8),
    ]
    row = found.of("narrow", 8)
    assert row.encoder_ms == pytest.approx(6)
    assert row.head_ms == pytest.approx(4)
    assert row.encoder_ratio == pytest.approx(3)
    assert row.head_ratio == pytest.approx(4)
    assert row.ratio == pytest.approx(10 / 3)
    reference = found.of("black box", 1)
    assert (reference.encoder_ratio, reference.head_ratio, reference.ratio) == (1, 1, 1)
    assert found.reference == "black box"


def test_models_take_turns_in_a_rotating_order(timed):
    models, log = timed
    latency(models, torch.zeros(5, 3), repeats=3, batches=(8,))
    assert {rows for _, rows in log} == {8}
    order = [name for name, _ in log if "encoder" in name]
    a, b = "black box encoder", "narrow encoder"
    assert order == [a, b, b, a] * 3
    assert len(log) == 2 * len(order)


def test_modes_come_back_and_results_are_json(timed):
    models, _ = timed
    models["narrow"].train()
    models["black box"].eval()
    found = latency(models, torch.zeros(5, 3), repeats=1, batches=(1,))
    assert models["narrow"].training
    assert not models["black box"].training
    loaded = json.loads(json.dumps(found.to_dict()))
    assert loaded["rows"][1]["model"] == "narrow"
    assert [line.split()[0] for line in str(found).splitlines()] == ["model", "black", "narrow"]


def test_on_a_real_clock_a_sleeping_encoder_is_the_slower_one():
    class MeasureTestSleep(nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return x

    models = {
        name: NarrowModel(encoder, IdentityBottleneck(3), LinearHead(3, 2))
        for name, encoder in (("fast", nn.Identity()), ("slow", MeasureTestSleep()))
    }
    found = latency(models, torch.zeros(1, 3), repeats=5, batches=(1,))
    assert found.of("slow", 1).encoder_ms >= 20


def test_what_cannot_be_timed_is_refused(timed):
    models, x = timed[0], torch.zeros(5, 3)
    with pytest.raises(InvalidInput, match="models: found none"):
        latency({}, x)
    with pytest.raises(InvalidInput, match="no rows"):
        latency(models, x[:0])
    with pytest.raises(InvalidInput, match="positive counts"):
        latency(models, x, repeats=0)
    with pytest.raises(InvalidInput, match="positive counts"):
        latency(models, x, batches=(0,))
    with pytest.raises(InvalidInput, match="'grey box' at 1"):
        latency(models, x, repeats=1, batches=(1,)).of("grey box", 1)
