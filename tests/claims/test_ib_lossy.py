"""The claims of compress-then-estimate are computed as they are worded."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from narrows.claims import ib_lossy, run
from narrows.claims.claim import HOLDS, UNTESTED
from narrows.errors import NarrowsError
from narrows.measure.geometry.phases import Phase
from narrows.measure.mi.compression import CompressedMI


def course(*values: float, error: float = 0.1) -> list[CompressedMI]:
    return [CompressedMI(v, error, "lower", "compressed", 100) for v in values]


def test_a_phase_is_a_change_beyond_two_standard_errors_of_a_difference() -> None:
    band = 2 * math.sqrt(2) * 0.1
    up, down = 1 + 1.01 * band, 1 + 1.01 * band - 1.01 * band
    legs = ib_lossy.phases([0, 1, 3], course(1, up, down))
    assert [(p.start, p.end) for p in legs] == [(0, 1), (1, 3)]
    assert ib_lossy.phases([0, 1, 3], course(1, 1 + 0.99 * band, 1)) == ()
    # noise on the way up is no phase, and values below 0 are as good as others
    legs = ib_lossy.phases([0, 1, 2, 3], course(-5, -3, -3.2, -1))
    assert [(p.start, p.end) for p in legs] == [(0, 3)]


def test_the_loss_within_the_first_fall() -> None:
    losses = {0: 4.0, 1: 3.0, 5: 1.0, 9: 0.0}
    legs = (Phase("", 0, 1, 1, 2), Phase("", 1, 5, 2, 1), Phase("", 5, 9, 1, 0.5))
    assert ib_lossy.within_first_fall(legs, losses) == pytest.approx(0.5)
    assert ib_lossy.within_first_fall(legs[:1], losses) == 0
    assert ib_lossy.within_first_fall(legs, {0: 1.0, 9: 2.0}) == 0


def test_a_slope_is_taken_where_the_paper_is_held_to_it() -> None:
    line = dict(zip(range(9), course(*[0.8 * n - 0.3 for n in range(6)], 0, 0, 0), strict=True))
    assert ib_lossy._slope_error(line) == pytest.approx(0.2)


def test_the_network_is_the_papers() -> None:
    model = ib_lossy.network(1)
    convolutions = [m for m in model if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.padding) for m in convolutions] == [
        (1, 8, (0, 0)), (8, 16, (0, 0)), (16, 32, (0, 0)),
    ]  # fmt: skip
    outputs = ib_lossy._outputs(model, torch.zeros(3, 1, 28, 28))
    shapes = [t.shape[1] for t in outputs.values()]
    assert shapes == [8 * 13 * 13, 16 * 5 * 5, 32, 32, 10]
    first = next(iter(ib_lossy.network(1).parameters()))
    assert torch.equal(first, next(iter(model.parameters())))


def pictures_by_class(n: int, seed: int) -> SimpleNamespace:
    source = np.random.default_rng(seed)
    y = torch.arange(n) % 2
    x = source.random((n, 1, 28, 28)) + y.numpy()[:, None, None, None]
    return SimpleNamespace(x=torch.from_numpy(x).float() / 2, y=y)


@pytest.mark.slow
def test_a_short_run_holds_nothing_and_names_every_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = SimpleNamespace(train=pictures_by_class(64, 0), test=pictures_by_class(80, 1))
    monkeypatch.setattr(ib_lossy, "load", lambda *_, **__: data)
    monkeypatch.setitem(ib_lossy._SIZES, "small", (64, 80, 2))
    monkeypatch.setattr(ib_lossy, "_PAIRS", 200)
    monkeypatch.setattr(ib_lossy, "_LEARNED", 100)
    result = run.run_claims("ib_lossy", "small", 1)
    assert not any(c["verdict"] == HOLDS for c in result["claims"])  # one seed proves nothing
    assert all(len(c["values"]) == 1 for c in result["claims"])
    assert len(result["rows"]["blobs, 8 nats"]) == 6
    assert {"KSG, 8 x 8 pixels", "MINE, 4 x 4 pixels"} < set(result["rows"]["blobs, 3 nats"])
    for layer in ib_lossy._LAYERS.values():
        assert {"I(L;Y) at the end", "I(L;Y) by chance"} < set(result["rows"][f"network, {layer}"])
        assert layer in result["rows"]["network, I(X;L) at epoch 2"]


@pytest.mark.slow
def test_without_the_pictures_the_blobs_are_still_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NarrowsError("no files")

    monkeypatch.setattr(ib_lossy, "load", missing)
    monkeypatch.setattr(ib_lossy, "_NATS", (0.0, 1.0))
    monkeypatch.setattr(ib_lossy, "_PEERS", (1.0,))
    monkeypatch.setattr(ib_lossy, "_PAIRS", 200)
    monkeypatch.setattr(ib_lossy, "_LEARNED", 100)
    claims = {c["key"]: c for c in run.run_claims("ib_lossy", "small", 1)["claims"]}
    for key in ("label", "phases", "loss_drop"):
        assert (claims[key]["verdict"], claims[key]["why_not"]) == (UNTESTED, "no files")
    assert len(claims["autoencoder"]["values"]) == 1
