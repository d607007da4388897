"""Post-hoc concept bottlenecks: backbones, banks, files and settings."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from narrows.concepts import PCBM, ConceptBank
from narrows.data import load
from narrows.errors import InvalidInput
from narrows.method import from_pretrained

from .post_hoc.pcbm_rows import made


@cache
def digits():
    return load("digit_pairs", seed=0, sizes=(300, 100, 100), task="at_least:9")


@cache
def fitted() -> PCBM:
    return PCBM(epochs=2, penalty=1e-3).fit(digits())


def test_a_residual_cannot_be_corrected_and_is_named() -> None:
    model = PCBM(encoder="identity", penalty=1e-2, epochs=1, residual=True).fit(made()).model_
    assert model.bottleneck.names == (
        "one",
        "two",
        "three",
        "residual 0",
        "residual 1",
        "residual 2",
    )
    assert model.bottleneck.interventions == ((0,), (1,), (2,))
    with pytest.raises(InvalidInput, match="named concepts only"):
        model.correct(made().x, {"residual 1": 0.0})
    with pytest.raises(InvalidInput, match="wanted a PCBM without residual"):
        PCBM().add_residual(model, made(), None)


def test_a_bank_of_another_backbone_is_refused_before_training() -> None:
    bank = ConceptBank.random(4, 5, torch.Generator())
    with pytest.raises(InvalidInput, match="found 6 of them from the backbone, wanted 5"):
        PCBM(bank, encoder="identity").fit(made())


def test_a_bank_can_be_named_by_its_file_and_is_saved_inside_the_model(tmp_path) -> None:
    rows = made()
    bank = ConceptBank.from_labels(rows.x, rows.c, rows.concepts.names, kind="mean")
    bank.save(tmp_path / "bank.safetensors")
    by_file = PCBM(str(tmp_path / "bank.safetensors"), encoder="identity", penalty=1e-2).fit(rows)
    given = PCBM(bank, encoder="identity", penalty=1e-2, residual=True, epochs=1).fit(rows)
    assert np.array_equal(by_file.transform(rows), given.transform(rows)[:, :3])
    given.save_pretrained(tmp_path / "model")
    again = from_pretrained(tmp_path / "model")
    assert given.bank is bank
    assert again.bank is None
    assert np.array_equal(again.predict_proba(rows), given.predict_proba(rows))


def test_the_backbone_stays_as_it_was() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU())
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    PCBM(encoder=encoder, penalty=1e-2, residual=True, epochs=2).fit(made())
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_without_a_backbone_it_is_the_black_boxs() -> None:
    from narrows.registry import method

    box = method("black-box")(epochs=2).fit(digits()).model_
    mine = fitted().model_
    for a, b in zip(box.encoder.parameters(), mine.encoder.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cav": "cosine"}, "cav: found 'cosine'"),
        ({"penalty": 0.0}, "penalty: found 0.0"),
        ({"l1_ratio": 1.5}, "l1_ratio: found 1.5"),
        ({"l1_ratio": 0.0}, "l1_ratio: found 0.0"),
        ({"lr": -1.0}, "lr: found -1.0"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PCBM(encoder="identity", **settings).fit(made())
