"""Answers of one case: probabilities, contributions, corrections, without the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.bottleneck import Bottleneck
from narrows.heads import MLPHead
from narrows.model import NarrowModel
from narrows.reading import Reading
from narrows.studio.answers import Margin, Question, answer_of
from narrows.studio.desk import Desk
from narrows.studio.standing import of_logits, stand, stand_corrected
from studio.small_runs import known_model

LABELS = ("c0", "c1", "c2")
numbers = st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3)


@given(st.lists(numbers, min_size=1, max_size=8))
def test_standings_and_answers_are_the_softmax_of_scipy(rows: list[list[float]]) -> None:
    logits = torch.tensor(rows)
    sure = scipy.special.softmax(logits.double().numpy(), 1)
    order = np.sort(sure, 1)
    now = of_logits(logits)
    np.testing.assert_allclose(now.probability, order[:, -1], rtol=1e-12)
    np.testing.assert_allclose(now.margin, order[:, -1] - order[:, -2], atol=1e-12)
    answer = answer_of(logits[0], LABELS)
    assert answer["label"] == LABELS[int(now.prediction[0])] == LABELS[int(np.argmax(rows[0]))]
    assert sum(score["probability"] for score in answer["scores"]) == pytest.approx(1)
    assert answer["rival"] == answer["scores"][1]["label"]


@given(st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4), st.integers(0, 5))
def test_contributions_and_bias_sum_to_the_margin_of_a_linear_head(
    values: list[float], seed: int
) -> None:
    model = known_model(seed=seed)
    question = Question(model, LABELS, Reading(torch.tensor([values])), {})
    units = question.units({})
    weight, bias = model.head.weight.double().numpy(), model.head.bias.double().numpy()
    logits = weight @ np.array(values) + bias
    answer = question.answer(question.now)
    a, b = (LABELS.index(answer[key]) for key in ("label", "rival"))
    assert all(unit["exact"] for unit in units)
    total = sum(unit["contribution"] for unit in units) + bias[a] - bias[b]
    assert total == pytest.approx(logits[a] - logits[b], abs=1e-4)
    for unit in units:
        j = int(unit["name"][1:])
        share = values[j] * (weight[a, j] - weight[b, j])
        assert unit["contribution"] == pytest.approx(share, abs=1e-4)
    sizes = [abs(unit["contribution"]) for unit in units]
    assert sizes == sorted(sizes, reverse=True)


def test_contributions_of_a_curved_head_sum_to_the_margin_gained_since_zero() -> None:
    source = torch.Generator().manual_seed(3)
    head = MLPHead(3, 3, hidden=(16,))
    for parameter in head.parameters():
        parameter.data = torch.randn(parameter.shape, generator=source)
    model = NarrowModel(torch.nn.Identity(), Bottleneck(["a", "b", "c"]), head, LABELS)
    reading = Reading(torch.tensor([[0.4, -0.3, 0.9]]))
    question = Question(model, LABELS, reading, {})
    answer = question.answer(question.now)
    pair = Margin(head, *(LABELS.index(answer[key]) for key in ("label", "rival")))
    units = question.units({})
    assert not any(unit["exact"] for unit in units)
    with torch.no_grad():
        gained = pair(reading.units) - pair(torch.zeros(1, 3))
    total = sum(unit["contribution"] for unit in units)
    assert total == pytest.approx(float(gained), abs=0.05 * (1 + abs(float(gained))))


@given(
    st.dictionaries(
        st.integers(0, 9),
        st.dictionaries(st.sampled_from(["u0", "u2", "u3"]), st.floats(0, 1, width=32), max_size=3),
        min_size=1,
    )
)
def test_rows_corrected_together_stand_as_rows_corrected_alone(
    known: dict[int, dict[str, float]],
) -> None:
    model = known_model()
    reading = Reading(torch.randn(10, 4, generator=torch.Generator().manual_seed(4)))
    rows, now = stand_corrected(model, reading, known)
    assert sorted(rows.tolist()) == sorted(known)
    for place, row in enumerate(rows.tolist()):
        alone = reading[torch.tensor([row])]
        logits = (
            model.correct(alone, known[row]).prediction
            if known[row]
            else model.decide(alone).prediction
        )
        assert now.prediction[place] == int(logits.argmax())
        assert now.margin[place] == pytest.approx(of_logits(logits).margin[0], abs=1e-6)


def test_a_large_reading_stands_as_its_pieces_do() -> None:
    model = known_model()
    reading = Reading(torch.randn(2**18 + 77, 4, generator=torch.Generator().manual_seed(5)))
    whole, tail = stand(model, reading), stand(model, reading[slice(2**18, None)])
    assert np.array_equal(whole.prediction[2**18 :], tail.prediction)


def test_a_correction_answers_as_the_model_does_and_never_runs_the_encoder(desk: Desk) -> None:
    desk.warm(("test", "val"))
    runs: list[int] = []
    model = desk.opened.model
    model.encoder.register_forward_hook(lambda *_: runs.append(1))
    done = desk.correct("test", 3, {"large": 1.0, "colour=red": 1.0})
    desk.case("test", 3)
    desk.cases(filter="corrected")
    desk.why_not("test", 3, done["now"]["rival"])
    desk.preview([{"kind": "prune", "unit": "large"}])
    desk.undo()
    assert not runs
    x = desk.opened.data.test.x[torch.tensor([3])]  # type: ignore[union-attr]  # it is there
    logits = model.correct(x, {"large": 1.0, "colour=red": 1.0}).prediction[0]
    assert done["now"]["label"] == desk.opened.labels[int(logits.argmax())]
    assert done["now"]["probability"] == pytest.approx(float(logits.softmax(0).max()), abs=1e-6)
    written = {unit["name"]: unit["now"] for unit in done["units"]}
    assert (written["colour=red"], written["colour=green"], written["large"]) == (1, 0, 1)


def test_why_not_is_what_it_takes(desk: Desk) -> None:
    before = desk.case("test", 0)["now"]
    for label in desk.about()["classes"]:
        found = desk.why_not("test", 0, label)
        known = {c["name"]: c["to"] for c in found["corrections"]}
        if known:
            assert desk.correct("test", 0, known)["now"]["label"] == label
            desk.undo()
        else:
            assert label == before["label"] or "no" in found["text"]


def test_annotated_truth_is_shown_and_what_nobody_annotated_is_not_zero(desk: Desk) -> None:
    c = desk.opened.data.test.c  # type: ignore[union-attr]  # it is there
    names = desk.opened.data.concepts.names  # type: ignore[union-attr]
    seen = set()
    for row in range(len(c)):
        for unit in desk.case("test", row)["units"]:
            value = float(c[row, names.index(unit["name"])])
            assert unit["truth"] == (None if value != value else value)
            seen.add(unit["truth"])
    assert None in seen
