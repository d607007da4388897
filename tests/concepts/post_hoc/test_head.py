"""The sparse head and the residual against scikit-learn and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from narrows.concepts import PCBM, ConceptBank
from narrows.data import Examples
from narrows.train import Run

from .pcbm_rows import made


@pytest.mark.parametrize("penalty", [3e-2, 3e-3, 3e-4])
def test_the_head_is_scikit_learns_elastic_net(penalty: float) -> None:
    rows = made()
    model = PCBM(encoder="identity", penalty=penalty, l1_ratio=0.7).fit(rows).model_
    z, y = model.read(rows.x).units.double().numpy(), rows.y.numpy()
    settings = {"solver": "saga", "l1_ratio": 0.7, "C": 1 / (penalty * len(z))}
    saga = LogisticRegression(**settings, tol=1e-8, max_iter=20_000, random_state=0).fit(z, y)

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = z @ weight.T + bias
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        size = 0.7 * np.abs(weight).sum() + 0.15 * (weight**2).sum()
        return float(-log_p[np.arange(len(y)), y].mean() + penalty * size)

    ours = objective(model.head.weight.double().numpy(), model.head.bias.double().numpy())
    assert ours == pytest.approx(objective(saga.coef_, saga.intercept_), abs=1e-4)


def test_an_endless_penalty_leaves_the_class_shares() -> None:
    rows = made()
    method = PCBM(encoder="identity", penalty=1e6).fit(rows)
    assert not method.model_.head.weight.any()
    shares = rows.y.bincount().double().numpy() / len(rows)
    np.testing.assert_allclose(method.predict_proba(rows)[0], shares, atol=1e-6)


def test_as_many_orthonormal_concepts_as_features_are_a_linear_probe() -> None:
    rows = made(400)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    names = tuple(f"axis {i}" for i in range(6))
    bank = ConceptBank(names, torch.as_tensor(rotation).float(), torch.zeros(6))
    method = PCBM(bank, encoder=nn.Flatten(), penalty=1e-7).fit(rows)
    probe = LogisticRegression(C=1e6, tol=1e-10, max_iter=10_000)
    x = rows.x.double().numpy()
    wanted = probe.fit(x, rows.y.numpy()).predict_proba(x)
    np.testing.assert_allclose(method.predict_proba(rows), wanted, atol=1e-4)


def test_a_residual_of_zero_changes_no_decision() -> None:
    rows, method = made(), PCBM(encoder="identity", penalty=1e-3, epochs=0)
    plain = method.fit(rows).model_
    both = method.add_residual(plain, rows, None)
    assert not both.bottleneck.linear.weight[3:].any()
    torch.testing.assert_close(both(rows.x).prediction, plain(rows.x).prediction)


def test_the_residual_leaves_bank_and_head_as_they_are() -> None:
    rows, method = made(), PCBM(encoder="identity", penalty=1e-2, epochs=30)
    plain = method.fit(rows).model_
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    both = method.add_residual(plain, rows, made(seed=1))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(both.bottleneck.linear.weight[:3], plain.bottleneck.linear.weight)
    assert torch.equal(both.head.weight[:, :3], plain.head.weight)
    assert torch.equal(both.head.weight[:, 3:], torch.eye(3))
    assert torch.equal(both.head.bias, plain.head.bias)
    h = both.encoder(rows.x)
    residual = both.bottleneck.linear
    wanted = plain(rows.x).prediction + h @ residual.weight[3:].T + residual.bias[3:]
    torch.testing.assert_close(both(rows.x).prediction, wanted)


def test_the_residual_recovers_what_the_concepts_cannot_say() -> None:
    rows = made(2000)
    method = PCBM(encoder="identity", penalty=1e-4, epochs=30)
    plain = method.fit(rows)
    alone = plain.score(rows)
    logits = method.add_residual(plain.model_, rows, None)(rows.x).prediction
    probe = LogisticRegression(C=1e4).fit(rows.x.numpy(), rows.y.numpy())
    best = probe.score(rows.x.numpy(), rows.y.numpy())
    with_residual = float((logits.argmax(1) == rows.y).float().mean())
    assert best - alone > 0.05
    assert best - with_residual < 0.02


def test_the_penalty_with_the_lowest_validation_loss_is_kept() -> None:
    rows, val = made(80), made(200, seed=3)
    from narrows.data import Dataset

    data = Dataset("made", rows, val, val)
    chosen = PCBM(encoder="identity").fit(data).model_
    loss = {}
    for penalty in (2e-4, 1e-5):
        model = PCBM(encoder="identity", penalty=penalty).fit(data).model_
        loss[penalty] = float(nn.functional.cross_entropy(model(val.x).prediction, val.y)), model
    best = min(loss.values(), key=lambda pair: pair[0])[1]
    torch.testing.assert_close(chosen.head.weight, best.head.weight, rtol=1e-2, atol=1e-2)


def test_a_class_without_examples_is_never_predicted() -> None:
    rows = made()
    y = torch.where(rows.y == 1, 2, rows.y)
    method = PCBM(encoder="identity", penalty=1e-3)
    method.fit(Examples(rows.x, y, rows.c, rows.classes, rows.concepts))
    assert torch.isfinite(method.model_.head.bias).all()
    assert "b" not in method.predict(rows)


def test_a_run_of_ones_own_trains_the_residual() -> None:
    rows, method = made(), PCBM(encoder="identity", penalty=1e-2, epochs=1)
    run = Run(seed=5)
    method.add_residual(method.fit(rows).model_, rows, None, run)
    assert run.stages == ["residual"]
    assert len(run.history) == 1
