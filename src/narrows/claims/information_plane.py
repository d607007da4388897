"""The claims of the information plane, and the counter-claims, on a task of the paper's kind.

All patterns of twelve bits on a circle, and a rule that turning the circle does not change: how
often neighbours at distances 1, 2 and 3 are both set, weighed and cut at the median. The paper's
network 12-10-7-5-4-3-2, once with tanh and once with rectified units; all seeds train at once.
Estimates are of all 4,096 patterns, as in the paper.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.bit_networks import BATCH, BITS, RATE, TRAIN, task
from narrows.claims.shared.bit_networks import net as _net
from narrows.measure.watching import (
    FixedBins,
    InformationPlane,
    MixtureBounds,
    RangeBins,
    gradient_phases,
    knee,
    log_epochs,
)

PAPER = (
    "Opening the Black Box of Deep Neural Networks via Information "
    "(Shwartz-Ziv and Tishby, 2017, arXiv 1703.00810)"
)
_UNITS = ("tanh", "relu")
_DEEP = ("5", "7", "9")  # the three deepest hidden layers, after their non-linearity
_HIDDEN = ("1", "3", *_DEEP)
_EPOCHS = {"small": 4000, "gpu": 8000, "full": 10_000}
_TWO_BITS = "what nobody could take for noise: two of twelve bits"

CLAIMS = (
    Claim(
        "compression",
        "Layers compress: I(X;T) rises, then falls.",
        "bits of I(X;T) lost after its maximum, three deepest hidden layers, tanh, fixed bins",
        "a figure; the fall is clear for all but the first layers",
        "at least",
        2.0,
        _TWO_BITS,
    ),
    Claim(
        "most_epochs",
        "Most epochs go to compression.",
        "share of epochs after the maximum of I(X;T), the same layers",
        "the majority",
        "at least",
        0.5,
        "the majority",
    ),
    Claim(
        "fitting",
        "The layers keep what they need of the label.",
        "bits of I(T;Y) in the last hidden layer at the end, tanh, fixed bins",
        "near I(X;Y) = 0.99",
        "at least",
        0.8,
        "four fifths of the label's bit",
    ),
    Claim(
        "needs_saturation",
        "Counter-claim (Saxe et al. 2018): rectified units learn without compression.",
        "bits of I(X;T) lost after its maximum, the same layers, relu, noise bounds",
        "a figure: no compression",
        "at most",
        0.5,
        "a quarter of what counts as compression",
    ),
    Claim(
        "estimator",
        "Counter-claim (Saxe et al. 2018): nor does it come back with bins that follow the range.",
        "bits of I(X;T) lost after its maximum, the same layers, relu, bins over the range",
        "a figure: no compression",
        "at most",
        0.5,
        "a quarter of what counts as compression",
    ),
    Claim(
        "gradient_phases",
        "Gradients go from drift to diffusion early.",
        "epoch of the knee of the gradients' signal to noise, median of layers, tanh",
        "some hundreds of epochs",
        "at most",
        1000.0,
        "within the first quarter of training",
    ),
    Claim(
        "phases_without",
        "Counter-claim (Saxe et al. 2018): the gradients' phases need no compression.",
        "the same epoch with rectified units",
        "a figure: both phases, no compression",
        "at most",
        1000.0,
        "within the first quarter of training",
    ),
)


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; `gpu` and `full` train longer."""
    x, y = task()
    values: dict[str, list[float]] = defaultdict(list)
    rows: dict[str, dict[str, list[float]]] = {}
    for name in _UNITS:
        found = _Experiment(name, seeds, _EPOCHS[size], x, y).run()
        for estimator in ("bins", "range", "kde"):
            rows[f"{name}, {estimator}"] = _columns(found, estimator)
        knees = [value for value in found["knee"] if not math.isnan(value)]
        deep = _deep(rows[f"{name}, bins"])
        if name == "tanh":
            values["compression"] = deep
            values["most_epochs"] = rows["tanh, bins"]["share of epochs after the maximum"]
            values["fitting"] = rows["tanh, bins"]["final I(T;Y), layer 9"]
            values["gradient_phases"] = knees
        else:
            values["needs_saturation"] = _deep(rows["relu, kde"])
            values["estimator"] = _deep(rows["relu, range"])
            values["phases_without"] = knees
        rows[f"{name}, training"] = {"test accuracy": found["accuracy"], "knee of gradients": knees}
    data = f"all {2**BITS:,} patterns of {BITS} bits on a circle, a rule that turning leaves alone"
    return Evidence(values, rows, f"{data}; {_EPOCHS[size]:,} epochs")


