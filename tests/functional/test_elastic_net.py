"""Elastic-net paths against scikit-learn, the optimality conditions in numpy, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet, LogisticRegression
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.functional import (
    elastic_net,
    elastic_net_exact,
    elastic_net_newton,
    elastic_net_problem,
)
from narrows.functional.elastic_net import ElasticNetPath, softmax_path, squared_path
from narrows.functional.elastic_net_losses import Softmax, Squares

# `penalty` is deprecated since 1.8, and needed before.
OLD = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8)
ELASTIC = {"penalty": "elasticnet"} if OLD else {}


def _data(n: int = 160, d: int = 6, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated inputs on unequal scales, and labels drawn from a sparse softmax."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    x = x + 0.8 * x.roll(1, 1)
    rule = torch.randn(d, classes, generator=g, dtype=torch.float64)
    rule *= torch.rand(d, classes, generator=g) < 0.5
    y = torch.multinomial(torch.softmax(1.5 * x @ rule, 1), 1, generator=g)[:, 0]
    return x * torch.linspace(0.2, 5, d) + torch.arange(d), y


def _standard(x: Tensor) -> np.ndarray:
    return ((x - x.mean(0)) / x.std(0, correction=0)).numpy()


def _violation(x: Tensor, y: Tensor, path: ElasticNetPath, step: int, alpha: float) -> float:
    """The largest violation of the optimality conditions, in units of lam alpha, by numpy."""
    z, w, b = _standard(x), path.weight[step].numpy(), path.bias[step].numpy()
    lam = float(path.penalties[step])
    eta = z @ w.T + b
    p = np.exp(eta - eta.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(z)), y.numpy()] -= 1
    gradient = p.T @ z / len(z) + lam * (1 - alpha) * w
    at_zero = np.maximum(np.abs(gradient) - lam * alpha, 0)
    elsewhere = np.abs(gradient + lam * alpha * np.sign(w))
    worst = max(np.where(w == 0, at_zero, elsewhere).max(), np.abs(p.mean(0)).max())
    return float(worst / (lam * alpha))


@pytest.mark.parametrize("lam", [0.1, 0.01, 0.001])
def test_each_step_is_sklearns_saga(lam: float) -> None:
    # An odd number of classes: with an even one a shift of all of them has next to no price, and
    # saga hardly moves along it.
    x, y = _data(classes=5)
    path = softmax_path(x, y, 5, penalties=torch.tensor([lam]), tol=1e-8)
    theirs = LogisticRegression(
        C=1 / (len(x) * lam), l1_ratio=0.99, solver="saga", tol=1e-7, max_iter=20_000, **ELASTIC
    ).fit(_standard(x), y.numpy())
    # A shift of all biases changes nothing.
    ours = path.bias[0] - path.bias[0].mean()
    np.testing.assert_allclose(path.weight[0].numpy(), theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(
        ours.numpy(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4
    )
    np.testing.assert_array_equal(path.weight[0].numpy() == 0, theirs.coef_ == 0)


@pytest.mark.parametrize("alpha", [0.99, 0.5, 1.0])
def test_every_step_meets_the_optimality_conditions(alpha: float) -> None:
    x, y = _data(classes=5)
    path = softmax_path(x, y, 5, alpha=alpha)
    assert len(path) == 150
    found = [_violation(x, y, path, step, alpha) for step in range(len(path))]
    assert max(found) <= 1.001e-4
    np.testing.assert_allclose(path.residual.numpy(), found, atol=1e-7)


def test_the_path_starts_where_all_weights_are_zero_and_biases_log_priors() -> None:
    x, y = _data()
    path = softmax_path(x, y, 4)
    prior = torch.bincount(y) / len(y)
    assert (path.weight[0] == 0).all()
    torch.testing.assert_close(path.bias[0], prior.double().log())
    onehot = np.eye(4)[y.numpy()]
    largest = np.abs((prior.numpy() - onehot).T @ _standard(x) / len(x)).max() / 0.99
    assert float(path.penalties[0]) == pytest.approx(largest, rel=1e-6)
    ratio = path.penalties[:-1] / path.penalties[1:]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2**0.1))
    below = softmax_path(x, y, 4, penalties=path.penalties[:1] * 0.999)
    assert float(below.nonzeros[0]) > 0


def test_the_loss_falls_and_the_penalty_grows_along_the_path() -> None:
    x, y = _data(seed=3)
    path = softmax_path(x, y, 4, tol=1e-6)
    z = torch.tensor(_standard(x))
    loss = torch.stack(
        [
            torch.nn.functional.cross_entropy(z @ w.T + b, y)
            for w, b in zip(path.weight, path.bias, strict=True)
        ]
    )
    size = 0.99 * path.weight.abs().sum((1, 2)) + 0.005 * path.weight.square().sum((1, 2))
    assert (loss.diff() <= 1e-12).all()
    assert (size.diff() >= -1e-9).all()


def test_a_step_alone_is_the_step_of_the_path() -> None:
    x, y = _data()
    path = softmax_path(x, y, 4, tol=1e-8)
    alone = softmax_path(x, y, 4, penalties=path.penalties[60:61], tol=1e-8)
    torch.testing.assert_close(alone.weight[0], path.weight[60], atol=1e-6, rtol=0)


def test_one_weight_on_standardised_input_is_a_soft_threshold() -> None:
    # Columns of a Hadamard matrix: mean 0, deviation 1, orthogonal.
    h = torch.tensor([[1.0]], dtype=torch.float64)
    for _ in range(3):
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    x = h[:, 1:]
    y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    lam = torch.tensor([1.0, 0.4, 0.05], dtype=torch.float64)
    path = squared_path(x, y, alpha=0.7, penalties=lam, tol=1e-9)
    plain = y.T @ x / 8
    for step, value in enumerate(lam):
        shrunk = plain.sign() * (plain.abs() - value * 0.7).clamp(min=0) / (1 + value * 0.3)
        torch.testing.assert_close(path.weight[step], shrunk, atol=1e-8, rtol=0)
        torch.testing.assert_close(path.bias[step], y.mean(0))


def test_squared_loss_gives_sklearns_elastic_net() -> None:
    x, _ = _data()
    g = torch.Generator().manual_seed(5)
    y = x @ torch.randn(6, 2, generator=g, dtype=torch.float64)
    y = y + torch.randn(len(x), 2, generator=g, dtype=torch.float64)
    for lam in (1.0, 0.1):
        path = squared_path(x, y, alpha=0.6, penalties=torch.tensor([lam]), tol=1e-9)
        for j in range(2):
            theirs = ElasticNet(alpha=lam, l1_ratio=0.6, tol=1e-10, max_iter=100_000)
            theirs.fit(_standard(x), y[:, j].numpy())
            np.testing.assert_allclose(path.weight[0, j].numpy(), theirs.coef_, atol=1e-5)
            assert float(path.bias[0, j]) == pytest.approx(theirs.intercept_, abs=1e-8)


def test_heads_take_inputs_as_they_are() -> None:
    x, y = _data()
    path = softmax_path(x, y, 4)
    weight, bias = path.head(40)
    z = torch.tensor(_standard(x))
    torch.testing.assert_close(x @ weight.T + bias, z @ path.weight[40].T + path.bias[40])


def test_scale_and_place_of_inputs_do_not_matter() -> None:
    x, y = _data()
    path = softmax_path(x, y, 4, steps=60, tol=1e-8)
    other = softmax_path(x * torch.arange(1, 7) * 10 - 7, y, 4, steps=60, tol=1e-8)
    torch.testing.assert_close(other.weight, path.weight, atol=1e-6, rtol=0)


def test_order_of_rows_inputs_and_classes_does_not_matter() -> None:
    x, y = _data()
    path = softmax_path(x, y, 4, steps=60, tol=1e-8)
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    turned = softmax_path(x[rows].flip(1), 3 - y[rows], 4, steps=60, tol=1e-8)
    torch.testing.assert_close(turned.weight.flip(1, 2), path.weight, atol=1e-6, rtol=0)


def test_a_class_without_examples_is_never_predicted_and_changes_nothing() -> None:
    x, y = _data()
    ids = torch.tensor([0, 2, 3, 5])[y]
    path, wide = softmax_path(x, y, 4, steps=50), softmax_path(x, ids, 6, steps=50)
    torch.testing.assert_close(wide.weight[:, [0, 2, 3, 5]], path.weight)
    assert (wide.weight[:, [1, 4]] == 0).all()
    assert (wide.bias[:, [1, 4]] == -torch.inf).all()


def test_an_input_that_does_not_vary_has_no_weight() -> None:
    x, y = _data()
    x[:, 2] = 0.1  # not exact in binary: its mean may differ in the last digit
    path = softmax_path(x, y, 4)
    assert (path.weight[:, :, 2] == 0).all()
    assert path.scale[2] == 1
    assert path.residual.max() <= 1e-4
    nothing = softmax_path(torch.ones_like(x), y, 4, steps=3)
    assert (nothing.weight == 0).all()
    assert nothing.residual.max() <= 1e-4


@pytest.mark.parametrize(("n", "d"), [(40, 90), (200, 5)])
def test_separable_and_wide_problems_are_solved_down_to_tiny_penalties(n: int, d: int) -> None:
    x, _ = _data(n, d)
    y = (x[:, 0] > x[:, 0].median()).long()
    path = softmax_path(x, y, 2)
    assert path.residual.max() <= 1e-4
    weight, bias = path.head(-1)
    assert ((x @ weight.T + bias).argmax(1) == y).all()


def test_the_path_stops_at_enough_nonzeros() -> None:
    x, y = _data()
    whole, short = softmax_path(x, y, 4), softmax_path(x, y, 4, stop=3)
    first = int((whole.nonzeros >= 3).nonzero()[0])
    assert len(short) == first + 1
    torch.testing.assert_close(short.weight, whole.weight[: first + 1])


def test_float32_inputs_give_the_same_path() -> None:
    x, y = _data()
    path, single = softmax_path(x, y, 4, steps=60), softmax_path(x.float(), y, 4, steps=60)
    assert single.weight.dtype == torch.float32
    torch.testing.assert_close(single.weight.double(), path.weight, atol=1e-4, rtol=1e-3)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=9), st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_the_best_shift_has_the_least_penalty(rows: list[float], alpha: float) -> None:
    w = torch.tensor(rows, dtype=torch.float64)[:, None]

    def penalty(shift: float) -> float:
        moved = w + shift
        return float(alpha * moved.abs().sum() + (1 - alpha) / 2 * moved.square().sum())

    best = penalty(float(elastic_net_problem.best_shift(w, alpha)[0]))
    # Convex: it is enough that nothing near and no break is better.
    here = float(elastic_net_problem.best_shift(w, alpha)[0])
    for other in (here + 1e-4, here - 1e-4, *(-w.flatten()).tolist(), -float(w.mean())):
        assert best <= penalty(other) + 1e-12


def test_a_proximal_step_never_raises_the_objective_and_rests_at_the_optimum() -> None:
    x, y = _data()
    z = torch.cat([torch.tensor(_standard(x)), torch.ones(len(x), 1, dtype=torch.float64)], 1)
    problem = elastic_net_problem.Problem(z, Softmax(y), 0.99)
    w = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(20):
        eta = z @ w.T
        step = elastic_net_problem.proximal(problem, w, problem.loss.slope(eta).T @ z, 0.02)
        after, before = (problem.objective(v, z @ v.T, 0.02) for v in (step, w))
        assert after <= before + 1e-12
        w = step
    best = elastic_net_newton.solve(problem, w, 0.02, 1e-9, 100).w
    slope = problem.loss.slope(z @ best.T).T @ z
    torch.testing.assert_close(elastic_net_problem.proximal(problem, best, slope, 0.02), best)


def test_without_newton_steps_the_fallback_arrives_too(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _data(d=3, classes=3)
    lam = torch.tensor([0.05])
    newton = softmax_path(x, y, 3, penalties=lam, tol=1e-6)
    monkeypatch.setattr(elastic_net_newton, "_HALVINGS", 0)
    monkeypatch.setattr(elastic_net, "PATIENCE", 10_000)
    slow = softmax_path(x, y, 3, penalties=lam, tol=1e-6, max_iter=3000)
    assert slow.iterations[0] > 3 * newton.iterations[0]
    torch.testing.assert_close(slow.weight, newton.weight, atol=1e-5, rtol=0)


def test_the_same_call_gives_the_same_path_and_changes_no_input() -> None:
    x, y = _data()
    copy = x.clone()
    first, second = softmax_path(x, y, 4), softmax_path(x, y, 4)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(x, copy)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"alpha": 0.0}, "alpha: found 0.0"),
        ({"alpha": 1.5}, "alpha"),
        ({"factor": 1.0}, "factor"),
        ({"steps": 0}, "steps, max_iter"),
        ({"tol": 0.0}, "tol"),
        ({"stop": 0}, "stop"),
        ({"penalties": torch.tensor([0.1, 0.2])}, "wanted falling numbers"),
        ({"penalties": torch.tensor([0.1, -0.2])}, "penalties"),
        ({"penalties": torch.tensor([math.nan])}, "penalties"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], match: str) -> None:
    x, y = _data()
    with pytest.raises(InvalidInput, match=match):
        softmax_path(x, y, 4, **change)  # type: ignore[arg-type]


def test_bad_data_are_named() -> None:
    x, y = _data()
    for bad in (math.nan, math.inf, 1e13):
        broken = x.clone()
        broken[3, 1] = bad
        with pytest.raises(InvalidInput, match="x: found values of size"):
            softmax_path(broken, y, 4)
    with pytest.raises(InvalidInput, match="x: found shape"):
        softmax_path(x[:0], y[:0], 4)
    with pytest.raises(InvalidInput, match="y: found shape"):
        softmax_path(x, y[1:], 4)
    with pytest.raises(InvalidInput, match=r"y: found ids in \[0, 3\]"):
        softmax_path(x, y, 3)
    with pytest.raises(InvalidType, match=r"y: found torch\.float64"):
        softmax_path(x, y.double(), 4)
    with pytest.raises(InvalidType, match=r"x: found torch\.int64"):
        softmax_path(x.long(), y, 4)
    with pytest.raises(InvalidInput, match="y: found shape"):
        squared_path(x, y)
    with pytest.raises(InvalidInput, match="finite targets"):
        squared_path(x, torch.full((len(x), 1), math.nan))


def _nearly_repeated(n: int = 400, d: int = 10, classes: int = 6) -> tuple[Tensor, Tensor]:
    """Inputs that mix fewer factors, all but repeating one another."""
    g = torch.Generator().manual_seed(1)
    factors = torch.randn(n, d // 2, generator=g, dtype=torch.float64).clamp(min=0)
    mix = torch.randn(d // 2, d, generator=g, dtype=torch.float64)
    x = factors @ mix + 1e-3 * torch.randn(n, d, generator=g, dtype=torch.float64)
    rule = torch.randn(d // 2, classes, generator=g, dtype=torch.float64)
    return x, torch.multinomial(torch.softmax(4 * factors @ rule, 1), 1, generator=g)[:, 0]


def test_inputs_that_nearly_repeat_one_another_take_few_steps() -> None:
    x, y = _nearly_repeated()
    path = softmax_path(x, y, 6, steps=80)
    found = [_violation(x, y, path, step, 0.99) for step in range(0, 80, 8)]
    assert max(found) <= 1.001e-4
    assert path.residual.max() <= 1e-4
    assert path.iterations.max() <= 25


@pytest.mark.parametrize("shared", [True, False])
def test_the_second_derivative_is_autograds(shared: bool) -> None:
    x, y = _data(n=30, d=3, classes=3)
    loss = Softmax(y) if shared else Squares(torch.nn.functional.one_hot(y).double())
    w = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(flat: Tensor) -> Tensor:
        eta = x @ flat.view(3, 3).T
        if shared:
            return torch.nn.functional.cross_entropy(eta, y)
        return (eta - torch.nn.functional.one_hot(y)).square().sum() / 60

    wanted = torch.autograd.functional.hessian(value, w.flatten())
    every = torch.ones(3, 3, dtype=torch.bool)
    torch.testing.assert_close(loss.hessian(x @ w.T, x, every), wanted)
    some = torch.tensor([[True, False, True], [False, False, False], [False, True, True]])
    part = wanted[some.flatten()][:, some.flatten()]
    torch.testing.assert_close(loss.hessian(x @ w.T, x, some), part)


def test_more_inputs_than_the_data_has_dimensions_are_solved_too() -> None:
    g = torch.Generator().manual_seed(0)
    features = torch.randn(300, 8, generator=g, dtype=torch.float64).relu()
    y = (features @ torch.randn(8, 5, generator=g, dtype=torch.float64)).argmax(1)
    x = features @ torch.randn(8, 250, generator=g, dtype=torch.float64)
    path = softmax_path(x, y, 5, steps=60, max_iter=40)
    assert float(path.residual.max()) <= 1e-4  # 1,250 weights, of which few may move at a time
    assert float(path.nonzeros[-1]) < 20


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_least_point_of_a_quadratic_with_absolute_values_meets_its_conditions(
    seed: int,
) -> None:
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(9, 7, generator=g, dtype=torch.float64)
    matrix = root.T @ root + 1e-3 * torch.eye(7)
    w, slope = torch.randn(2, 7, generator=g, dtype=torch.float64)
    w = torch.where(torch.rand(7, generator=g) < 0.4, 0.0, w)
    line = torch.rand(7, generator=g, dtype=torch.float64)
    line[-1] = 0
    u = elastic_net_exact._least(matrix, slope, w, line)
    q = slope + matrix @ (u - w)
    inside = (q.abs() - line).clamp(min=0)
    assert float(torch.where(u == 0, inside, (q + line * u.sign()).abs()).max()) <= 1e-6
