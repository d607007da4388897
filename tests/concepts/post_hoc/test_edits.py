"""Edits of the head against hand computation, brute force and the promise to touch nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.concepts import PCBM
from narrows.concepts.post_hoc.edits import Edit, finetune, prune, prune_greedily, rescale
from narrows.data import Concepts, Examples
from narrows.errors import InvalidInput, UnknownName
from narrows.heads import LinearHead, MLPHead
from narrows.model import NarrowModel

CLASSES = ("cat", "dog", "owl")


def model_of(weight: torch.Tensor, bias: torch.Tensor) -> NarrowModel:
    head = LinearHead(weight.shape[1], len(weight))
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    bottleneck = IdentityBottleneck(weight.shape[1])
    return NarrowModel(nn.Flatten(), bottleneck, head, CLASSES[: len(weight)])


def problem(seed: int, n: int = 60, units: int = 4) -> tuple[NarrowModel, Examples]:
    source = torch.Generator().manual_seed(seed)
    weight, bias = (torch.randn(*s, generator=source) for s in ((3, units), (3,)))
    x = torch.randn(n, units, generator=source)
    y = torch.randint(3, (n,), generator=source)
    return model_of(weight, bias), Examples(x, y, None, CLASSES, Concepts(()))


def accuracy(model: NarrowModel, rows: Examples) -> float:
    return float((model(rows.x).prediction.argmax(1) == rows.y).double().mean())


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_pruning_leaves_other_classes_bit_for_bit(seed: int, renormalize: bool) -> None:
    model, rows = problem(seed)
    before = model(rows.x).prediction
    edit = prune(model, {"dog": ["h1", "h3"]}, rows, renormalize=renormalize)
    after = edit.model(rows.x).prediction
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert torch.equal(model(rows.x).prediction, before)
    assert not edit.model.head.weight[1, [1, 3]].any()
    assert set(edit.changed) >= {("dog", "h1"), ("dog", "h3")}


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_renormalised_class_keeps_its_sum_of_absolute_weights(seed: int) -> None:
    model, rows = problem(seed)
    edit = prune(model, {"cat": ["h0"]}, rows, renormalize=True)
    old, new = model.head.weight[0].abs(), edit.model.head.weight[0].abs()
    torch.testing.assert_close(new.sum(), old.sum())
    torch.testing.assert_close(new[1:] / new[1], old[1:] / old[1])


def test_pruning_every_concept_leaves_the_bias() -> None:
    model, rows = problem(0)
    for renormalize in (False, True):
        everything = dict.fromkeys(CLASSES, model.bottleneck.names)
        edited = prune(model, everything, rows, renormalize=renormalize).model
        assert torch.equal(edited(rows.x).prediction, model.head.bias.detach().expand(60, 3))


def test_accuracies_are_those_of_the_two_models_class_by_class() -> None:
    model, rows = problem(1)
    edit = rescale(model, {"owl": {"h2": -2.0}, "cat": {"h0": 3.0}}, rows)
    assert edit.before == pytest.approx(accuracy(model, rows))
    assert edit.after == pytest.approx(accuracy(edit.model, rows))
    assert edit.gain == pytest.approx(edit.after - edit.before)
    for k, label in enumerate(CLASSES):
        part = rows[(rows.y == k).nonzero().flatten()]
        assert edit.by_class[label] == pytest.approx(
            (accuracy(model, part), accuracy(edit.model, part))
        )
    assert set(edit.changed) == {("owl", "h2"), ("cat", "h0")}
    assert str(edit).startswith(f"accuracy {edit.before:.3f} -> {edit.after:.3f}")


def test_rescaling_multiplies_the_weights_it_names_only() -> None:
    model, rows = problem(2)
    edited = rescale(model, {"dog": {"h0": 0.5, "h2": 4.0}}, rows).model
    wanted = model.head.weight.detach().clone()
    wanted[1, 0] *= 0.5
    wanted[1, 2] *= 4
    assert torch.equal(edited.head.weight.detach(), wanted)
    same = rescale(model, {"dog": {"h0": 1.0}}, rows)
    assert same.changed == ()
    assert same.gain == 0


def test_undoing_an_edit_restores_the_bits() -> None:
    model, rows = problem(3)
    there = rescale(model, {"cat": {"h1": 2.0}}, rows).model
    back = rescale(there, {"cat": {"h1": 0.5}}, rows).model
    assert torch.equal(back.head.weight, model.head.weight)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_first_greedy_step_is_the_best_of_all_single_weights(seed: int) -> None:
    model, rows = problem(seed, n=30)
    singles = [
        prune(model, {label: [name]}, rows).after
        for label, name in itertools.product(CLASSES, model.bottleneck.names)
    ]
    edit = prune_greedily(model, rows, 1)
    assert edit.after == pytest.approx(max([accuracy(model, rows), *singles]))
    assert len(edit.changed) <= 1


def test_greedy_pruning_takes_one_weight_a_step_and_stops_when_none_helps() -> None:
    model, rows = problem(4)
    last = accuracy(model, rows)
    for most in range(1, 13):
        edit = prune_greedily(model, rows, most)
        assert edit.after >= last
        assert len(edit.changed) <= most
        last = edit.after
    end = prune_greedily(edit.model, rows, 12)
    assert end.changed == ()


def test_finetuning_is_a_logistic_regression_on_the_target() -> None:
    model, rows = problem(5, n=90)
    edit = finetune(model, rows, rows, l2=0.01)
    reference = LogisticRegression(C=1 / (0.01 * 90), tol=1e-8, max_iter=5000)
    reference.fit(rows.x.numpy(), rows.y.numpy())
    wanted = reference.predict_proba(rows.x.numpy())
    found = edit.model(rows.x).prediction.detach().softmax(1)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def spurious() -> tuple[PCBM, Examples, Examples]:
    """A label that follows one concept, and in training only another one even more."""

    def rows(n: int, tied: float, seed: int) -> Examples:
        rng = np.random.default_rng(seed)
        y = rng.integers(2, size=n)
        shape = np.where(rng.random(n) < 0.9, y, 1 - y)
        light = np.where(rng.random(n) < tied, y, 1 - y)
        c = np.stack([shape, light], 1)
        x = 2.0 * c - 1 + 0.3 * rng.normal(size=(n, 2))
        return Examples(
            torch.as_tensor(x).float(),
            torch.as_tensor(y),
            torch.as_tensor(c).float(),
            ("no", "yes"),
            Concepts(("shape", "light")),
        )

    train, target = rows(600, 0.97, 0), rows(600, 0.03, 1)
    return PCBM(encoder="identity", penalty=1e-3).fit(train), target, rows(600, 0.03, 2)


def test_pruning_the_spurious_concept_repairs_a_shifted_test() -> None:
    method, target, test = spurious()
    edit = prune(method.model_, {"no": ["light"], "yes": ["light"]}, test)
    assert edit.before < 0.5
    assert edit.after > 0.8
    assert prune(method.model_, {"no": ["shape"], "yes": ["shape"]}, test).gain < 0.05
    assert prune_greedily(method.model_, target, 2).gain > 0.35
    assert finetune(method.model_, target, test).gain >= edit.gain - 0.02


def test_a_kept_edit_is_the_methods_new_model() -> None:
    method, _, test = spurious()
    edit = prune(method.model_, {"no": ["light"], "yes": ["light"]}, test)
    method.model_ = edit.model
    assert method.score(test) == pytest.approx(edit.after)


def test_a_residual_neither_counts_nor_moves() -> None:
    source = spurious()[1]
    method = PCBM(encoder="identity", penalty=1e-2, epochs=1, residual=True).fit(source)
    edit = prune(method.model_, {"no": ["light"]}, source, renormalize=True)
    assert torch.equal(edit.model.head.weight[:, 2:], torch.eye(2))
    old, new = method.model_.head.weight[0, :2], edit.model.head.weight[0, :2]
    torch.testing.assert_close(new.abs().sum(), old.abs().sum())
    greedy = prune_greedily(method.model_, source, 8)
    assert torch.equal(greedy.model.head.weight[:, 2:], torch.eye(2))


def test_bad_edits_are_named() -> None:
    model, rows = problem(0)
    with pytest.raises(UnknownName, match="unit: found 'h9'"):
        prune(model, {"cat": ["h9"]}, rows)
    with pytest.raises(UnknownName, match="class: found 'cow'"):
        prune(model, {"cow": ["h1"]}, rows)
    with pytest.raises(InvalidInput, match=r"factors\['cat'\]\['h1'\]: found nan"):
        rescale(model, {"cat": {"h1": float("nan")}}, rows)
    with pytest.raises(InvalidInput, match="most: found 0"):
        prune_greedily(model, rows, 0)
    with pytest.raises(InvalidInput, match="no rows"):
        prune(model, {"cat": ["h1"]}, rows[:0])
    deep = NarrowModel(nn.Flatten(), IdentityBottleneck(4), MLPHead(4, 3), CLASSES)
    with pytest.raises(InvalidInput, match="found a MLPHead"):
        prune(deep, {"cat": ["h1"]}, rows)


def test_an_edit_that_helps_says_so() -> None:
    edit = Edit(problem(0)[0], 0.5, 0.75, {"cat": (0.5, 0.75), "dog": (1.0, 1.0)}, (("cat", "h1"),))
    assert str(edit) == (
        "accuracy 0.500 -> 0.750 (+0.250)\n  cat: 0.500 -> 0.750\nweights changed: 1"
    )
