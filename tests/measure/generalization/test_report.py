"""The report of layers is the sandwich on what the layers put out, and says how it was made."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import bottleneck_report, model_information, sandwich_mi
from narrows.measure.generalization import SWAG
from narrows.measure.mi.result import MIResult

SOURCE = torch.Generator().manual_seed(0)
X = torch.randn(90, 4, generator=SOURCE)
Y = (X[:, 0] > 0.5).long() + (X[:, 1] > 0).long()


def net() -> nn.Sequential:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 3)
    )
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=source))
    return model


def outputs(model: nn.Sequential) -> dict[str, Tensor]:
    with torch.no_grad():
        first = torch.relu(model[0](X))
        return {"1": first, "4": torch.relu(model[3](first))}


def test_values_are_those_of_the_sandwich_on_the_layers_outputs() -> None:
    model = net().train()
    report = bottleneck_report(model, (X, Y), ["1", "4"], noise=0.5, ref=90)
    assert model.training
    shares = np.bincount(Y) / len(Y)
    for layer, t in outputs(model).items():
        row = report[layer]
        # all rows are looked at; those of a class come in order, one class after the other
        assert row.xz == sandwich_mi(t, 0.5, ref=90)
        order = Y.argsort(stable=True)
        within = sandwich_mi(t[order], 0.5, Y[order], ref=90, shares=shares.tolist())
        assert row.xz_given_y == within
        assert row.width == t.shape[1]
        assert within.ceiling == pytest.approx(float(shares @ np.log(np.bincount(Y))))


def test_every_number_carries_noise_references_and_ceiling() -> None:
    report = bottleneck_report(net(), (X, Y), ["1", "4"], ref=40)
    for row in report.table():
        assert row["references"] == 40
        assert row["ceiling"] == pytest.approx(math.log(40))
        assert row["noise"] > 0
        assert row["ceiling given y"] < math.log(40)
    for row in report:
        assert row.xz.settings["deviation"] == row.noise
        assert row.xz_given_y is not None
        assert row.xz_given_y.settings["deviation"] == row.noise


def test_a_value_at_its_ceiling_is_flagged() -> None:
    report = bottleneck_report(net(), (X, Y), ["1"], noise=1e-3, ref=40)
    assert any("ceiling log M" in flag for flag in report["1"].flags)
    assert "note: layer '1'" in repr(report)


def test_automatic_noise_keeps_the_order_or_flags_the_layer() -> None:
    report = bottleneck_report(net(), (X, Y), ["1", "4", "5"])
    values = [row.xz.value for row in report]
    for row, after in zip(report, values[1:], strict=False):
        assert row.ordered == (row.xz.value >= after)


def test_linear_noise_follows_the_largest_activation() -> None:
    model = net()
    report = bottleneck_report(model, (X, Y), ["1", "4"], noise="linear", base=0.1)
    for layer, t in outputs(model).items():
        assert report[layer].noise == pytest.approx(math.sqrt(0.1 * float(t.max())))


def test_noise_by_layer_and_bits() -> None:
    report = bottleneck_report(net(), (X, Y), ["1", "4"], noise={"1": 0.3, "4": 2.0}, units="bits")
    assert [row.noise for row in report] == [0.3, 2.0]
    assert report["1"].xz.units == "bits"
    nats = report.to("nats")
    assert nats["1"].xz.value == pytest.approx(report["1"].xz.value * math.log(2))


def test_without_labels_only_the_whole_information_is_told() -> None:
    report = bottleneck_report(net(), X, ["1"], noise=1.0, conditional=False)
    assert report["1"].xz_given_y is None
    assert "-" in repr(report)
    with pytest.raises(InvalidInput, match="without labels"):
        report.surrogate()


def test_examples_and_few_points_are_taken() -> None:
    train = Examples(X, Y, None, (0, 1, 2), Concepts(()))
    report = bottleneck_report(net(), train, ["1"], noise=1.0, points=50, per_class=10)
    assert report["1"].xz.samples == 50
    assert report["1"].xz_given_y is not None
    assert report["1"].xz_given_y.samples == 30
    assert report.n == 90


def test_feature_maps_are_flattened_and_all_layers_are_found() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.Flatten())
    report = bottleneck_report(model, (X, Y), noise=1.0)
    assert [(row.layer, row.width) for row in report] == [("0", 4), ("1", 4), ("2", 4)]


def test_it_can_be_written_down() -> None:
    report = bottleneck_report(net(), (X, Y), ["1", "4"])
    told = json.loads(json.dumps(report.to_dict()))
    assert [row["layer"] for row in told["layers"]] == ["1", "4"]
    assert told["layers"][0]["I(X;Z)"]["settings"]["form"] == "marginal"
    assert len(report) == 2
    assert repr(report).startswith("90 training rows, nats, noise auto")


def test_the_surrogate_is_the_least_over_layers_and_never_a_bound() -> None:
    report = bottleneck_report(net(), (X, Y), ["1", "4"], noise=1.0)
    values = [max(row.xz_given_y.value, 0) for row in report if row.xz_given_y]
    told = report.surrogate()
    assert told.value == pytest.approx(math.sqrt(min(values) / 90))
    assert told.kind == "surrogate"
    assert told.units == "no unit"
    assert "not a bound" in told.warnings[0]
    theta = {"4": MIResult(3.0, 0.1, "upper", "swag", 3)}
    with_theta = report.surrogate(theta)
    assert with_theta.value == pytest.approx(math.sqrt((values[1] + 3.0) / 90))
    assert with_theta.settings["layer"] == "4"
    rows = report.ingredients(theta)
    assert rows[0]["I(S;theta)"] is None
    assert rows[1]["I(S;theta)"] == 3.0
    assert rows[0]["classes"] == 3
    assert rows[0]["sensitivity"] > 0
    with pytest.raises(UnknownName, match="'9'"):
        report.surrogate({"9": theta["4"]})


def test_layers_of_the_report_name_parameters_of_the_weights() -> None:
    swags = []
    for shift in (0.0, 0.1):
        swag = SWAG()
        for step in range(4):
            model = net()
            with torch.no_grad():
                model[0].bias.add_(shift + 0.01 * step**2)
            swag.collect(model)
        swags.append(swag)
    report = bottleneck_report(net(), (X, Y), ["0", "3"], noise=1.0)
    theta = {layer: model_information(swags, upto=layer) for layer in ("0", "3")}
    assert report.surrogate(theta).value >= report.surrogate().value


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers": ["7"]}, UnknownName, "layer: found '7'"),
        ({"noise": "automatic"}, UnknownName, "auto"),
        ({"noise": {"4": 1.0}}, UnknownName, "layer of noise"),
        ({"noise": None}, InvalidType, "noise"),
        ({"noise": -1.0}, InvalidInput, "std"),
        ({"form": "mean"}, UnknownName, "form"),
        ({"ref": 1}, InvalidInput, "ref"),
        ({"points": 1}, InvalidInput, "points"),
        ({"per_class": 1}, InvalidInput, "per_class"),
        ({"train": X}, InvalidInput, "labels too"),
        ({"train": "rows"}, InvalidType, "train"),
        ({"train": (X, Y[:5])}, InvalidInput, "one label"),
        ({"train": (X, torch.zeros(90).index_fill(0, torch.tensor([3]), 1))}, InvalidInput,
         "1 row"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bottleneck_report(**({"model": net(), "train": (X, Y), "layers": ["1", "4"]} | change))


def test_activations_that_are_not_finite_are_refused_by_layer() -> None:
    model = net()
    with torch.no_grad():
        model[3].bias[0] = math.nan
    with pytest.raises(InvalidInput, match=r"layer '3'.*NaN"):
        bottleneck_report(model, (X, Y), ["1", "3"])


def test_a_layer_that_does_not_put_out_one_row_an_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one row for each"):
        bottleneck_report(nn.Flatten(0), (X, Y), "", noise=1.0)
