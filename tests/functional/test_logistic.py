"""Logistic regressions against scikit-learn, the optimality conditions and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.functional import descent, logistic
from narrows.functional.logistic import fit_logistic, fit_softmax


def _data(n: int = 200, d: int = 7, k: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64) * torch.linspace(3, 0.3, d) + 1
    rule = torch.randn(d, k, generator=g, dtype=torch.float64)
    noise = torch.randn(n, k, generator=g, dtype=torch.float64)
    return x, (x @ rule + noise > torch.linspace(0, 3, k)).double()


def _sklearn(x: Tensor, y: Tensor, l2: float, weight: np.ndarray | None = None) -> np.ndarray:
    model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    model.fit(x.double().numpy(), y.numpy(), sample_weight=weight)
    return np.append(model.coef_[0], model.intercept_[0])


def _residual(
    x: Tensor, targets: Tensor, weight: Tensor, bias: Tensor, l2: float, positive: float = 1.0
) -> Tensor:
    """Gradient of the objective by weight and bias, by autograd, of each concept."""
    w = weight.double().clone().requires_grad_()
    b = bias.double().clone().requires_grad_()
    eta = x.double() @ w.T + b
    known = ~targets.isnan()
    t = torch.where(known, targets, 0.0).double()
    log_p, log_q = torch.nn.functional.logsigmoid(eta), torch.nn.functional.logsigmoid(-eta)
    loss = -torch.where(known, positive * t * log_p + (1 - t) * log_q, 0.0).sum()
    (loss + l2 * w.square().sum() / 2).backward()
    return torch.cat([w.grad, b.grad[:, None]], 1)


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_each_concept_is_sklearns_logistic_regression(l2: float) -> None:
    x, y = _data()
    solved = fit_logistic(x, y, l2, tol=1e-10)
    assert solved.converged.all()
    for k in range(y.shape[1]):
        ours = np.append(solved.weight[k].numpy(), solved.bias[k].item())
        np.testing.assert_allclose(ours, _sklearn(x, y[:, k], l2), atol=1e-7)


def test_float32_features_give_sklearns_coefficients() -> None:
    x, y = _data()
    solved = fit_logistic(x.float(), y.float(), 1.0)
    assert solved.weight.dtype == torch.float32
    for k in range(y.shape[1]):
        ours = np.append(solved.weight[k].numpy(), solved.bias[k].item())
        np.testing.assert_allclose(ours, _sklearn(x.float(), y[:, k], 1.0), atol=1e-3)


def test_more_features_than_examples_give_sklearns_coefficients() -> None:
    x, y = _data(n=30, d=80, k=2)
    solved = fit_logistic(x, y, 0.5, tol=1e-10)
    for k in range(2):
        ours = np.append(solved.weight[k].numpy(), solved.bias[k].item())
        np.testing.assert_allclose(ours, _sklearn(x, y[:, k], 0.5), atol=1e-7)


def test_without_intercept_is_sklearns() -> None:
    x, y = _data()
    solved = fit_logistic(x, y, 1.0, tol=1e-10, fit_intercept=False)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000, fit_intercept=False)
    model.fit(x.numpy(), y[:, 0].numpy())
    np.testing.assert_allclose(solved.weight[0].numpy(), model.coef_[0], atol=1e-5)
    assert (solved.bias == 0).all()


def test_a_positive_weight_is_a_sample_weight_of_the_positives() -> None:
    x, y = _data()
    factor = torch.tensor([3.0, 0.2, 1.0, 7.0])
    solved = fit_logistic(x, y, 1.0, tol=1e-10, pos_weight=factor)
    for k in range(4):
        each = np.where(y[:, k].numpy() > 0, factor[k].item(), 1.0)
        ours = np.append(solved.weight[k].numpy(), solved.bias[k].item())
        np.testing.assert_allclose(ours, _sklearn(x, y[:, k], 1.0, each), atol=1e-6)


def test_soft_targets_are_the_two_labels_in_their_shares() -> None:
    x, _ = _data()
    t = torch.rand(len(x), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    solved = fit_logistic(x, t[:, None], 1.0, tol=1e-10)
    both = torch.cat([torch.ones_like(t), torch.zeros_like(t)])
    want = _sklearn(torch.cat([x, x]), both, 1.0, torch.cat([t, 1 - t]).numpy())
    ours = np.append(solved.weight[0].numpy(), solved.bias[0].item())
    np.testing.assert_allclose(ours, want, atol=1e-7)


def test_the_unknown_take_no_part_in_the_fit() -> None:
    x, y = _data()
    unknown = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    together = fit_logistic(x, y.masked_fill(unknown, math.nan), 1.0, tol=1e-10)
    for k in range(y.shape[1]):
        rows = ~unknown[:, k]
        alone = fit_logistic(x[rows], y[rows, k : k + 1], 1.0, tol=1e-10)
        torch.testing.assert_close(together.weight[k], alone.weight[0], atol=1e-8, rtol=0)
        torch.testing.assert_close(together.bias[k], alone.bias[0], atol=1e-8, rtol=0)


def test_features_of_unknown_examples_change_nothing_where_the_span_is_kept() -> None:
    x, y = _data(k=1)
    hidden = y.clone()
    hidden[100:] = math.nan
    other = x.clone()
    other[100:] = -5 * x[100:] + 2
    a = fit_logistic(x, hidden, 1.0, tol=1e-10)
    b = fit_logistic(other, hidden, 1.0, tol=1e-10)
    torch.testing.assert_close(a.weight, b.weight, atol=1e-8, rtol=0)


def test_constant_concepts_are_reported_and_told_by_their_bias() -> None:
    x, y = _data()
    y = torch.cat([y, torch.zeros(len(x), 1), torch.ones(len(x), 1)], 1)
    y = torch.cat([y, torch.full((len(x), 1), 0.25), torch.full((len(x), 1), math.nan)], 1)
    y[5:, 5] = math.nan  # five known labels, all 1
    solved = fit_logistic(x, y, 1.0)
    assert solved.constant.tolist() == [False] * 4 + [True] * 4
    assert solved.converged.all()
    assert (solved.weight[4:] == 0).all()
    n = len(x)
    want = [math.log(0.5 / (n + 0.5)), math.log(5.5 / 0.5), math.log(1 / 3), 0.0]
    torch.testing.assert_close(solved.bias[4:], torch.tensor(want, dtype=torch.float64))
    assert solved.gradient_norm[4:].tolist() == [0, 0, 0, 0]


def test_only_constant_concepts_is_no_work() -> None:
    x, _ = _data()
    solved = fit_logistic(x, torch.zeros(len(x), 2), 1.0)
    assert solved.iterations == 0
    assert solved.constant.all()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_optimum_follows_the_scale_and_place_of_the_features(scale: float) -> None:
    x, y = _data()
    plain = fit_logistic(x, y, 1.0, tol=1e-10)
    moved = fit_logistic(x * scale + 100 * scale, y, 1.0 * scale**2, tol=1e-10)
    torch.testing.assert_close(moved.weight * scale, plain.weight, atol=1e-6, rtol=0)
    bias = moved.bias + 100 * scale * moved.weight.sum(1)
    torch.testing.assert_close(bias, plain.bias, atol=1e-5, rtol=0)


def test_separable_classes_are_solved_too() -> None:
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    y = (x > 0).double()
    solved = fit_logistic(x, y, 1e-6)
    assert solved.converged.all()
    assert (
        _residual(x, y, solved.weight, solved.bias, 1e-6).norm() <= 1e-5 * (x.T @ (y - 0.5)).norm()
    )


def test_concepts_solved_in_blocks_are_those_solved_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = _data(k=5)
    y[:, 3] = 1.0
    whole = fit_logistic(x, y, 1.0, tol=1e-9)
    monkeypatch.setattr(logistic, "_BLOCK", 2 * len(x))
    parts = fit_logistic(x, y, 1.0, tol=1e-9)
    torch.testing.assert_close(parts.weight, whole.weight, atol=1e-7, rtol=0)
    assert parts.constant.tolist() == whole.constant.tolist()


def test_too_few_steps_are_reported() -> None:
    x, y = _data()
    solved = fit_logistic(x, y, 1e-3, tol=1e-12, max_iter=2)
    assert not solved.converged.any()
    assert solved.iterations == 2
    assert (solved.gradient_norm > 1e-12).all()


def test_half_precision_features_are_solved_in_full() -> None:
    x, y = _data()
    half = x.to(torch.bfloat16)
    a, b = fit_logistic(half, y, 1.0), fit_logistic(half.double(), y, 1.0)
    assert a.weight.dtype == torch.float32
    torch.testing.assert_close(a.weight, b.weight.float())


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 40),
    d=st.integers(1, 50),
    k=st.integers(1, 6),
    l2=st.sampled_from([1e-3, 0.1, 1.0, 50.0]),
    positive=st.sampled_from([0.1, 1.0, 9.0]),
    seed=st.integers(0, 10_000),
)
def test_the_gradient_vanishes_whatever_the_problem(
    n: int, d: int, k: int, l2: float, positive: float, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64).round(decimals=1)
    t = torch.rand(n, k, generator=g, dtype=torch.float64)
    t = torch.where(torch.rand(n, k, generator=g) < 0.7, t.round(), t)
    t[torch.rand(n, k, generator=g) < 0.3] = math.nan
    solved = fit_logistic(x, t, l2, pos_weight=torch.full((k,), positive))
    assert solved.converged.all()
    gone = solved.constant
    left = _residual(x, t, solved.weight, solved.bias, l2, positive)[~gone]
    zero = torch.zeros_like(solved.weight)
    first = _residual(x, t, zero, torch.zeros_like(solved.bias), l2, positive)[~gone]
    # At most the tolerance of the centred problem, whose start has the smaller gradient.
    assert (left.norm(dim=1) <= 2e-6 * first.norm(dim=1) + 1e-12 * x.norm()).all()


@pytest.mark.parametrize("l2", [0.05, 5.0])
def test_softmax_is_sklearns_multinomial_regression(l2: float) -> None:
    x, y = _data(k=5)
    label = (y * torch.arange(1, 6)).sum(1).long() % 4
    solved = fit_softmax(x, label, 4, l2, tol=1e-9)
    model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
    model.fit(x.numpy(), label.numpy())
    np.testing.assert_allclose(solved.weight.numpy(), model.coef_, atol=1e-5)
    intercept = model.intercept_ - model.intercept_.mean()
    np.testing.assert_allclose(solved.bias.numpy(), intercept, atol=1e-5)
    assert solved.converged.tolist() == [True]


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 50),
    k=st.integers(2, 8),
    l2=st.sampled_from([1e-3, 0.1, 10.0]),
    intercept=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_the_softmax_gradient_vanishes_and_unseen_classes_are_never_predicted(
    n: int, d: int, k: int, l2: float, intercept: bool, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    y = torch.randint(0, k, (n,), generator=g)
    solved = fit_softmax(x, y, k, l2, fit_intercept=intercept)
    assert solved.converged.all()
    seen = torch.bincount(y, minlength=k) > 0
    assert solved.constant.tolist() == (~seen).tolist()
    logits = torch.randn(200, d, generator=g, dtype=torch.float64) * 10 @ solved.weight.T
    assert seen[(logits + solved.bias).argmax(1)].all()

    ids = torch.searchsorted(seen.nonzero().flatten(), y)

    def gradient(weight: Tensor, bias: Tensor) -> Tensor:
        w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(x @ w.T + b, ids, reduction="sum")
        (loss + l2 * w.square().sum() / 2).backward()
        return torch.cat([w.grad, b.grad[:, None]], 1) if intercept else w.grad

    zero = torch.zeros_like(solved.weight[seen])
    left, first = gradient(solved.weight[seen], solved.bias[seen]), gradient(zero, zero[:, 0])
    assert left.norm() <= 2e-6 * first.norm() + 1e-12 * x.norm()


def test_one_class_alone_needs_no_weights() -> None:
    x, _ = _data()
    solved = fit_softmax(x, torch.full((len(x),), 2), 3, 1.0)
    assert (solved.weight == 0).all()
    assert solved.bias.argmax() == 2


def test_the_two_precisions_reach_the_optimum_that_one_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = _data()
    mixed = fit_logistic(x, y, 0.1, tol=1e-10)
    monkeypatch.setattr(descent, "_SINGLE", 1e9)  # float32 is content at once
    double = fit_logistic(x, y, 0.1, tol=1e-10)
    torch.testing.assert_close(mixed.weight, double.weight, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.full((200, 7), math.nan)}, "x: found values of size nan"),
        ({"x": torch.full((200, 7), math.inf)}, "x: found values of size inf"),
        ({"x": torch.zeros(0, 7)}, "x: found shape"),
        ({"x": torch.zeros(200)}, "x: found shape"),
        ({"targets": torch.zeros(3, 4)}, "targets: found shape"),
        ({"targets": torch.zeros(200, 0)}, "targets: found shape"),
        ({"targets": torch.full((200, 4), 1.5)}, "targets: found values in"),
        ({"targets": torch.full((200, 4), -0.1)}, "targets: found values in"),
        ({"targets": torch.full((200, 4), math.inf)}, "targets: found values in"),
        ({"l2": 0.0}, "l2: found 0.0"),
        ({"l2": math.nan}, "l2: found nan"),
        ({"tol": -1.0}, "tol: found -1.0"),
        ({"max_iter": 0}, "max_iter: found 0"),
        ({"pos_weight": torch.ones(3)}, "pos_weight: found shape"),
        ({"pos_weight": torch.tensor([1.0, 0.0, 1.0, 1.0])}, "pos_weight: found"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    x, y = _data()
    arguments: dict[str, object] = {"x": x, "targets": y, "l2": 1.0} | change
    with pytest.raises(InvalidInput, match=message):
        fit_logistic(**arguments)  # type: ignore[arg-type]  # bad on purpose


def test_bad_types_and_ids_are_named() -> None:
    x, _ = _data()
    y = torch.zeros(len(x), dtype=torch.int64)
    with pytest.raises(InvalidType, match=r"x: found torch\.int64"):
        fit_softmax(x.long(), y, 2, 1.0)
    with pytest.raises(InvalidType, match=r"y: found torch\.float32"):
        fit_softmax(x, y.float(), 2, 1.0)
    with pytest.raises(InvalidInput, match=r"y: found ids in \[0, 0\]"):
        fit_softmax(x, y, 0, 1.0)
    with pytest.raises(InvalidInput, match="y: found shape"):
        fit_softmax(x, y[1:], 2, 1.0)
