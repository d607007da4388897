"""Reading rows in pieces, numbering classes, matching names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.heads import FixedHead
from narrows.measure.rows import decide_rows, device_of, evaluating, matched, pieces, read_rows
from narrows.model import NarrowModel


@pytest.mark.parametrize(
    ("rows", "numbers", "most"), [(0, 3, 9), (1, 100, 9), (10, 3, 9), (9, 1, 9)]
)
def test_pieces_cover_every_row_once_within_the_bound(rows, numbers, most):
    parts = pieces(rows, numbers, most)
    assert sum(map(len, parts)) == rows
    assert [i for part in parts for i in part.tolist()] == list(range(rows))
    assert all(len(part) == 1 or len(part) * numbers <= most for part in parts)


def test_evaluating_restores_each_part_even_after_an_error(make_model):
    model = make_model(3, 2)
    model.train()
    model.head.eval()

    def fail():
        assert not model.bottleneck.training
        assert not torch.is_grad_enabled()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), evaluating(model):
        fail()
    assert (model.training, model.bottleneck.training, model.head.training) == (True, True, False)
    assert torch.is_grad_enabled()


def test_rows_are_read_and_decided_as_in_one_piece(make_model, make_rows, monkeypatch):
    model, rows = make_model(4, 3), make_rows(50, 4, 3)
    with torch.no_grad():
        whole = model(rows.x)
    monkeypatch.setattr("narrows.measure.rows._ROWS", 7)
    monkeypatch.setattr(pieces, "__defaults__", (20,))
    reading = read_rows(model, rows)
    torch.testing.assert_close(reading.units, whole.reading.units)
    assert not reading.units.requires_grad
    assert torch.equal(decide_rows(model, reading), whole.prediction.argmax(1))


def test_names_are_matched_whatever_their_order(make_rows):
    rows = make_rows(3, 4, 2)
    assert matched(["x", "c3", "c0", "y"], rows) == {1: 3, 2: 0}


def test_a_model_without_numbers_lives_on_the_cpu():
    model = NarrowModel(nn.Identity(), IdentityBottleneck(2), nn.Identity())
    assert device_of(model) == torch.device("cpu")
    assert device_of(NarrowModel(nn.Identity(), IdentityBottleneck(2), FixedHead(2))).type == "cpu"
