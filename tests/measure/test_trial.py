"""Odds after one more correction, against probabilities computed the public way."""

from __future__ import annotations

import sys

import pytest
import torch

from narrows.measure.corrections import prepare
from narrows.measure.policies import State, find
from narrows.measure.trial import AffineTrial, Trial, trials


@torch.no_grad()
def odds(model, rows, done):
    """`(1 - p) / p` of the true class for each row and each next turn, one by one."""
    reading = model.read(rows.x)
    found = torch.zeros(len(rows), done.shape[1], dtype=torch.float64)
    for turn in range(done.shape[1]):
        mask = done.clone()
        mask[:, turn] = True
        logits = model.correct(reading, (mask, rows.c)).prediction
        p = logits.double().softmax(1).gather(1, rows.y[:, None])[:, 0]
        found[:, turn] = (1 - p) / p
    return found


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("hidden", "kind"), [(None, AffineTrial), ((6,), Trial)])
def test_odds_are_those_of_the_corrected_model(
    make_model, make_rows, monkeypatch, hidden, kind, wide
):
    if wide:
        monkeypatch.setattr(sys.modules["narrows.measure.trial"], "_WIDE", 0.0)
    model, rows = make_model(4, 3, "logit", hidden=hidden), make_rows(40, 4, 3)
    with torch.no_grad():
        (trial,) = trials(prepare(model, rows))
        assert type(trial) is kind
        for turn in (torch.arange(40) % 4, (torch.arange(40) + 1) % 4):
            trial.take(turn)
            wanted, found = odds(model, rows, trial.done), trial.against().double()
            found = found.exp() if kind is Trial or wide else found
            assert found[trial.done].isinf().all()
            # One scale per row: the ratios of its odds are those of the model.
            left = ~trial.done
            found, wanted = (part[left].unflatten(0, (40, -1)) for part in (found, wanted))
            torch.testing.assert_close(
                found / found[:, :1], wanted / wanted[:, :1], rtol=1e-4, atol=1e-6
            )


def test_wide_logits_give_the_same_order(make_model, make_rows, monkeypatch):
    model, rows = make_model(5, 4), make_rows(30, 5, 4)
    corrections = prepare(model, rows)
    with torch.no_grad():
        exact = find("oracle").order(State(corrections))
        monkeypatch.setattr(sys.modules["narrows.measure.trial"], "_WIDE", 0.0)
        assert torch.equal(find("oracle").order(State(corrections)), exact)


def test_a_single_class_is_corrected_in_the_order_of_its_turns(make_model, make_rows):
    model, rows = make_model(3, 1), make_rows(5, 3, 1)
    order = find("oracle").order(State(prepare(model, rows)))
    assert order.tolist() == [[0, 1, 2]] * 5
