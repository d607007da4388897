"""One call for all measures: the parts are those of the measures, and say when they are not."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from narrows import measure
from narrows.bottleneck import IdentityBottleneck
from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import InvalidInput, UnknownName
from narrows.heads import LinearHead
from narrows.measure.evaluate import WHICH, evaluate
from narrows.measure.representations import represent
from narrows.model import NarrowModel

QUICK = {"probe": "logistic", "seeds": 2}


@pytest.fixture
def data(make_rows) -> Dataset:
    parts = [make_rows(n, 4, 3, ((0, 1),), unknown=0.1, seed=n) for n in (200, 60, 150)]
    return Dataset("random", *parts)


@pytest.fixture
def everything(make_model, data):
    return evaluate(make_model(4, 3, groups=((0, 1),)), data, **QUICK)


def test_parts_are_those_of_the_measures_themselves(make_model, data, everything) -> None:
    model, test = make_model(4, 3, groups=((0, 1),)), data.test
    shared = {"probe": "logistic", "repeats": 2, "seed": 0}
    wanted = {
        "quality": measure.concept_quality_of(model, test),
        "cas": measure.alignment_of(model, test),
        "ois": measure.oracle_impurity_of(model, test, **shared),
        "nis": measure.niche_impurity_of(model, test, **shared),
        "leakage": measure.leakage(model, data),
        "information": measure.information_leakage_of(model, test),
        "residual": measure.residual(model, data),
        "anec": measure.sparsity_of(model, data),
    }
    found = everything.to_dict()
    for name, part in wanted.items():
        assert found[name] == json.loads(json.dumps(part.to_dict())), name
    for policy in ("random", "uncertainty", "coop"):
        curve = measure.intervention_curve(model, test, policy, 2, validation=data.val)
        assert everything.curve(policy).to_dict() == curve.to_dict()
    right = model(test.x).prediction.argmax(1) == test.y
    assert everything.task == float(right.double().mean())
    assert everything.which == WHICH


def test_the_same_seed_gives_the_same_numbers(make_model, data, everything) -> None:
    model = make_model(4, 3, groups=((0, 1),))
    assert evaluate(model, data, **QUICK).to_dict() == everything.to_dict()
    other = evaluate(model, data, seed=1, **QUICK).to_dict()
    for name in ("cas", "ois", "nis", "anec"):
        assert other[name] != everything.to_dict()[name]


def test_the_table_has_a_row_for_each_number_and_what_to_hold_beside_it(everything) -> None:
    lines = everything.table().splitlines()
    assert lines[0].split() == ["measure", "value", "error", "beside"]
    for name in ("task accuracy", "concept accuracy", "concept AUC", "alignment (CAS)"):
        assert sum(line.startswith(name) for line in lines) == 1, name
    beside = {row.name: row.beside for row in everything.rows}
    assert "noise 0." in beside["alignment (CAS)"]
    assert "random concepts" in beside["accuracy at NEC, mean"]
    assert "none" in beside["corrections, area (random)"]
    assert "NEC 5, 10, 15, 20, 25, 30: the head has 4 inputs" in lines[-1]
    values = {row.name: row.value for row in everything.rows}
    assert values["oracle impurity (OIS)"] == everything.ois.value
    assert str(everything) == everything.table()


def test_json_is_what_the_dictionary_says(everything, tmp_path) -> None:
    everything.to_json(tmp_path / "evaluation.json")
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(everything.to_dict(), allow_nan=False))
    assert written["settings"]["seeds"] == 2


def test_only_what_is_asked_for_is_measured(make_model, data) -> None:
    found = evaluate(
        make_model(4, 3), data, which=["auc", "intervention"], policies=["uncertainty"]
    )
    assert found.which == ("auc", "intervention")
    assert found.cas is found.ois is found.nis is found.leakage is found.anec is None
    assert tuple(found.curves) == ("uncertainty",)
    names = [row.name for row in found.rows]
    assert "concept AUC" in names
    assert "concept accuracy" not in names
    with pytest.raises(UnknownName, match="policy: found 'random'"):
        found.curve("random")


def test_concepts_that_are_vectors_are_judged_as_vectors(data) -> None:
    layer = ConceptEmbeddingLayer(4, data.concepts.names, width=3)
    model = NarrowModel(nn.Identity(), layer, LinearHead(12, 3), data.classes).eval()
    with torch.no_grad():
        reading = model.read(data.test.x)
        mixed = layer.write(reading).unflatten(1, (4, 3))
    rows = represent(model, data.test)
    assert torch.equal(rows.z, mixed.double())
    assert torch.equal(rows.scores, reading.units.detach().double())
    found = evaluate(model, data, which=["cas", "ois", "nis"], **QUICK)
    shared = {"probe": "logistic", "repeats": 2}
    names = data.concepts.names
    wanted = measure.oracle_impurity(mixed, data.test.c, names, **shared)
    assert found.ois.to_dict() == wanted.to_dict()
    flat = measure.oracle_impurity(reading.units.detach(), data.test.c, names, **shared)
    assert found.ois.to_dict() != flat.to_dict()
    wanted_cas = measure.alignment(mixed, data.test.c, names, y=data.test.y)
    assert found.cas.to_dict() == wanted_cas.to_dict()


def test_a_model_without_named_concepts_gets_only_what_applies(data) -> None:
    model = NarrowModel(nn.Identity(), IdentityBottleneck(4), LinearHead(4, 3), (0, 1, 2)).eval()
    found = evaluate(model, data)
    assert found.which == ("anec",)
    assert set(found.skipped) == set(WHICH) - {"anec"}
    assert "no name in common" in found.table()
    assert math.isfinite(found.task)
    assert found.quality is None
    none = [
        dataclasses.replace(part, c=None, concepts=Concepts(()))
        for part in (data.train, data.val, data.test)
    ]
    unlabelled = evaluate(model, Dataset("none", *none), which=["auc"])
    assert unlabelled.skipped["auc"].startswith("examples: found no concept labels")


def test_a_constant_concept_is_noted_by_name_and_left_out(make_model, data) -> None:
    c = data.test.c.clone()
    c[:, 2] = 1
    still = Dataset("still", data.train, data.val, dataclasses.replace(data.test, c=c))
    found = evaluate(make_model(4, 3), still, which=["auc", "ois"], **QUICK)
    assert "constant, without AUC: c2" in found.table()
    assert found.to_dict()["quality"]["auc"][2] is None
    assert math.isfinite(found.quality.mean("auc"))


def test_scores_that_are_no_probabilities_have_no_leakage_and_it_is_said(data) -> None:
    names = data.concepts.names
    layer = IdentityBottleneck(4)
    layer.names = names
    model = NarrowModel(nn.Identity(), layer, LinearHead(4, 3), data.classes).eval()
    found = evaluate(model, data, which=["leakage"])
    assert found.leakage is found.information is None
    assert "no probabilities, without leakage: c0, c1, c2, c3" in found.table()
    assert found.residual is not None


def test_flipping_what_stands_for_an_unknown_label_changes_nothing(make_model, data) -> None:
    unknown = data.test.c.isnan()
    model = make_model(4, 3)
    found = evaluate(model, data, which=["accuracy", "auc"])
    scores = model.read(data.test.x).units.detach()
    other = measure.concept_quality(
        torch.where(unknown, 1 - scores, scores), data.test.c, data.concepts.names
    )
    assert other.to_dict() == found.quality.to_dict()


def test_nan_in_predictions_is_refused_with_the_concept_s_name(make_model, data) -> None:
    model = make_model(4, 3)
    with torch.no_grad():
        model.bottleneck.linear.weight[2] = math.nan
    for which in (["accuracy"], ["cas"], ["leakage"]):
        with pytest.raises(InvalidInput, match="scores of 'c2': found NaN"):
            evaluate(model, data, which=which)


def test_a_classifier_of_scikit_learn_may_be_the_probe(make_model, data) -> None:
    found = evaluate(make_model(4, 3), data, which=["ois"], seeds=1, probe=LogisticRegression())
    assert found.ois.probe == found.settings["probe"] == "LogisticRegression"
    assert found.ois.value == pytest.approx(
        evaluate(make_model(4, 3), data, which=["ois"], seeds=1, probe="logistic").ois.value,
        abs=0.02,
    )


def test_unknown_names_are_refused(make_model, data) -> None:
    with pytest.raises(UnknownName, match="which: found 'aucs'"):
        evaluate(make_model(4, 3), data, which=["aucs"])
    with pytest.raises(UnknownName, match="policy: found 'coops'"):
        evaluate(make_model(4, 3), data, which=["intervention"], policies=["coops"])
    rows = Examples(data.test.x, data.test.y, data.test.c, ("x", "y", "z"), data.concepts)
    with pytest.raises(UnknownName, match="class"):
        evaluate(make_model(4, 3), Dataset("other", rows, rows, rows), which=["auc"])
