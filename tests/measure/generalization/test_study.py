"""The study: correlations, intervals, confounding, and what it refuses to say."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import GapStudy


def runs(n: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """Width drives both the gap and `driven`; `real` tells of the gap within a width too."""
    generator = np.random.default_rng(seed)
    found = []
    for i in range(n):
        width = (32, 64, 128)[i % 3]
        own = generator.standard_normal()
        gap = math.log(width) + 0.3 * own + 0.1 * generator.standard_normal()
        found.append(
            {
                "width": width,
                "gap": gap,
                "real": own + generator.standard_normal() * 0.3,
                "driven": math.log(width) + 0.1 * generator.standard_normal(),
                "n_params": width**2,
                "accuracy": 0.8 + 0.01 * (i % 20),
            }
        )
    return found


MEASURES = ["real", "driven", "n_params"]


def test_values_are_scipys() -> None:
    study = GapStudy(runs(), factors=["width"])
    table = study.correlate(MEASURES, draws=50)
    for name in MEASURES:
        x, y = study[name], study["gap"]
        assert table[name].spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert table[name].pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
        assert table[name].kendall.value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_a_correlation_that_width_makes_is_gone_within_widths() -> None:
    table = GapStudy(runs(300), factors=["width"]).correlate(MEASURES, draws=300)
    assert table["driven"].spearman.low > 0.5
    assert table["driven"].partial.low < 0 < table["driven"].partial.high
    assert table["real"].partial.low > 0.7
    assert math.isnan(table["n_params"].partial.value)
    assert table["n_params"].spearman.value > 0.5


def test_the_interval_is_that_of_the_drawn_samples() -> None:
    """Percentiles over nets drawn again, against a plain loop with scipy."""
    study = GapStudy(runs())
    found = study.correlate(["real"], draws=2000)["real"].spearman
    generator, x, y = np.random.default_rng(1), study["real"], study["gap"]
    drawn = [generator.integers(0, 60, 60) for _ in range(2000)]
    values = [stats.spearmanr(x[one], y[one]).statistic for one in drawn]
    low, high = np.quantile(values, (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.03)
    assert found.high == pytest.approx(high, abs=0.03)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.6
    spearman = 6 / math.pi * math.asin(truth / 2)
    inside = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        x, e = generator.standard_normal((2, 80))
        y = truth * x + math.sqrt(1 - truth**2) * e
        study = GapStudy([{"x": a, "gap": b} for a, b in zip(x, y, strict=True)])
        found = study.correlate(["x"], draws=200, seed=seed)["x"].spearman
        inside += found.low <= spearman <= found.high
    assert inside >= 86  # 95 of 100, less four standard deviations


def test_a_contrast_draws_the_same_nets_for_both() -> None:
    study = GapStudy(runs(), factors=["width"])
    assert study.contrast("real", "real").value == 0
    assert study.contrast("real", "real").high == 0
    table = study.correlate(MEASURES, draws=100)
    apart = study.contrast("driven", "real", draws=100)
    wanted = table["driven"].spearman.value - table["real"].spearman.value
    assert apart.value == pytest.approx(wanted)
    assert study.contrast("real", "driven", "partial").low > 0


def test_measures_are_put_together_with_a_scale_that_is_told() -> None:
    study = GapStudy(runs()).combine("both", "n_params", "driven")
    k = study["n_params"].mean() / study["driven"].mean()
    assert study["both"] == pytest.approx(study["n_params"] + k * study["driven"])
    assert "fitted to these nets" in study.notes[0]
    plain = study.combine("plain", "n_params", "driven", k=1)
    assert plain["plain"] == pytest.approx(study["n_params"] + study["driven"])
    assert plain.notes[1].endswith("given")
    assert plain.correlate(["both"], draws=5).notes == plain.notes
    with pytest.raises(InvalidInput, match="no measure has"):
        study.combine("both", "real", "driven")
    with pytest.raises(InvalidInput, match="mean 0"):
        GapStudy([{"gap": 1.0, "a": 1.0, "b": 0.0}]).combine("c", "a", "b")


def test_nets_left_out_are_counted() -> None:
    study = GapStudy(runs()).where("accuracy of 0.85 or more", lambda run: run["accuracy"] >= 0.85)
    assert len(study) == 45
    assert study.correlate(["real"], draws=5).notes == (
        "accuracy of 0.85 or more: 45 of 60 nets kept",
    )
    with pytest.raises(InvalidInput, match="no net"):
        study.where("none", lambda run: False)


def test_fewer_than_thirty_nets_make_no_correlation() -> None:
    assert GapStudy(runs(30)).correlate(["real"], draws=5).nets == 30
    for ask in (lambda s: s.correlate(["real"]), lambda s: s.contrast("real", "driven")):
        with pytest.raises(InvalidInput, match="29 nets, wanted 30 or more"):
            ask(GapStudy(runs(29)))


def test_one_seed_is_one_table_and_it_can_be_written_down() -> None:
    study = GapStudy(runs(), factors=["width"])
    table = study.correlate(MEASURES, draws=30, seed=3)
    again = study.correlate(MEASURES, draws=30, seed=3)
    assert json.dumps(table.to_dict()) == json.dumps(again.to_dict())
    assert json.loads(json.dumps(table.to_dict()))["rows"][2]["partial"]["value"] is None
    assert [row.measure for row in table] == MEASURES
    assert len(table) == 3
    assert repr(table).splitlines()[1].endswith("partial given width")
    with pytest.raises(UnknownName, match="'real'"):
        table["reel"]


def test_what_cannot_be_correlated_is_named() -> None:
    whole = runs()
    with pytest.raises(UnknownName, match="'real'"):
        GapStudy(whole).correlate(["reel"])
    with pytest.raises(UnknownName, match="measure: found 'depth'"):
        GapStudy(whole, factors=["depth"])
    with pytest.raises(UnknownName, match="'gap'"):
        GapStudy(whole, target="gaps")
    with pytest.raises(InvalidInput, match="none"):
        GapStudy([])
    with pytest.raises(InvalidType, match="run 0"):
        GapStudy([3])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match=r"run 60.*accuracy"):
        GapStudy([*whole, {"gap": 1.0}])
    for value in (math.nan, math.inf, "many", None):
        with pytest.raises(InvalidInput, match="run 0, 'real'"):
            GapStudy([{**whole[0], "real": value}, *whole[1:]]).correlate(["real"])
    with pytest.raises(InvalidInput, match="one value for all"):
        GapStudy([{**run, "gap": 1.0} for run in whole]).correlate(["real"])
    with pytest.raises(InvalidInput, match="draws"):
        GapStudy(whole).correlate(["real"], draws=1)
    with pytest.raises(UnknownName, match="spearman"):
        GapStudy(whole).contrast("real", "driven", "rank")
