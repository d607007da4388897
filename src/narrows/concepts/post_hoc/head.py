"""The sparse linear head of a post-hoc concept bottleneck, and its residual."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from narrows.concepts.post_hoc.layer import ConceptProjection
from narrows.data.record import Examples
from narrows.functional.losses import label_loss
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.train import Run, fit_stage
from narrows.train.steps import enough_epochs, features_of, written

PENALTIES = (2e-4, 1e-5)  # the paper's: CUB's, and the default of its code
_STEPS, _MEMORY, _SHARE = 3000, 20, 0.02  # of L-BFGS-B
_RATE, _DECAY = 0.01, 1e-3  # of the residual


@torch.no_grad()
def choose_head(
    model: NarrowModel,
    train: Examples,
    val: Examples | None,
    penalty: float | None,
    l1_ratio: float,
) -> None:
    """Set the linear head to the optimum of its elastic net.

    Where no penalty is given it is the one of `PENALTIES` with the lowest validation loss, or
    the strongest without validation rows.
    """
    z, classes = written(model, train), len(model.classes)
    held = (written(model, val), val.y) if val is not None and penalty is None else None
    chosen = PENALTIES if penalty is None else (penalty,)
    best: tuple[float, Tensor, Tensor] | None = None
    for value in chosen if held is not None else chosen[:1]:
        weight, bias = sparse_softmax(z, train.y, classes, value, l1_ratio)
        loss = 0.0
        if held is not None:
            loss = float(cross_entropy(held[0].double() @ weight.T + bias, held[1]))
        if best is None or loss < best[0]:
            best = (loss, weight, bias)
    head: LinearHead = model.head  # type: ignore[assignment]  # a PCBM's head is linear
    if best is not None:
        head.weight.copy_(best[1])
        head.bias.copy_(best[2])


def sparse_softmax(
    z: Tensor, y: Tensor, classes: int, penalty: float, l1_ratio: float
) -> tuple[Tensor, Tensor]:
    """The elastic net's weight `(classes, k)`, with exact zeros, and bias `(classes,)`.

        min  mean cross-entropy + penalty (l1_ratio |W|_1 + (1 - l1_ratio) |W|^2 / 2)

    With `W = P - Q`, both at least 0, the objective is smooth and the zeros are bounds, which
    L-BFGS-B takes exactly; it stops when no gradient is above a fiftieth of the penalty. A class
    without examples gets a bias that never wins.

    Memory: `z` in float64, about six arrays of `n` times the classes.
    """
    from scipy.optimize import minimize

    counts = torch.bincount(y.cpu(), minlength=classes)
    seen = counts.nonzero().flatten()
    x, ids = z.double().cpu(), torch.searchsorted(seen, y.cpu())
    (n, k), c = x.shape, len(seen)
    thrust, pull = penalty * l1_ratio, penalty * (1 - l1_ratio)

    def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
        parts, bias = torch.from_numpy(v[: 2 * c * k]).view(2, c, k), torch.from_numpy(v[-c:])
        weight = parts[0] - parts[1]
        log_p = torch.addmm(bias, x, weight.T).log_softmax(1)
        rows = torch.arange(n)
        loss = -log_p[rows, ids].mean() + thrust * parts.sum() + pull / 2 * weight.square().sum()
        off = log_p.exp_()
        off[rows, ids] -= 1
        slope = off.T @ x / n + pull * weight
        return float(loss), torch.cat(
            [(thrust + slope).flatten(), (thrust - slope).flatten(), off.mean(0)]
        ).numpy()

    start = np.zeros(2 * c * k + c)
    shares = (counts[seen].double() / n).log()
    start[-c:] = shares - shares.mean()
    bounds = [(0.0, None)] * (2 * c * k) + [(None, None)] * c
    limits = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "maxcor": _MEMORY, "ftol": 1e-13}
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=limits | {"gtol": max(_SHARE * penalty, 1e-7)},
    )
    v = torch.from_numpy(found.x)
    parts = v[: 2 * c * k].view(2, c, k)
    never = float(v[-c:].min()) - math.log(2 * n)
    weight = x.new_zeros(classes, k).index_copy(0, seen, parts[0] - parts[1])
    bias = x.new_full((classes,), never).index_copy(0, seen, v[-c:])
    return weight.to(z.device), bias.to(z.device)


def fit_residual(
    model: NarrowModel,
    train: Examples,
    val: Examples | None,
    run: Run,
    epochs: int | None,
    batch_size: int,
) -> NarrowModel:
    """PCBM-h: a linear model of the features added to the logits of a PCBM, which stays fixed.

    The residual's logits become units beside the concepts, and the head adds them to its own:
    `[W, I]`. It starts at zero, where PCBM-h is PCBM.
    """
    plain: ConceptProjection = model.bottleneck  # type: ignore[assignment]  # the caller checked
    classes, k = len(model.classes), plain.concepts
    residual = nn.Linear(plain.linear.in_features, classes).to(run.device)
    nn.init.zeros_(residual.weight)
    nn.init.zeros_(residual.bias)

    def columns(rows: Examples) -> dict[str, Tensor]:
        base = features_of(model, rows, lambda h: model.head(plain.write(plain.read(h))))
        return {"h": features_of(model, rows, plain.compared), "base": base, "y": rows.y}

    def loss(batch: dict[str, Tensor]) -> Tensor:
        label = label_loss(batch["base"] + residual(batch["h"]), batch["y"])
        return label + _DECAY * residual.weight.square().mean()

    def validate(held: dict[str, Tensor]) -> float:
        logits = held["base"] + residual(held["h"])
        return float((logits.argmax(1) == held["y"]).float().mean())

    held = None if val is None else {k: v.to(run.device) for k, v in columns(val).items()}
    fit_stage(
        run,
        "residual",
        residual,
        loss,
        columns(train),
        torch.optim.Adam(residual.parameters(), _RATE),
        epochs=enough_epochs(epochs, len(train), batch_size),
        batch_size=batch_size,
        validate=None if held is None else partial(validate, held),
    )
    layer = ConceptProjection(
        plain.linear.in_features, plain.names, plain.groups, classes, plain.unit_norm
    )
    head = LinearHead(k + classes, classes)
    residual.to(plain.linear.weight.device)
    with torch.no_grad():
        for name in ("low", "high", "gain", "offset"):
            getattr(layer, name).copy_(getattr(plain, name))
        layer.linear.weight.copy_(torch.cat([plain.linear.weight, residual.weight]))
        layer.linear.bias.copy_(torch.cat([plain.linear.bias, residual.bias]))
        own: LinearHead = model.head  # type: ignore[assignment]  # a PCBM's head is linear
        head.weight.copy_(torch.cat([own.weight, torch.eye(classes).to(own.weight)], 1))
        head.bias.copy_(own.bias)
    parts = layer.to(own.weight.device), head.to(own.weight.device)
    return NarrowModel(model.encoder, *parts, model.classes, model.input_shape)
