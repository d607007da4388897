"""Conditional tables against sums written out."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

from narrows.concepts.energy.energies import Energies
from narrows.concepts.energy.tables import dependencies
from narrows.errors import InvalidInput, UnknownName

NAMES, CLASSES = ("a", "b", "c", "d"), ("no", "yes", "maybe")


def make(rows: int = 50) -> tuple[Energies, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    e = Energies(2, concepts=4, classes=3, dims=8).double().eval().requires_grad_(False)
    for p in e.parameters():
        p.data = torch.randn(p.shape, generator=source, dtype=torch.float64) / 2
    return e, 2 * torch.randn(rows, 4, generator=source, dtype=torch.float64)


def joint(e: Energies, logits: torch.Tensor) -> dict:
    """p(c, y), state by state and row by row."""
    table = {}
    for bits in itertools.product((0, 1), repeat=4):
        mass = 0.0
        for row in logits.sigmoid().tolist():
            p = 1.0
            for k, b in enumerate(bits):
                p *= row[k] if b else 1 - row[k]
            mass += p / len(logits)
        label = e.joint(torch.tensor([bits], dtype=torch.float64))[0].neg().softmax(0)
        table |= {(bits, y): mass * float(label[y]) for y in range(3)}
    return table


def ratio(table: dict, above, below) -> float:
    return sum(p for s, p in table.items() if above(*s) and below(*s)) / sum(
        p for s, p in table.items() if below(*s)
    )


def test_conditionals_are_the_sums_over_rows_and_states() -> None:
    e, logits = make()
    table = joint(e, logits)
    found = dependencies(e, logits, NAMES, CLASSES)
    for k, y in itertools.product(range(4), range(3)):
        wanted = ratio(table, lambda c, _, k=k: c[k], lambda _, label, y=y: label == y)
        assert found.of(NAMES[k], CLASSES[y]) == pytest.approx(wanted)
    for k in range(4):
        wanted = ratio(table, lambda c, _, k=k: c[k], lambda *_: True)
        assert found.of(NAMES[k]) == pytest.approx(wanted)
    for y in range(3):
        wanted = ratio(table, lambda _, label, y=y: label == y, lambda *_: True)
        assert float(found.label[y]) == pytest.approx(wanted)


@pytest.mark.parametrize("value", [0, 1])
def test_conditionals_given_another_concept(value: int) -> None:
    e, logits = make()
    table = joint(e, logits)
    found = dependencies(e, logits, NAMES, CLASSES, {"b": value})
    for k, y in itertools.product(range(4), range(3)):
        wanted = ratio(
            table,
            lambda c, _, k=k: c[k],
            lambda c, label, y=y: label == y and c[1] == value,
        )
        assert found.of(NAMES[k], CLASSES[y]) == pytest.approx(wanted)
    assert found.of("b") == value


def test_given_all_concepts_the_label_is_that_of_the_energy() -> None:
    e, logits = make()
    given = {"a": 1, "b": 0, "c": 1, "d": 1}
    found = dependencies(e, logits, NAMES, CLASSES, given)
    c = torch.tensor([[1, 0, 1, 1]], dtype=torch.float64)
    assert torch.allclose(found.label, e.joint(c)[0].neg().softmax(0))


def test_certain_energies_give_the_counts() -> None:
    e, logits = make()
    logits = logits.sign() * 60
    e.joint_weight.data *= 1e4
    found = dependencies(e, logits, NAMES, CLASSES)
    c = (logits > 0).double()
    y = e.joint(c).argmin(1)
    for label in range(3):
        if (y == label).any():
            counts = c[y == label].mean(0)
            assert torch.allclose(found.concepts_of_label[label], counts, atol=1e-6)
        else:
            assert float(found.label[label]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("given", [{}, {"b": 1}])
def test_pairs_are_the_sums_where_both_concepts_hold(given: dict) -> None:
    e, logits = make()
    table = joint(e, logits)
    found = dependencies(e, logits, NAMES, CLASSES, given)
    for k, j in itertools.product(range(4), repeat=2):
        wanted = ratio(
            table,
            lambda c, _, k=k: c[k],
            lambda c, _, j=j: c[j] and all(c[NAMES.index(n)] for n in given),
        )
        assert found.beside(NAMES[k], NAMES[j]) == pytest.approx(wanted)


def test_a_given_concept_excludes_the_others_of_its_group() -> None:
    e, logits = make()
    found = dependencies(e, logits, NAMES, CLASSES, {"a": 1}, groups=[(0, 2)])
    wanted = dependencies(e, logits, NAMES, CLASSES, {"a": 1, "c": 0})
    assert found.of("c") == 0
    assert torch.equal(found.concepts_of_label, wanted.concepts_of_label)
    assert found.beside("b", "c") != found.beside("b", "c")  # NaN: c cannot be
    assert found.to_dict()["concepts_of_concept"][2] == [None] * 4
    with pytest.raises(InvalidInput, match="'a' and 'c' both 1"):
        dependencies(e, logits, NAMES, CLASSES, {"a": 1, "c": 1}, groups=[(0, 2)])


def test_concepts_that_are_given_need_no_enumeration() -> None:
    e, logits = make()
    given = {"a": 1, "d": 0}
    assert dependencies(e, logits, NAMES, CLASSES, given, enumerate_up_to=2).draws == 0
    assert dependencies(e, logits, NAMES, CLASSES, {"a": 1}, enumerate_up_to=2).draws > 0


@pytest.mark.parametrize("given", [{}, {"c": 1}])
def test_draws_approach_the_sums(given: dict) -> None:
    e, logits = make()
    exact = dependencies(e, logits, NAMES, CLASSES, given)
    drawn = dependencies(e, logits, NAMES, CLASSES, given, draws=2000, enumerate_up_to=0)
    assert drawn.draws == 100_000
    assert torch.allclose(drawn.concepts_of_label, exact.concepts_of_label, atol=0.02)
    assert torch.allclose(drawn.concepts_of_concept, exact.concepts_of_concept, atol=0.02)
    again = dependencies(e, logits, NAMES, CLASSES, given, draws=2000, enumerate_up_to=0)
    assert torch.equal(again.concepts, drawn.concepts)


def test_it_prints_and_becomes_json() -> None:
    e, logits = make()
    found = dependencies(e, logits, NAMES, CLASSES, {"a": 1})
    text = str(found)
    assert "a = 1" in text
    assert all(name in text for name in (*NAMES, *CLASSES))
    assert json.loads(json.dumps(found.to_dict()))["given"] == {"a": 1}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"e": 1}, UnknownName, "given: found 'e'"),
        ({"a": 0.5}, InvalidInput, r"given\['a'\]: found 0.5"),
        ({"a": float("nan")}, InvalidInput, r"given\['a'\]"),
    ],
)
def test_what_cannot_be_given_is_refused(given: dict, error: type, message: str) -> None:
    e, logits = make()
    with pytest.raises(error, match=message):
        dependencies(e, logits, NAMES, CLASSES, given)


def test_unknown_names_no_rows_and_the_impossible_are_refused() -> None:
    e, logits = make()
    found = dependencies(e, logits, NAMES, CLASSES)
    with pytest.raises(UnknownName, match="concept: found 'z'"):
        found.of("z")
    with pytest.raises(UnknownName, match="class: found 'never'"):
        found.of("a", "never")
    with pytest.raises(UnknownName, match="concept: found 'z'"):
        found.beside("a", "z")
    with pytest.raises(InvalidInput, match="draws: found 0"):
        dependencies(e, logits, NAMES, CLASSES, draws=0)
    with pytest.raises(InvalidInput, match="no rows"):
        dependencies(e, logits[:0], NAMES, CLASSES)
    with pytest.raises(InvalidInput, match="can hold together"):
        dependencies(e, torch.full((3, 4), -1e4).double(), NAMES, CLASSES, {"a": 1})
