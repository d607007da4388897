"""Leakage in bits against closed forms, scikit-learn and the data-processing inequality."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.leakage_information import (
    bias,
    discretise,
    information_leakage,
    information_leakage_of,
    mutual_information,
)


def _names(k: int) -> list[str]:
    return [f"c{j}" for j in range(k)]


def _draw(n: int, k: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores without any leakage: concepts seen through noise, a label that needs them."""
    g = torch.Generator().manual_seed(seed)
    c = (torch.rand(n, k, generator=g) < 0.5).double()
    y = (c.sum(1) + torch.randint(2, (n,), generator=g)).long() % classes
    scores = (4 * (c - 0.5) + 1.5 * torch.randn(n, k, generator=g)).sigmoid()
    return scores, c, y


def test_a_two_by_two_table_gives_the_closed_form() -> None:
    a, b, c, d = 30, 10, 5, 35
    total, wanted = a + b + c + d, 0.0
    for n, row, column in (
        (a, a + b, a + c),
        (b, a + b, b + d),
        (c, c + d, a + c),
        (d, c + d, b + d),
    ):
        wanted += n / total * math.log2(n * total / (row * column))
    table = torch.tensor([[a, b], [c, d]])
    assert float(mutual_information(table)) == pytest.approx(wanted, abs=1e-12)
    assert float(bias(table)) == pytest.approx(1 / (2 * total * math.log(2)), abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_information_is_scikit_learns_symmetric_and_not_negative(seed: int, a: int, b: int) -> None:
    g = torch.Generator().manual_seed(seed)
    one, two = torch.randint(a, (40,), generator=g), torch.randint(b, (40,), generator=g)
    table = torch.zeros(a, b).index_put((one, two), torch.ones(40), accumulate=True)
    found = float(mutual_information(table))
    wanted = mutual_info_score(one.numpy(), two.numpy()) / math.log(2)
    assert found == pytest.approx(wanted, abs=1e-9)
    assert float(mutual_information(table.T)) == pytest.approx(found, abs=1e-12)
    assert found >= -1e-12


def test_the_correction_takes_off_what_independence_seems_to_tell() -> None:
    g = torch.Generator().manual_seed(0)
    plugged, corrected = [], []
    for _ in range(300):
        pair = torch.randint(8, (2, 200), generator=g)
        table = torch.zeros(8, 8).index_put(tuple(pair), torch.ones(200), accumulate=True)
        plugged.append(float(mutual_information(table)))
        corrected.append(float(mutual_information(table) - bias(table)))
    assert np.mean(plugged) > 0.1
    assert abs(np.mean(corrected)) < 0.2 * np.mean(plugged)


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_bins_are_equal_in_count_and_know_the_bit(seed: int, bins: int) -> None:
    g = torch.Generator().manual_seed(seed)
    scores = torch.rand(60, 2, generator=g, dtype=torch.float64)
    known = torch.rand(60, 2, generator=g) < 0.8
    codes = discretise(scores, known, bins)
    assert torch.equal(codes % 2, (scores >= 0.5).long())
    for j in range(2):
        values, code = scores[known[:, j], j], codes[known[:, j], j] // 2
        sizes = code.bincount(minlength=bins)
        assert int(sizes.max() - sizes.min()) <= 1
        assert (code[values.argsort()].diff() >= 0).all()
        # What the bins tell cannot be less than what the bit does.
        y = torch.randint(3, (len(values),), generator=g)
        whole, bit = (
            mutual_info_score(part.numpy(), y.numpy())
            for part in (codes[known[:, j], j], values >= 0.5)
        )
        assert whole >= bit - 1e-9


def test_equal_scores_share_a_bin() -> None:
    scores = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.9, 0.9])[:, None].double()
    codes = discretise(scores, torch.ones(6, 1, dtype=torch.bool), 4).flatten().tolist()
    assert len(set(codes[:4])) == len(set(codes[4:])) == 1


def test_bits_do_not_leak_and_concepts_leak_nothing_of_themselves() -> None:
    _, c, y = _draw(500, 4, 3)
    found = information_leakage(c, c, y, _names(4))
    for column in (found.bits, found.task, found.between):
        torch.testing.assert_close(column, torch.zeros_like(column), atol=1e-12, rtol=0)


def test_noisy_scores_of_concepts_that_are_all_there_is_do_not_leak() -> None:
    # The label depends on the concepts alone: soft scores tell less of it than they do.
    scores, c, y = _draw(4000, 4, 3)
    found = information_leakage(scores, c, y, _names(4))
    assert found.task_mean < 0.01
    assert abs(found.between_mean) < 0.01
    assert found.between.diagonal().max() < -0.1


