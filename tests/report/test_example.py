"""The worked example is what brute force finds, and its words are true."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows.concepts import ConceptLayer
from narrows.data.record import Concepts, Examples
from narrows.encoders import MLPEncoder
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.report.example import Example, find_example, turns_of

SIDES = ("left", "right")


def concepts(count: int = 3) -> Concepts:
    names = tuple(f"{side} is {i}" for side in SIDES for i in range(count))
    return Concepts(names, (tuple(range(count)), tuple(range(count, 2 * count))))


def model_of(schema: Concepts, weight: torch.Tensor, bias: torch.Tensor) -> NarrowModel:
    """A model whose inputs are its concept logits."""
    k = len(schema)
    encoder = MLPEncoder(k, ())
    layer = ConceptLayer(k, schema.names, schema.groups)
    head = LinearHead(k, len(bias))
    with torch.no_grad():
        layer.linear.weight.copy_(torch.eye(k))
        layer.linear.bias.zero_()
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return NarrowModel(encoder, layer, head, tuple(range(len(bias)))).eval()


def adder(count: int = 3) -> NarrowModel:
    """Says left + right: the score of s is 2 s (l + r) - s^2, linear in one-hot digits."""
    sums = torch.arange(2 * count - 1.0)
    digit = torch.arange(float(count)).repeat(2)
    return model_of(concepts(count), 20 * sums[:, None] * digit, -10 * sums**2)


def rows(digits: list[tuple[int, int]], read: list[tuple[int, int]], count: int = 3) -> Examples:
    """Rows whose true digits and whose digits as the model reads them are given."""
    c = torch.stack([torch.eye(count)[[a, b]].flatten() for a, b in digits])
    x = torch.stack([12 * torch.eye(count)[[a, b]].flatten() - 6 for a, b in read])
    y = torch.tensor([a + b for a, b in digits])
    return Examples(x, y, c, tuple(range(2 * count - 1)), concepts(count))


def test_the_words_of_a_misread_digit() -> None:
    found = find_example(adder(10), rows([(3, 6), (1, 1)], [(3, 8), (1, 1)], 10))
    assert found is not None
    assert found.sentence == (
        "The model read 3 and 8, and said 11; correct the 8 to a 6 and it says 9."
    )
    assert (found.row, found.mistake, found.truth) == (0, True, "9")


def test_a_digit_that_stands_twice_is_named_by_its_side() -> None:
    found = find_example(adder(), rows([(1, 2)], [(1, 1)]))
    assert found is not None
    assert found.sentence == (
        "The model read left: 1 and right: 1, and said 2; correct right to 2 and it says 3."
    )


def test_a_right_model_gets_a_what_if() -> None:
    found = find_example(adder(), rows([(1, 2)], [(1, 2)]))
    assert found is not None
    assert not found.mistake
    assert found.sentence.startswith("The model read 1 and 2, and said 3, which is right; had the ")
    assert found.said == "3" != found.then


def test_single_concepts_are_present_or_absent() -> None:
    schema = Concepts(("large", "rough"))
    model = model_of(schema, torch.tensor([[0.0, 0.0], [8.0, 8.0]]), torch.tensor([0.0, -12.0]))
    x = torch.tensor([[5.0, -5.0]])
    data = Examples(x, torch.tensor([1]), torch.tensor([[1.0, 1.0]]), ("no", "yes"), schema)
    found = find_example(model, data)
    assert found is not None
    assert found.sentence == (
        "The model read rough: absent, and said 0; correct rough to present and it says 1."
    )


def test_a_head_that_ignores_its_concepts_has_no_example() -> None:
    model = model_of(concepts(), torch.zeros(5, 6), torch.arange(5.0))
    assert find_example(model, rows([(2, 2), (1, 1)], [(2, 2), (0, 1)])) is None


def test_without_concept_labels_there_is_no_example() -> None:
    data = rows([(1, 1)], [(1, 1)])
    bare = Examples(data.x, data.y, None, data.classes, data.concepts)
    assert find_example(adder(), bare) is None


def test_unknown_concepts_are_never_called_misread() -> None:
    data = rows([(1, 2)], [(1, 1)])
    hidden = data.c.clone()
    hidden[:, 3:] = torch.nan
    found = find_example(adder(), Examples(data.x, data.y, hidden, data.classes, data.concepts))
    assert found is None or not found.mistake


def test_groups_are_named_by_what_their_members_share() -> None:
    for names, turn, values in (
        (("wing=black", "wing=blue"), "wing", ("black", "blue")),
        (("beak::long", "beak::lost"), "beak", ("long", "lost")),
        (("left is 0", "left is 1"), "left", ("0", "1")),
        (("red", "blue"), "red or blue", ("red", "blue")),
    ):
        schema = Concepts(names, ((0, 1),))
        found = turns_of(model_of(schema, torch.zeros(2, 2), torch.zeros(2)), names)
        assert [(t.name, t.values) for t in found] == [(turn, values)]


def brute(model: NarrowModel, data: Examples) -> dict[str, list[tuple[int, int, float]]]:
    """Every correction to the truth that makes a wrong row right, by how clear the row is."""
    found: dict[str, list[tuple[int, int, float]]] = {}
    for row in range(len(data)):
        one = data[row]
        out = model(one.x)
        if int(out.prediction.argmax()) == int(one.y):
            continue
        scores = model.bottleneck.scores(out.reading)[0]
        hard = torch.cat([torch.eye(3)[part.argmax()] for part in scores.split(3)])
        worked_out = model.correct(one.x, dict(zip(model.bottleneck.names, hard, strict=True)))
        follows = int(worked_out.prediction.argmax()) == int(out.prediction.argmax())
        misread = [
            t
            for t, units in enumerate(model.bottleneck.interventions)
            if int(scores[list(units)].argmax()) != int(one.c[0, list(units)].argmax())
        ]
        for t in misread:
            units = model.bottleneck.interventions[t]
            known = {model.bottleneck.names[u]: float(one.c[0, u]) for u in units}
            sure = model.correct(one.x, known).prediction.softmax(1)[0]
            if int(sure.argmax()) == int(one.y):
                clear = "several misread"
                if len(misread) == 1:
                    clear = "follows" if follows else "one misread"
                found.setdefault(clear, []).append((row, t, float(sure[int(one.y)].detach())))
    return found


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_the_example_is_the_clearest_that_brute_force_finds(seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    schema = concepts()
    model = model_of(
        schema, 4 * torch.randn(5, 6, generator=source), torch.randn(5, generator=source)
    )
    digits = torch.randint(3, (12, 2), generator=source).tolist()
    read = torch.randint(3, (12, 2), generator=source).tolist()
    data = rows([(a, b) for a, b in digits], [(a, b) for a, b in read])
    # Every other model is unsure of what it reads, so that its answer need not follow from it.
    data = dataclasses.replace(data, x=data.x * (0.1 if seed % 2 else 1.0))
    expected = brute(model, data)
    found = find_example(model, data)
    if not expected:
        assert found is None or not found.mistake
        return
    assert found is not None
    assert found.mistake
    order = ("follows", "one misread", "several misread")
    first = next(expected[clear] for clear in order if clear in expected)
    sure = {(row, model.bottleneck.interventions[turn]): share for row, turn, share in first}
    # Rows that read alike are equally sure up to rounding.
    assert sure[found.row, found.turn.units] == pytest.approx(max(sure.values()), abs=1e-6)
    assert found.said == str(int(model(data.x[[found.row]]).prediction.argmax()))
    assert found.then == found.truth


def example() -> Example:
    found = find_example(adder(10), rows([(3, 6)], [(3, 8)], 10))
    assert found is not None
    return found


def test_each_column_of_the_table_sums_to_the_logit() -> None:
    found = example()
    _, cells = found.table()
    *parts, total = (torch.tensor(row[3:], dtype=torch.float64) for row in cells)
    torch.testing.assert_close(torch.stack(parts).sum(0), total, atol=1e-3, rtol=1e-5)
    pair = [int(found.said), int(found.then)]
    logits = [float(e.logits[0, i]) for i in pair for e in (found.before, found.after)]
    torch.testing.assert_close(total, torch.tensor(logits, dtype=torch.float64))


def test_the_table_shows_every_value_that_changed() -> None:
    found = example()
    _, cells = found.table()
    shown = {row[0] for row in cells}
    assert {"right is 8", "right is 6"} <= shown


@pytest.mark.parametrize("name", ["<img src=x onerror=1>", "😀", "a\nb", "שלום"])
def test_names_of_any_letters_are_said_on_one_line(name: str) -> None:
    schema = Concepts((name, "other"))
    model = model_of(schema, torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0.0, -4.0]))
    data = Examples(
        torch.tensor([[-5.0, 5.0]]),
        torch.tensor([1]),
        torch.tensor([[1.0, 1.0]]),
        ("n", "y"),
        schema,
    )
    found = find_example(model, data)
    assert found is not None
    assert "\n" not in found.sentence
    assert " ".join(name.split()) in found.sentence


def test_a_head_that_is_not_linear_is_shown_too() -> None:
    model = adder()
    deep = nn.Sequential(model.head, nn.ReLU(), nn.Linear(5, 5))
    with torch.no_grad():
        deep[2].weight.copy_(torch.eye(5))
        deep[2].bias.zero_()
    found = find_example(
        NarrowModel(model.encoder, model.bottleneck, deep, model.classes).eval(),
        rows([(1, 2)], [(1, 1)]),
    )
    assert found is not None
    assert not found.before.exact
