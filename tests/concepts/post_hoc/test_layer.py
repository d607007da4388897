"""Units of a post-hoc concept bottleneck against geometry and what they say in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.concepts import PCBM, ConceptBank, ConceptProjection
from narrows.data import Concepts, Examples
from narrows.errors import InvalidInput, UnknownName

from .pcbm_rows import made

NAN = float("nan")


def test_units_are_distances_in_deviations_from_the_mean_row() -> None:
    rows = made()
    bank = ConceptBank.from_labels(rows.x, rows.c, rows.concepts.names, kind="ridge")
    model = PCBM(bank, encoder=nn.Flatten(), penalty=1e-2).fit(rows).model_
    v, b = bank.vectors.double().numpy(), bank.biases.double().numpy()
    x = rows.x.double().numpy()
    for j in range(3):
        feet = x - ((x @ v[j] + b[j]) / (v[j] @ v[j]))[:, None] * v[j]
        distance = np.sign(x @ v[j] + b[j]) * np.linalg.norm(x - feet, axis=1)
        wanted = (distance - distance.mean()) / distance.std()
        found = model.read(rows.x).units[:, j].numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_correction_writes_the_percentiles_of_the_training_rows() -> None:
    rows = made()
    model = PCBM(encoder="identity", penalty=1e-2).fit(rows).model_
    units = model.read(rows.x).units
    for said, percent in ((1.0, 95), (0.0, 5)):
        fixed = model.correct(rows.x, {"two": said}).reading.units
        wanted = np.percentile(units[:, 1].double().numpy(), percent)
        np.testing.assert_allclose(fixed[:, 1], wanted, rtol=1e-5)
        assert torch.equal(fixed[:, [0, 2]], units[:, [0, 2]])


def test_a_correction_between_no_and_yes_writes_the_unit_that_says_it() -> None:
    rows = made()
    model = PCBM(encoder="identity", penalty=1e-2).fit(rows).model_
    for said in (0.3, 0.5, 0.8):
        reading = model.correct(rows.x, {"one": said}).reading
        again = model.bottleneck.scores(reading)[:, 0]
        torch.testing.assert_close(again, torch.full((300,), said))


def test_spoken_units_are_calibrated_on_the_training_rows() -> None:
    rows = made(3000)
    said = PCBM(encoder="identity", penalty=1e-2).fit(rows).transform(rows)
    for j in range(3):
        for low in (0.1, 0.4, 0.7):
            chosen = (said[:, j] >= low) & (said[:, j] < low + 0.2)
            share = float(rows.c[:, j].numpy()[chosen].mean())
            assert share == pytest.approx(float(said[chosen, j].mean()), abs=0.1)


def test_a_direction_that_points_away_is_turned_where_it_is_corrected() -> None:
    rows = made()
    bank = ConceptBank(("one",), torch.tensor([[-1.0, 0, 0, 0, 0, 0]]), torch.zeros(1))
    model = PCBM(bank, encoder=nn.Flatten(), penalty=1e-2).fit(rows).model_
    scores = model.bottleneck.scores(model.correct(rows.x, {"one": 1.0}).reading)
    assert float(scores.min()) > 0.9


def test_a_concept_nobody_taught_stays_silent() -> None:
    rows = made()
    c = rows.c.clone()
    c[:, 1], c[:, 2] = NAN, 1.0
    method = PCBM(encoder="identity", penalty=1e-2)
    method.fit(Examples(rows.x, rows.y, c, rows.classes, rows.concepts))
    units = method.model_.read(rows.x).units
    assert units[:, 0].std() > 0.5
    assert not units[:, 1:].any()
    said = method.transform(rows)
    assert set(said[:, 1].tolist()) == {0.5}
    assert said[:, 2].min() > 0.99
    c[:, 0] = NAN
    with pytest.raises(InvalidInput, match="none with two known examples"):
        method.fit(Examples(rows.x, rows.y, c, rows.classes, rows.concepts))


def test_a_bank_needs_no_labels_and_its_spread_is_spoken() -> None:
    rows = made()
    bare = Examples(rows.x, rows.y, None, rows.classes, Concepts(()))
    bank = ConceptBank.from_text(["warm", "cold"], torch.eye(2, 6))
    method = PCBM(bank, encoder=nn.Flatten(), penalty=1e-2).fit(bare)
    lengths = rows.x.norm(dim=1)
    cosine = (rows.x[:, :2] / lengths[:, None]).double()
    wanted = torch.sigmoid((cosine - cosine.mean(0)) / cosine.std(0, correction=0))
    np.testing.assert_allclose(method.transform(rows), wanted, atol=1e-5)


def test_groups_of_the_data_hold_for_the_concepts_a_bank_shares() -> None:
    rows = made()
    grouped = Concepts(rows.concepts.names, ((0, 1),))
    one_of_two = torch.nn.functional.one_hot(rows.y % 2, 2).float()
    c = torch.cat([one_of_two, rows.c[:, 2:]], 1)
    data = Examples(rows.x, rows.y, c, rows.classes, grouped)
    names = ("other", "two", "one")
    bank = ConceptBank(names, torch.eye(3, 6), torch.zeros(3))
    layer = PCBM(bank, encoder=nn.Flatten(), penalty=1e-2).fit(data).model_.bottleneck
    assert layer.groups == ((1, 2),)


def test_a_layer_refuses_labels_and_names_that_do_not_fit() -> None:
    bank = ConceptBank(("one",), torch.eye(1, 4), torch.zeros(1))
    layer = ConceptProjection(4, bank.names)
    with pytest.raises(InvalidInput, match=r"c: found shape \(5, 2\), wanted shape \(5, 1\)"):
        layer.fit(bank, torch.randn(5, 4), torch.zeros(5, 2))
    with pytest.raises(UnknownName, match="'two'"):
        layer.fit(ConceptBank(("two",), torch.eye(1, 4), torch.zeros(1)), torch.randn(5, 4), None)
    with pytest.raises(InvalidInput, match="more than once"):
        ConceptProjection(4, ("residual 0",), residual=1)


def test_constant_features_give_finite_units() -> None:
    x: Tensor = made().x.clone()
    x[:, 4:] = 3.0
    rows = made()
    method = PCBM(encoder="identity", penalty=1e-3)
    method.fit(Examples(x, rows.y, rows.c, rows.classes, rows.concepts))
    assert np.isfinite(method.transform(x.numpy())).all()
