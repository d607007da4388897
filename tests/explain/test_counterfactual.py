"""Why not another class: against all sets of corrections, tried one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from narrows.bottleneck import Bottleneck
from narrows.concepts.layer import ConceptLayer, SideConcepts
from narrows.errors import InvalidInput, UnknownName
from narrows.explain.counterfactual import why_not
from narrows.heads import LinearHead, MLPHead
from narrows.model import NarrowModel
from narrows.reading import Reading

GROUPS = ((0, 1, 2), (4, 5))


def make(
    seed: int, kind: str = "soft", hidden: bool = False, classes: int = 4, extra: int = 0
) -> tuple[NarrowModel, Reading]:
    """Six concepts, two groups among them, random weights; and one random reading."""
    source = torch.Generator().manual_seed(seed)
    layer = ConceptLayer(5, [f"c{j}" for j in range(6)], GROUPS, kind, extra)
    head = MLPHead(6 + extra, classes, (7,)) if hidden else LinearHead(6 + extra, classes)
    model = NarrowModel(nn.Identity(), layer, head, tuple("abcdefgh"[:classes]))
    with torch.no_grad():
        for part in model.parameters():
            part.copy_(torch.randn(part.shape, generator=source))
        layer.fit_range(layer.logits(torch.randn(100, 5, generator=source)))
    return model.eval(), model.read(torch.randn(1, 5, generator=source)).detach()


def all_sets(model: NarrowModel) -> Iterator[list[dict[str, float]]]:
    """By size: everything a person could say, as `correct` takes it."""
    names = model.bottleneck.names
    turns = []
    for members in model.bottleneck.interventions:
        if len(members) == 1:
            turns.append([{names[members[0]]: v} for v in (0.0, 1.0)])
        else:
            turns.append([{names[i]: 1.0} for i in members])
    for size in range(len(turns) + 1):
        yield [
            {k: v for part in said for k, v in part.items()}
            for some in itertools.combinations(turns, size)
            for said in itertools.product(*some)
        ]


@torch.no_grad()
def smallest(model: NarrowModel, reading: Reading, label: str) -> int | None:
    for size, sets in enumerate(all_sets(model)):
        for known in sets:
            said = model.correct(reading, known).prediction.argmax(1)
            if model.classes[int(said)] == label:
                return size
    return None


@given(st.integers(0, 10**6), st.sampled_from(["soft", "logit", "hard"]), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_for_a_linear_head_the_set_is_the_smallest_of_all(seed, kind, extra) -> None:
    model, reading = make(seed, kind, extra=extra)
    for label in model.classes:
        found, size = why_not(model, reading, label), smallest(model, reading, label)
        assert found.exact
        assert found.proven
        if size is None:
            assert found.corrections is None
            assert found.at_least == found.turns + 1 == 4
        else:
            assert len(found) == found.at_least == size
            said = model.correct(reading, found.known).prediction
            assert model.classes[int(said.argmax())] == label


@given(st.integers(0, 10**6), st.sampled_from(["soft", "logit"]))
@settings(max_examples=25, deadline=None)
def test_for_any_head_small_sets_are_all_tried(seed, kind) -> None:
    model, reading = make(seed, kind, hidden=True)
    for label in model.classes:
        found, size = why_not(model, reading, label), smallest(model, reading, label)
        assert found.proven
        assert len(found) == size if size is not None else found.corrections is None
        if size:
            assert not found.exact


@given(st.integers(0, 10**6), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_with_few_tries_the_bound_is_true_and_the_set_works(seed, evaluations) -> None:
    model, reading = make(seed, hidden=True)
    for label in model.classes:
        found = why_not(model, reading, label, evaluations=evaluations)
        size = smallest(model, reading, label)
        if found.corrections is not None:
            said = model.correct(reading, found.known).prediction
            assert model.classes[int(said.argmax())] == label
            assert found.at_least <= size <= len(found)
            assert not found.proven or size == len(found)
        elif size is not None:
            assert not found.proven
            assert found.at_least <= size


def test_two_classes_need_the_sorted_gains() -> None:
    """Closed form: a margin of 3.5 is covered by gains 2, 1.5, 1 in two steps, not by 1 + 1.5."""
    layer = Bottleneck(["a", "b", "c"])
    head = LinearHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 1.5]]))
        head.bias.copy_(torch.tensor([3.4, 0.0]))
    model = NarrowModel(nn.Identity(), layer, head, ("old", "new"))
    found = why_not(model, Reading(torch.zeros(1, 3)), "new")
    assert [(c.unit, c.value, c.gain) for c in found.corrections] == [("b", 1, 2), ("c", 1, 1.5)]
    assert found.margin == pytest.approx(-3.4, abs=1e-6)
    assert found.after == pytest.approx(0.1, abs=1e-6)


def test_a_group_is_corrected_at_once_and_named_with_what_it_replaces() -> None:
    layer = Bottleneck(["red", "blue", "green"], ((0, 1, 2),))
    head = LinearHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 2.0]]))
        head.bias.zero_()
    model = NarrowModel(nn.Identity(), layer, head, ("x", "y"))
    found = why_not(model, Reading(torch.tensor([[0.9, 0.1, 0.0]])), "y")
    assert found.known == {"green": 1.0}
    (correction,) = found.corrections
    assert correction.instead_of == "red"
    assert correction.gain == pytest.approx(2 - 0.1 + 2.7, abs=1e-6)
    assert "green: 0.00 -> 1  (+4.60)  instead of red" in str(found)
    assert "no smaller set does" in str(found)


def test_what_is_said_already_needs_nothing() -> None:
    model, reading = make(0)
    said = model.classes[int(model.decide(reading).prediction.argmax())]
    found = why_not(model, reading, said)
    assert found.corrections == ()
    assert found.known == {}
    assert found.at_least == 0
    assert str(found).startswith(f"says {said} already, by ")


def test_an_input_gives_what_its_reading_gives_and_nothing_is_changed() -> None:
    model, _ = make(3)
    x = torch.randn(1, 5, generator=torch.Generator().manual_seed(1))
    before = [p.clone() for p in (*model.parameters(), x)]
    reading = model.read(x)
    for label in model.classes:
        # NaN differs from itself, its text does not.
        assert repr(why_not(model, x, label)) == repr(why_not(model, reading, label))
    assert all(torch.equal(a, b) for a, b in zip(before, (*model.parameters(), x), strict=True))


def test_concepts_beside_the_decision_can_change_nothing_and_that_is_proven() -> None:
    layer = SideConcepts(3, ["a", "b"])
    model = NarrowModel(nn.Identity(), layer, LinearHead(3, 2), ("x", "y"))
    reading = model.read(torch.zeros(1, 3))
    said = int(model.decide(reading).prediction.argmax())
    found = why_not(model, reading, ("y", "x")[said])
    assert found.corrections is None
    assert found.proven
    assert "no correction of its 2 concepts and groups" in str(found)


def test_corrections_that_spread_to_other_units_are_tried_not_added_up() -> None:
    class Spreading(Bottleneck):
        """Correcting `a` and `b` together moves `c`, either alone does not."""

        def condition(self, reading: Reading, known: object) -> Reading:
            fixed = super().condition(reading, known)
            both = ((fixed.units[:, 0] == 1) & (fixed.units[:, 1] == 1)).float()
            units = fixed.units.clone()
            units[:, 2] = torch.maximum(units[:, 2], 5 * both)
            return fixed.replace(units=units)

    head = LinearHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        head.bias.copy_(torch.tensor([2.0, 0.0]))
    model = NarrowModel(nn.Identity(), Spreading(["a", "b", "c"]), head)
    found = why_not(model, Reading(torch.zeros(1, 3)), 1)
    assert not found.exact
    assert found.proven
    assert found.known == {"a": 1.0, "b": 1.0}
    assert found.at_least == 2


def test_numbers_name_the_classes_of_a_model_without_names() -> None:
    model, reading = make(0)
    bare = NarrowModel(model.encoder, model.bottleneck, model.head)
    for k, label in enumerate(model.classes):
        assert why_not(bare, reading, k).known == why_not(model, reading, label).known


def test_a_label_nobody_knows_two_examples_and_codes_are_refused() -> None:
    model, reading = make(0)
    with pytest.raises(UnknownName, match="label: found 'z', wanted one of 4 names"):
        why_not(model, reading, "z")
    with pytest.raises(InvalidInput, match=r"x_or_reading: .*shape \(2, 6\), wanted one example"):
        why_not(model, torch.zeros(2, 5), "a")
    some: Tensor = torch.zeros(1, 2)
    with pytest.raises(InvalidInput, match="one example with one unit per name"):
        why_not(model, Reading(some, indices=some.long()), "a")
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        why_not(model, Reading(torch.full((1, 6), torch.nan)), "a")


def test_one_class_is_said_already() -> None:
    model, reading = make(0, classes=1)
    assert why_not(model, reading, "a").corrections == ()


def test_the_model_itself_is_asked_and_offers_the_nearest_class() -> None:
    model, reading = make(4)
    bare = NarrowModel(model.encoder, model.bottleneck, model.head, ("cat", "dog", "owl", "cow"))
    for label in bare.classes:
        assert repr(bare.why_not(reading, label)) == repr(why_not(bare, reading, label))
    with pytest.raises(UnknownName, match=r"label: found 'dogs'.*nearest: 'dog'"):
        bare.why_not(reading, "dogs")


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("label", ["first", "second"])
def test_a_tie_counts_where_the_model_says_the_label(linear, label) -> None:
    """Logits 1 and 1: the model says the first class."""

    class Head(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z @ head.weight.T + head.bias

    old = 1 if label == "first" else 0
    head = LinearHead(2, 2)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[1 - old, 0] = head.weight[1 - old, 1] = 1.0
        head.bias.zero_()
        head.bias[old] = 1.0
    model = NarrowModel(
        nn.Identity(), Bottleneck(["a", "b"]), head if linear else Head(), ("first", "second")
    )
    found = why_not(model, Reading(torch.zeros(1, 2)), label)
    assert found.exact == linear
    assert len(found) == (1 if label == "first" else 2)
    assert found.proven
