"""Laws of intervention curves that hold for every method with concepts."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from matrix import instances
from narrows import load
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import InvalidInput
from narrows.measure import intervention_curves, policies
from narrows.measure.corrections import prepare
from narrows.measure.intervention.registry import find
from narrows.measure.intervention.state import HeldOut, State

METHODS = [method for method in instances() if method.info.needs_concepts]
IDS = [f"{method.info.name}-{i}" for i, method in enumerate(METHODS)]
ROWS = 12


def half_grouped(rows: Examples) -> Examples:
    """The digits of one place exclude one another; three of the other are corrected alone."""
    names, groups = rows.concepts.names, rows.concepts.groups
    kept = [*groups[0], *groups[1][:3]]
    concepts = Concepts([names[i] for i in kept], [range(len(groups[0]))])
    return dataclasses.replace(rows, c=rows.c[:, kept], concepts=concepts)


@pytest.fixture(scope="module")
def data():
    loaded = load("digit_pairs", seed=0, sizes=(120, ROWS + 1, ROWS), task="parity")
    return Dataset(loaded.name, *map(half_grouped, (loaded.train, loaded.val, loaded.test)), {})


@pytest.fixture(scope="module", params=METHODS, ids=IDS)
def model(request, data):
    return request.param.fit(data).model_


def state_of(model, data):
    few = data.test[torch.arange(2)]
    return State(prepare(model, few), 0, None, HeldOut(model, data.val[torch.arange(4)]))


@pytest.fixture(scope="module")
def usable(model, data):
    """The policies that this model can be asked; the others say what they lack."""
    found, state = [], state_of(model, data)
    for name in policies():
        try:
            with torch.no_grad():
                find(name).order(state)
        except InvalidInput as error:
            said = str(error)
            if "wanted probabilities" not in said and "needs the gradient" not in said:
                raise
        else:
            found.append(name)
    assert {"random", "uncertainty", "oracle"} <= set(found)
    return found


@pytest.fixture(scope="module")
def run(model, usable, data):
    """All curves, and how many rows each call of the encoder saw."""
    seen = []
    hook = model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    curves = intervention_curves(model, data.test, usable, 2, validation=data.val)
    hook.remove()
    return curves, seen


def test_policies_agree_before_any_and_after_all_corrections(model, run, data):
    rows = data.test
    with torch.no_grad():
        reading = model.read(rows.x)
        known = {name: rows.c[:, j] for j, name in enumerate(rows.concepts.names)}
        for step, said in ((0, model.decide(reading)), (-1, model.correct(reading, known))):
            wanted = float((said.prediction.argmax(1) == rows.y).double().mean())
            for name, curve in run[0].items():
                assert curve.accuracy[:, step].tolist() == [wanted] * len(curve.accuracy), name


def test_every_step_is_the_decision_of_the_corrected_model(model, run, data, naive_accuracy):
    state = State(prepare(model, data.test), 0, None, HeldOut(model, data.val))
    with torch.no_grad():
        for name, curve in run[0].items():
            order = find(name).order(state)
            assert curve.accuracy[0].tolist() == naive_accuracy(model, data.test, order), name


def test_the_encoder_runs_once_for_all_policies(run, data):
    assert sorted(run[1]) == sorted((len(data.test), len(data.val)))


def test_correcting_what_is_unknown_changes_nothing(model, usable, data):
    nothing = dataclasses.replace(data.test, c=torch.full_like(data.test.c, torch.nan))
    curves = intervention_curves(model, nothing, usable, 2, validation=data.val)
    for name, curve in curves.items():
        assert (curve.accuracy == curve.accuracy[0, 0]).all(), name
