"""The claims of adaptive estimators are computed from scores as they are worded."""

from __future__ import annotations

import math

import pytest
from scipy.stats import spearmanr

from narrows.claims import adaptive_mi, run
from narrows.claims.adaptive_mi import LAYERS, Plan, plans_of
from narrows.claims.claim import HOLDS, UNTESTED
from narrows.claims.shared.bit_networks import UNITS


def made_up(seeds: range, level) -> dict:
    return {p: {layer: level(p, i) for i, layer in enumerate(LAYERS)} for p in plans_of(seeds)}


def test_the_plans_are_seven_units_two_with_l2_and_a_control() -> None:
    plans = plans_of([1, 2])
    assert {p.units for p in plans} == set(UNITS)
    assert len(plans) == len(set(plans)) == 2 * (7 + 2 * 3 + 1)
    assert sum(p.shuffled for p in plans) == 2


def test_each_value_is_what_the_claim_words() -> None:
    seeds = range(1, 4)
    scores = made_up(seeds, lambda p, i: 0.1 * p.seed + 10 * p.penalty + 0.01 * i)
    assert adaptive_mi._most(scores, 2) == pytest.approx(0.2 + 0.04)
    # scores of seeds 1, 2, 3 lie 0.1 apart: away from the mean by 0.1, 0 and 0.1, times 3/2
    known = [0.1 * math.sqrt(1.5), 0.0, 0.1 * math.sqrt(1.5)]
    assert adaptive_mi._deviations(scores, seeds) == pytest.approx(known, abs=1e-7)
    assert adaptive_mi._trend(scores, 1) == pytest.approx(1)
    falling = made_up(seeds, lambda p, _: 1 - 10 * p.penalty)
    assert adaptive_mi._trend(falling, 1) == pytest.approx(-1)
    train = dict.fromkeys(scores, 1.0)
    test = {p: 0.9 + p.penalty for p in scores}
    assert adaptive_mi._gap_taken(train, test, 1) == pytest.approx(0.1)


def test_only_fitted_networks_of_real_labels_are_correlated() -> None:
    scores = made_up(range(1, 2), lambda p, i: (i + 1) * hash((p.units, p.penalty)) % 97 / 97)
    plans = list(scores)
    train = {p: 0.9 if p.units == "elu" else 1.0 for p in plans}
    test = {p: hash((p.penalty, p.units)) % 89 / 89 for p in plans}
    fitted = [p for p in plans if p.units != "elu" and not p.shuffled]
    found = adaptive_mi._correlations(scores, train, test, plans)
    for layer in LAYERS:
        x, y = [scores[p][layer] for p in fitted], [test[p] for p in fitted]
        assert found[layer] == pytest.approx(spearmanr(x, y).statistic)
    none = adaptive_mi._correlations(scores, dict.fromkeys(plans, 0.5), test, plans)
    assert all(math.isnan(v) for v in none.values())
    assert adaptive_mi._correlation_rows(scores, dict.fromkeys(plans, 0.5), test, plans) == {}
    assert "score of layer softmax with accuracy gap" in adaptive_mi._correlation_rows(
        scores, train, test, plans
    )


@pytest.mark.slow
def test_a_short_run_holds_nothing_and_names_every_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(adaptive_mi._EPOCHS, "small", 3)
    monkeypatch.setattr(adaptive_mi, "_OFTEN", 3)
    monkeypatch.setattr(adaptive_mi, "_SELDOM", 3)
    result = run.run_claims("adaptive_mi", "small", 1)
    assert not any(c["verdict"] == HOLDS for c in result["claims"])  # one seed proves nothing
    verdicts = {c["key"]: c["verdict"] for c in result["claims"]}
    assert verdicts["last_layer"] == UNTESTED  # nothing is fitted after three epochs
    assert "relu, labels by chance, ebab" in result["rows"]
    assert "relu, another network each epoch, ebab" in result["rows"]
    for units in UNITS:
        for estimator in (*adaptive_mi.CELLS, *adaptive_mi.NOISE):
            columns = result["rows"][f"{units}, {estimator}"]
            assert all(len(columns[f"score, layer {layer}"]) == 1 for layer in LAYERS)
    assert isinstance(next(iter(adaptive_mi.plans_of([1]))), Plan)
