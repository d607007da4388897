"""The grids are the ones described, and each net's measures are those of the net by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from narrows.claims import ib_generalization as claims
from narrows.claims.ib_generalization import BLOBS, CLAIMS, DIGITS, Grid
from narrows.measure import model_information, sandwich_mi
from narrows.measure.generalization import Recipe, train_nets

SMALL = Grid(
    ((2, 8, 6, 5), (2, 12, 6, 5)), 0, (0.0, 0.1), (0.0, 0.01), 3, 3,
    Recipe(epochs=60, collect=45, lr=0.05),
)  # fmt: skip


def size(grid: Grid) -> int:
    lists = (grid.widths, grid.decays, grid.rates)
    return math.prod(len(one) for one in lists) * grid.sets * grid.seeds


def test_the_grids_have_the_papers_sizes() -> None:
    assert size(BLOBS) == 216
    assert size(DIGITS) == 54
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS) == 10


def test_rows_measured_are_whole_classes_and_none_of_the_training_rows() -> None:
    rows = claims.blobs(1, sets=2)
    assert rows.train[0].shape == (2, 50, 2)
    assert rows.test[0].shape == (2, 250, 2)
    assert rows.measured.shape == (2, 500, 2)
    centres = torch.stack([rows.measured[0].reshape(5, 100, 2).mean(1)] * 1)[0]
    for c in range(5):
        train = rows.train[0][0][rows.train[1][0] == c]
        assert (train - centres[c]).norm(dim=1).median() < 2
    seen = {tuple(row) for row in rows.train[0][0].tolist()}
    assert not seen & {tuple(row) for row in rows.measured[0].tolist()}
    assert not torch.equal(rows.train[0][0], rows.train[0][1])
    assert not torch.equal(rows.train[0], claims.blobs(2, sets=2).train[0])


def test_digits_are_thirty_of_each_class_and_the_rest() -> None:
    rows = claims.digits(3, sets=2)
    x, _ = load_digits(return_X_y=True)
    assert torch.equal(rows.train[1][0], torch.arange(10).repeat_interleave(30))
    for i in range(2):
        both = torch.cat([rows.train[0][i], rows.test[0][i]])
        assert sorted(map(tuple, (both * 16).tolist())) == sorted(map(tuple, x.tolist()))
    assert torch.equal(rows.measured, rows.train[0])


def test_measures_are_those_of_each_net_alone() -> None:
    rows = claims.blobs(0, sets=3)
    of = [0, 1, 2]
    x, y = (part[of] for part in rows.train)
    widths = SMALL.widths[0]
    nets = train_nets(widths, x, y, decay=[0.0] * 3, seeds=[0] * 3, shared=0, recipe=SMALL.recipe)
    found = claims.measured(nets, rows, of, seed=0, sets=3)
    labels = np.repeat(np.arange(5), 100)
    _, mean, std = nets(rows.measured, torch.zeros(3, 500, 6))
    for i in range(3):
        for form, name in (("marginal", "marginal"), ("jensen", "Jensen")):
            for given, key in ((None, "I(X;Z)"), (labels, "I(X;Z|Y)")):
                told = sandwich_mi(mean[i], std[i], given, form=form, draws=4)
                # the same form on other drawn codes
                allowed = 0.05 * abs(told.value) + 4 * told.stderr + 0.01
                assert found[f"{key}, {name}"][i] == pytest.approx(told.value, abs=allowed)
    theta = model_information(nets.swags, upto="deviation").value
    assert found["I(S;theta)"] == [theta] * 3
    count = sum(p.numel() for p in nets.net.parameters())
    assert found["parameters"] == [count] * 3
    weights = [v[1].norm() for k, v in nets.state.items() if k.endswith("weight")]
    assert found["sum of norms"][1] == pytest.approx(float(sum(weights)), rel=1e-5)
    assert found["product of norms"][1] == pytest.approx(math.prod(map(float, weights)), rel=1e-5)


def test_a_small_grid_gives_a_study_with_every_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_CODES", 1)
    nets = claims.trained_grid(SMALL, claims.blobs(0, sets=3), 0)
    assert len(nets) == size(SMALL)
    assert {(net["width"], net["decay"], net["rate"], net["data"]) for net in nets} == {
        (w[1], d, r, j) for w in SMALL.widths for d in SMALL.decays for r in SMALL.rates
        for j in range(3)
    }  # fmt: skip
    study = claims.study_of(nets)
    assert "nets kept" in study.notes[0]
    assert "fitted" in study.notes[1]
    table = study.correlate(claims.MEASURES, given=["width"], draws=20)
    assert math.isnan(table["parameters"].partial.value)


def test_larger_sizes_say_why_nothing_is_measured() -> None:
    evidence = claims.run("full", 1)
    assert not evidence.values
    assert set(evidence.reasons) == {claim.key for claim in CLAIMS}