def test_a_label_written_into_the_last_digits_leaks_whole() -> None:
    g = torch.Generator().manual_seed(0)
    c = (torch.rand(2000, 2, generator=g) < 0.5).double()
    y = torch.randint(4, (2000,), generator=g)
    scores = 0.1 + 0.6 * c + y[:, None] * 0.05
    found = information_leakage(scores, c, y, _names(2))
    share = y.bincount().double() / 2000
    entropy = float(torch.special.entr(share).sum()) / math.log(2)
    # Ten bins of equal counts hold eight values: all of the label but for what two edges blur.
    assert found.bits.min() > 0.8 * entropy
    assert found.task.min() > 0.8
    assert found.task.max() <= 1.01
    between = 0.1 + 0.6 * c + 0.2 * c.flip(1)
    told = information_leakage(between, c, y, _names(2))
    assert told.between[0, 1] > 0.95
    assert told.between_mean == pytest.approx(float(told.between[[0, 1], [1, 0]].mean()))


def test_each_entry_is_that_of_loops_over_scikit_learn_on_the_known_rows() -> None:
    scores, c, y = _draw(300, 3, 3)
    g = torch.Generator().manual_seed(7)
    c[torch.rand(300, 3, generator=g) < 0.3] = torch.nan
    found = information_leakage(scores, c, y, _names(3), bins=4)
    codes = discretise(scores, ~c.isnan(), 4)

    def entropy(a: np.ndarray) -> float:
        share = np.unique(a, return_counts=True)[1] / len(a)
        return float(-(share * np.log(share)).sum())

    def estimate(a: np.ndarray, b: np.ndarray) -> float:
        cells = [len(np.unique(part)) for part in (a, b, a * 1000 + b)]
        return mutual_info_score(a, b) - (cells[2] - cells[0] - cells[1] + 1) / (2 * len(a))

    for i in range(3):
        known = ~c[:, i].isnan()
        soft, true, label = (p[known].long().numpy() for p in (codes[:, i], c[:, i], y))
        hard = (scores[known, i] >= 0.5).long().numpy()
        bits = (estimate(soft, label) - estimate(hard, label)) / math.log(2)
        assert float(found.bits[i]) == pytest.approx(bits, abs=1e-6)
        task = (estimate(soft, label) - estimate(true, label)) / entropy(label)
        assert float(found.task[i]) == pytest.approx(task, abs=1e-6)
        for j in range(3):
            both = known & ~c[:, j].isnan()
            soft, true, other = (p[both].long().numpy() for p in (codes[:, i], c[:, i], c[:, j]))
            between = (estimate(soft, other) - estimate(true, other)) / entropy(other)
            assert float(found.between[i, j]) == pytest.approx(between, abs=1e-6)


def test_what_stands_where_a_concept_is_unknown_changes_nothing() -> None:
    scores, c, y = _draw(200, 3, 3)
    c[torch.rand(200, 3, generator=torch.Generator().manual_seed(7)) < 0.4] = torch.nan
    found = information_leakage(scores, c, y, _names(3))
    other = information_leakage(torch.where(c.isnan(), 1 - scores, scores), c, y, _names(3))
    assert other.to_dict() == found.to_dict()


def test_a_concept_or_a_label_that_does_not_vary_has_no_share() -> None:
    scores, c, y = _draw(100, 3, 3)
    c[:, 1], c[:, 2] = 1.0, torch.nan
    found = information_leakage(scores, c, y, _names(3))
    assert found.between[0].isnan().tolist() == [False, True, True]
    assert found.task.isnan().tolist() == [False, False, True]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["between"][0][1] is None
    still = information_leakage(scores, c, torch.zeros_like(y), _names(3))
    assert still.task.isnan().all()
    assert still.bits[0] == 0


def test_of_a_model_and_in_words(make_model, make_rows) -> None:
    model, rows = make_model(3, 2), make_rows(150, 3, 2, unknown=0.2)
    wanted = information_leakage(model.read(rows.x).units.detach(), rows.c, rows.y, _names(3))
    found = information_leakage_of(model, rows)
    assert found.to_dict() == wanted.to_dict()
    assert "10 bins of equal counts" in str(found)


def test_bad_input_is_refused_by_name() -> None:
    scores, c, y = _draw(20, 2, 3)
    with pytest.raises(InvalidInput, match=r"scores of 'c0': found 1\."):
        information_leakage(scores + 1, c, y, _names(2))
    with pytest.raises(InvalidInput, match="bins: found 0"):
        information_leakage(scores, c, y, _names(2), bins=0)
    with pytest.raises(InvalidInput, match="y: found shape"):
        information_leakage(scores, c, y[1:], _names(2))
    with pytest.raises(InvalidInput, match="y: found shape"):
        information_leakage(scores, c, y - 1, _names(2))
    with pytest.raises(InvalidInput, match="one a concept"):
        information_leakage(scores[:, :, None].expand(-1, -1, 2), c, y, _names(2))
    with pytest.raises(InvalidInput, match="z of 'c1': found NaN"):
        information_leakage(
            scores.index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(math.nan).double()),
            c,
            y,
            _names(2),
        )
