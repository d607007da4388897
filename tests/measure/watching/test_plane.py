"""The plane records what its estimators say of the right layer, at the right time."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.watching import (
    FixedBins,
    InformationPlane,
    MixtureBounds,
    RangeBins,
    log_epochs,
    saxe_epochs,
)
from narrows.measure.watching.schedules import wanted
from narrows.train import Run, fit_stage

pytestmark = pytest.mark.filterwarnings("ignore:.*at its ceiling")
X = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
Y = (X.sum(1) > 2).long()
BOTH = {"bins": FixedBins(6), "kde": MixtureBounds(0.05), "range": RangeBins(6)}


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return nn.Sequential(
            nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)
        )


def train(model: nn.Module, epochs: int, x: Tensor = X, y: Tensor = Y) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_a_row_is_the_estimator_on_the_layers_output_in_evaluation_mode() -> None:
    model = net().train()
    plane = InformationPlane(model, X, Y, ["1", "4"], BOTH, batch_size=10)
    plane.snapshot(3)
    with torch.no_grad():
        first = torch.tanh(model[0](X))
        second = torch.tanh(model[3](first))
    rows = list(plane.table())
    assert [(r["layer"], r["estimator"]) for r in rows] == [
        (layer, name) for layer in ("1", "4") for name in BOTH
    ]
    for t, part in ((first, rows[:3]), (second, rows[3:])):
        for row, estimator in zip(part, BOTH.values(), strict=True):
            alone = estimator.measure(estimator.encode(t), Y)
            assert row["I(X;T)"] == pytest.approx(alone.xt, abs=1e-6)
            assert row["I(T;Y)"] == pytest.approx(alone.ty, abs=1e-6)
            assert (row["epoch"], row["unit"]) == (3, "nats")
    assert model.training
    assert model[2].training
    assert plane.table().to("bits")[0]["I(X;T)"] == pytest.approx(rows[0]["I(X;T)"] / math.log(2))


def test_recording_neither_changes_training_nor_misses_an_epoch() -> None:
    watched, plain = net(), net()
    plane = InformationPlane(watched.train(), X, Y, "4", BOTH, epochs=range(0, 99, 2))
    with plane.record(steps=2), torch.random.fork_rng():
        train(watched.eval(), 9)
    train(plain.eval(), 9)
    for a, b in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
    assert plane.table().where(estimator="kde")["epoch"] == [0, 2, 4]
    train(watched, 2)
    train(net(), 2)
    assert plane.table().where(estimator="kde")["epoch"] == [0, 2, 4]


def test_another_models_steps_are_not_counted() -> None:
    plane = InformationPlane(net(), X, Y, "4", BOTH)
    with plane.record():
        train(net(1), 4)
    assert set(plane.table()["epoch"]) == {0}


def test_as_a_callback_it_sees_each_epoch_and_the_last_state_stays() -> None:
    model, plain = net(), net()
    plane = InformationPlane(model, X, Y, "4", BOTH)
    losses = []
    for one, validate in ((model, plane.callback()), (plain, None)):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)

        def loss(batch: dict[str, Tensor], one: nn.Module = one) -> Tensor:
            return nn.functional.cross_entropy(one(batch["x"]), batch["y"])

        losses.append(
            fit_stage(
                Run(0), "fit", one, loss, {"x": X, "y": Y}, optimizer,
                epochs=3, batch_size=16, validate=validate,
            )
        )  # fmt: skip
    assert plane.table().where(estimator="bins")["epoch"] == [0, 1, 2, 3]
    assert [r["loss"] for r in losses[0]] == [r["loss"] for r in losses[1]]
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
    assert plane.callback(lambda: 0.25)() == 0.25


def test_compression_is_the_fall_from_the_maximum() -> None:
    class Shrinking(nn.Module):
        scale = 1.0

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x

    model = Shrinking()
    x = torch.linspace(-0.99, 0.99, 64)[:, None]
    plane = InformationPlane(model, x, (x[:, 0] > 0).long(), "", {"b": FixedBins(65)}, unit="bits")
    for epoch, scale in enumerate([0.5, 1.0, 0.25, 0.125, 1e-3]):
        model.scale = scale
        plane.snapshot(epoch)
    (found,) = plane.compression()
    assert (found.most, found.at, found.final) == (pytest.approx(6), 1, pytest.approx(1))
    assert found.loss == pytest.approx(5)
    assert found.share == 0.75
    assert found.ty == pytest.approx(1)
    assert found.unit == "bits"


def test_deeper_layers_that_seem_to_know_more_are_named() -> None:
    model = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.mul_(1e-3)
        model[0].bias.zero_()
        model[1].weight.copy_(1e3 * torch.eye(2))
        model[1].bias.zero_()
    plane = InformationPlane(model, X, Y, ["0", "1"], {"bins": FixedBins(30)})
    plane.snapshot(0)
    (found,) = plane.table().violations()
    assert found["layers"] == ("0", "1")
    assert found["by"] > 1
    assert plane.table().violations(100.0) == ()


def test_permuted_labels_tell_what_bias_gives() -> None:
    plane = InformationPlane(net(), X, Y, ["1", "4"], {"fine": FixedBins(30), "one": FixedBins(2)})
    fine, one = plane.chance(20, torch.Generator().manual_seed(0))[:2]
    assert fine["I(T;Y)"] - fine["chance"] < 0.1  # each point alone: any label is told
    assert fine["chance"] > 0.5
    assert one["chance"] == pytest.approx(0, abs=1e-12)
    assert plane.table()["epoch"] == []
    # At a random start of one narrow layer the excess over chance is noise.
    shuffled = Y[torch.randperm(64, generator=torch.Generator().manual_seed(5))]
    null = InformationPlane(net(), X, shuffled, "4", {"kde": MixtureBounds(0.3)})
    (row,) = null.chance(40, torch.Generator().manual_seed(1))
    assert abs(row["I(T;Y)"] - row["chance"]) < 3 * row["deviation"]
    with pytest.raises(InvalidInput, match="draws"):
        null.chance(1, torch.Generator())


def test_points_alone_in_their_cells_are_warned_of_once_and_noted_in_the_table() -> None:
    plane = InformationPlane(net(), X, Y, "1", {"bins": FixedBins(1000)})
    with pytest.warns(UserWarning, match=r"bins, layer '1', epoch 0: 100 % .* at its ceiling"):
        plane.snapshot(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plane.snapshot(1)
    assert "(2 of 2 epochs)" in str(plane.table())
    told = json.loads(json.dumps(plane.table().to_dict(), allow_nan=False))
    assert told["notes"][0]["layer"] == "1"
    assert told["rows"][1]["epoch"] == 1
    assert told["columns"] == ["epoch", "layer", "estimator", "I(X;T)", "I(T;Y)", "unit"]


def test_layers_with_maps_and_inputs_by_name_are_flattened_row_by_row() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)

        def forward(self, signal: Tensor, scale: float) -> Tensor:
            return self.conv(signal[:, None]) * scale

    inputs = {"signal": X, "scale": 2.0}
    plane = InformationPlane(Named(), inputs, Y, estimators={"k": MixtureBounds(0.1)}, batch_size=9)
    plane.snapshot(0)
    assert plane.table()["layer"] == ["conv"]
    assert 0 < plane.table()["I(X;T)"][0] <= math.log(64)


def test_schedules() -> None:
    taken = [e for e in range(4001) if saxe_epochs(e)]
    assert taken[:20] == list(range(20))
    assert [e for e in taken if 20 <= e < 100] == list(range(20, 100, 5))
    assert [e for e in taken if 100 <= e < 2000] == list(range(100, 2000, 20))
    assert taken[-21:] == list(range(2000, 4001, 100))
    assert log_epochs(400, 10_000)[-1] == 10_000
    assert log_epochs(3, 50) == (0, 1, 50)
    assert wanted("log:5:1000")(100)
    assert wanted("log:5")(10_000)
    assert not wanted([1, 2])(3)
    assert wanted("all")(7)
    assert wanted(lambda e: e == 4)(4)
    for bad in ("log", "log:x", "often"):
        with pytest.raises(InvalidInput, match="epochs"):
            wanted(bad)
    with pytest.raises(InvalidInput):
        log_epochs(2, 5)


def test_what_cannot_be_measured_is_refused() -> None:
    model = net()
    with pytest.raises(UnknownName):
        InformationPlane(model, X, Y, "9")
    for y in (Y[:5], torch.ones(64), torch.full((64,), math.nan)):
        with pytest.raises(InvalidInput, match="y"):
            InformationPlane(model, X, y)
    with pytest.raises(InvalidType, match="y"):
        InformationPlane(model, X, [None] * 64)
    with pytest.raises(InvalidInput, match="estimators"):
        InformationPlane(model, X, Y, estimators={})
    with pytest.raises(InvalidType, match="estimators"):
        InformationPlane(model, X, Y, estimators={"bins": 30})  # type: ignore[dict-item]
    for more in ({"unit": "bytes"}, {"batch_size": 0}, {"epochs": "often"}):
        with pytest.raises(InvalidInput):
            InformationPlane(model, X, Y, **more)
    plane = InformationPlane(model, X, Y, "1", BOTH)
    plane.snapshot(2)
    with pytest.raises(InvalidInput, match="epoch"):
        plane.snapshot(2)
    with pytest.raises(InvalidInput, match="steps"), plane.record(steps=0):
        pass
    with pytest.raises(InvalidInput, match="limit"):
        InformationPlane(model, X, Y, "1", BOTH, limit=1500, batch_size=8).snapshot(0)
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(InvalidInput, match="layer '1'"):
        InformationPlane(model, X, Y, "1").snapshot(0)
    with pytest.raises(UnknownName, match="column"):
        plane.table()["I(T;X)"]


def test_the_published_task_has_the_published_information() -> None:
    path = Path(__file__).parents[4] / "shared/data/tishby-ib/var_u.mat"
    if not path.exists():
        pytest.skip("the published task is not here")
    from scipy.io import loadmat

    task = loadmat(path)
    x, y = torch.tensor(task["F"]).float(), torch.tensor(task["y"][0]).long()
    plane = InformationPlane(nn.Identity(), x, y, "", {"bins": FixedBins(30)}, unit="bits")
    plane.snapshot(0)
    assert plane.table()["I(X;T)"] == [pytest.approx(12, abs=1e-9)]
    assert plane.table()["I(T;Y)"] == [pytest.approx(0.99916, abs=1e-5)]


def test_of_all_layers_those_that_never_run_are_left_out() -> None:
    model = net()
    model.unused = nn.Linear(2, 2)
    model.forward = lambda x: nn.Sequential(*list(model)[:6])(x)  # type: ignore[method-assign]
    plane = InformationPlane(model, X, Y, estimators={"bins": FixedBins(6)})
    plane.snapshot(0)
    assert plane.table()["layer"] == ["0", "1", "2", "3", "4", "5"]
    asked = InformationPlane(model, X, Y, ["0", "unused"])
    with pytest.raises(InvalidInput, match="'unused', which has not run"):
        asked.snapshot(0)


def test_labels_may_be_texts_and_their_names_do_not_matter() -> None:
    model = net()
    planes = [InformationPlane(model, X, y, "4", BOTH) for y in (Y, [["no", "yes"][v] for v in Y])]
    for plane in planes:
        plane.snapshot(0)
    assert list(planes[0].table()) == list(planes[1].table())
