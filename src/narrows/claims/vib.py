"""The claims of the deep variational information bottleneck, on Fashion-MNIST."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from narrows.baselines import BlackBox
from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.data import Dataset, Examples, load
from narrows.functional.attacks import fgsm
from narrows.functional.calibration import expected_calibration_error
from narrows.information import VIB
from narrows.method import Method
from narrows.model import NarrowModel
from narrows.train import isolated

PAPER = "Deep Variational Information Bottleneck (Alemi et al., ICLR 2017, arXiv 1612.00410)"

BETAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
EPSILON = 0.1  # of the attack, on pixels in [0, 1]

CLAIMS = (
    Claim(
        "error",
        "A priced code does not err more than dropout.",
        "points of error above dropout (beta 1e-3)",
        "-0.21 points (1.13 % against 1.34 %), MNIST",
        "at most",
        0.3,
        "no worse than dropout within 0.3 points",
    ),
    Claim(
        "robustness",
        "Robustness to FGSM grows with beta.",
        "points of accuracy under attack, beta 1e-2 above beta 0",
        "a figure; no number in the text",
        "at least",
        10.0,
        "a gain nobody could miss",
    ),
    Claim(
        "monotone",
        "It grows steadily up to beta 1e-2.",
        "smallest step of accuracy under attack between betas 0, 1e-4, 1e-3, 1e-2, in points",
        "a figure; no number in the text",
        "at least",
        -1.0,
        "no step back beyond a point of noise",
    ),
    Claim(
        "calibration",
        "A priced code is better calibrated.",
        "change of calibration error from beta 0 to 1e-2, in points",
        "stated without a number",
        "at most",
        0.0,
        "any improvement",
    ),
)


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; `gpu` uses the paper's network and schedule on all pictures."""
    if size == "full":
        why = "MNIST must be brought by the user; no loader runs in this size yet"
        return untested(CLAIMS, why)
    try:
        pictures = 10_000 if size == "small" else 50_000
        data = load("fashion_attributes", sizes=(pictures, 5_000, 10_000))
    except FileNotFoundError as error:
        return untested(CLAIMS, str(error))
    one_seed = partial(_one_seed, size, data)
    return over_seeds(one_seed, seeds, f"Fashion-MNIST, {pictures:,} training pictures", first=0)


def _one_seed(size: str, data: Dataset, seed: int, values: Any, rows: Any) -> None:
    fitted: dict[str, Method] = {f"VIB beta {b:g}": _vib(size, b, seed).fit(data) for b in BETAS}
    fitted["dropout"] = BlackBox(_encoder(seed, dropout=0.5), epochs=8, seed=seed).fit(data)
    fitted["black box"] = BlackBox(_encoder(seed), epochs=8, seed=seed).fit(data)
    measured = {name: _measure(method.model_, data.test) for name, method in fitted.items()}
    for name, numbers in measured.items():
        for key, value in numbers.items():
            if math.isfinite(value):  # without a prior there is no rate
                rows[name][key].append(value)
    rows["chance"]["accuracy"].append(1 / len(data.classes))
    attacked = [measured[f"VIB beta {b:g}"]["under attack"] for b in BETAS[:-1]]
    plain, priced = measured["VIB beta 0"], measured["VIB beta 0.01"]
    gap = measured["dropout"]["accuracy"] - measured["VIB beta 0.001"]["accuracy"]
    values["error"].append(100 * gap)
    values["robustness"].append(100 * (attacked[-1] - attacked[0]))
    steps = [b - a for a, b in pairwise(attacked)]
    values["monotone"].append(100 * min(steps))
    values["calibration"].append(100 * (priced["calibration error"] - plain["calibration error"]))


def _vib(size: str, beta: float, seed: int) -> VIB:
    if size == "small":
        return VIB(units=32, rate_weight=beta, encoder=_encoder(seed), epochs=8, seed=seed)
    return VIB(rate_weight=beta, encoder="paper", epochs=200, lr=1e-4, seed=seed, device="cuda")


def _encoder(seed: int, dropout: float = 0.0) -> nn.Module:
    with isolated(seed, "claim encoder"):
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU()]
        return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))


def _measure(model: NarrowModel, test: Examples) -> dict[str, float]:
    rows = torch.arange(len(test))
    x, y = test.x[rows], test.y
    attacked = fgsm(_logits(model), x, y, EPSILON, clamp=(0.0, 1.0))
    with torch.no_grad():
        output, under = model(x), model(attacked)
    probabilities = output.prediction.softmax(1)
    return {
        "accuracy": _share(output.prediction, y),
        "under attack": _share(under.prediction, y),
        "calibration error": expected_calibration_error(probabilities, y),
        "rate (nats)": float(output.reading.rate.mean()),
    }


def _logits(model: NarrowModel) -> Callable[[Tensor], Tensor]:
    return lambda x: model(x).prediction


def _share(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).float().mean())