class _Experiment:
    """One kind of unit, all seeds at once."""

    def __init__(self, units: str, seeds: int, epochs: int, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.seeds, self.epochs = x, y, seeds, epochs
        self.models = [_net(units, seed) for seed in range(seeds)]
        states, _ = stack_module_state(self.models)
        self.state = {k: v.detach().requires_grad_() for k, v in states.items()}
        empty = copy.deepcopy(self.models[0]).to("meta")

        def loss(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(functional_call(empty, state, (x,)), y)

        self.loss: Callable[..., Tensor] = vmap(loss)
        self.bins = [self._plane(m, {"bins": FixedBins(30), "range": RangeBins()})
                     for m in self.models]  # fmt: skip
        self.kde = [self._plane(m, {"kde": MixtureBounds(1e-3)}) for m in self.models]
        self.snr: list[dict[str, list[float]]] = [defaultdict(list) for _ in self.models]
        self.noted: list[int] = []

    def run(self) -> dict[str, Any]:
        often = set(log_epochs(50, self.epochs))
        seldom = set(log_epochs(14, self.epochs))
        source = torch.Generator().manual_seed(0)
        order = torch.rand(self.seeds, len(self.x), generator=source).argsort(1)
        train, test = order[:, :TRAIN], order[:, TRAIN:]
        parameters = list(self.state.values())
        optimizer = torch.optim.Adam(parameters, lr=RATE)
        for epoch in range(self.epochs + 1):
            if epoch in often:
                self._look(epoch, epoch in seldom, train)
            if epoch == self.epochs:
                break
            shuffled = torch.rand(self.seeds, TRAIN, generator=source).argsort(1)
            for rows in train.gather(1, shuffled).split(BATCH, 1):
                total = self.loss(self.state, self.x[rows], self.y[rows]).sum()
                for p, g in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
                    p.grad = g
                optimizer.step()
        right = [
            m(self.x[r]).argmax(1) == self.y[r] for m, r in zip(self.models, test, strict=True)
        ]
        return {
            "planes": list(zip(self.bins, self.kde, strict=True)),
            "accuracy": [float(r.double().mean()) for r in right],
            "knee": [self._knee(snr) for snr in self.snr],
        }

    def _plane(self, model: nn.Module, estimators: Any) -> InformationPlane:
        return InformationPlane(model, self.x, self.y, _HIDDEN, estimators, unit="bits")

    def _look(self, epoch: int, all_of_it: bool, train: Tensor) -> None:
        for i, model in enumerate(self.models):
            model.load_state_dict({k: v[i].detach() for k, v in self.state.items()})
            batches = [(self.x[rows], self.y[rows]) for rows in train[i].split(BATCH)]
            for name, phase in gradient_phases(model, batches).items():
                self.snr[i][name].append(phase.snr)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*at its ceiling")  # all layers start there
                self.bins[i].snapshot(epoch)
                if all_of_it:
                    self.kde[i].snapshot(epoch)
        self.noted.append(epoch)

    def _knee(self, snr: dict[str, list[float]]) -> float:
        """The median over layers; NaN where no layer has a gradient throughout.

        Rectified units can all be dead, and then nothing before or behind them has a gradient.
        """
        alive = [values for values in snr.values() if all(0 < v < math.inf for v in values)]
        found = sorted(knee(self.noted, values) for values in alive)
        return float(found[len(found) // 2]) if found else math.nan


def _columns(found: dict[str, Any], estimator: str) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = defaultdict(list)
    for planes in found["planes"]:
        falls = {f.layer: f for plane in planes for f in plane.compression()
                 if f.estimator == estimator}  # fmt: skip
        for layer in _HIDDEN:
            columns[f"lost I(X;T), layer {layer}"].append(falls[layer].loss)
        shares = [falls[layer].share for layer in _DEEP]
        columns["share of epochs after the maximum"].append(sum(shares) / len(shares))
        columns["final I(T;Y), layer 9"].append(falls["9"].ty)
    return dict(columns)


def _deep(columns: dict[str, list[float]]) -> list[float]:
    """Bits lost in the three deepest hidden layers, their mean for each seed."""
    lost = [columns[f"lost I(X;T), layer {layer}"] for layer in _DEEP]
    return [sum(seed) / len(seed) for seed in zip(*lost, strict=True)]
