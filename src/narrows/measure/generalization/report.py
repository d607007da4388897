"""How much of its input each layer of a trained net keeps, and how sure that number is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.layer_features import each, features_of, rows_and_labels
from narrows.measure.generalization.noise import (
    NoiseChoice,
    choose_noise,
    given_noise,
    linear_noise,
)
from narrows.measure.generalization.report_result import BottleneckReport, LayerBottleneck
from narrows.measure.generalization.sandwich import classes_of, sandwich_mi
from narrows.measure.generalization.sensitivity import sensitivity

Noise = str | float | Mapping[str, float]


def bottleneck_report(
    model: nn.Module,
    train: Any,
    layers: str | Sequence[str] = "all",
    noise: Noise = "auto",
    conditional: bool = True,
    ref: int = 400,
    *,
    form: str = "marginal",
    points: int = 2000,
    per_class: int = 1000,
    base: float = 1.0,
    seed: int = 0,
    units: str = "nats",
) -> BottleneckReport:
    """I(X; Z) and I(X; Z | Y) of layers, Z the layer's output and imagined normal noise.

    The paper's protocol (Kawaguchi et al., ICML 2023): 2,000 rows against 400 references, 1,000
    rows a class where the label is given. For layers that have noise of their own, hand their
    means and deviations to `sandwich_mi`.

    Args:
        model: any module; it stays as it is, and is looked at in evaluation mode.
        train: `Examples`, a pair of inputs and labels, or inputs alone.
        layers: names, patterns or `"all"`, from the input to the output.
        noise: `"auto"` (see `choose_noise`), `"linear"` (s^2 = base times the layer's largest
            activation), one deviation for all layers, or layer to deviation.
        conditional: also given the label.
        ref: reference rows, M.
        form: marginal or jensen, see `sandwich_mi`.
        points: rows for I(X; Z).
        per_class: rows of each class for I(X; Z | Y).
        base: of linear noise, in the activations' unit.
        seed: of rows, references and noise.
        units: nats or bits.

    Memory: the layers' features of the rows looked at, `(points + classes x per_class) d`.

    Raises:
        UnknownName: no such layer, form or rule of noise; a layer without a deviation.
        InvalidInput: a class with fewer than 2 rows, activations that are not finite, no labels
            where they are needed, fewer than 2 rows.
        InvalidType: `train` of another type.

    Example:
        >>> source = torch.Generator().manual_seed(0)
        >>> x = torch.randn(200, 3, generator=source)
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> report = bottleneck_report(model, (x, x[:, 0] > 0), ["1", "2"], noise=0.5)
        >>> report["1"].noise, round(report["1"].xz.ceiling, 2)
        (0.5, 5.3)
    """
    x, y = rows_and_labels(train)
    if conditional and y is None:
        raise wrong("train", "inputs alone", "labels too, or conditional=False")
    for name, value in (("points", points), ("per_class", per_class)):
        if value < 2:
            raise wrong(name, value, "2 rows or more")
    generator = own_source(seed)
    whole = next(each([torch.arange(len(x))], points, generator))
    classes = classes_of(y, len(x)) if conditional else []
    parts = list(each(classes, per_class, generator))
    rows, place = torch.cat([whole, *parts]).unique(return_inverse=True)
    features = features_of(model, x, layers, rows)
    at = place.split([len(part) for part in (whole, *parts)])
    overall = {layer: t[at[0]] for layer, t in features.items()}
    # a class's share is that of all its rows, not of those looked at
    shares = [len(rows) / len(x) for rows in classes]
    labels = torch.repeat_interleave(torch.tensor([len(part) for part in parts], dtype=torch.int64))
    found = []
    for layer, chosen in _noise(overall, noise, base, form, ref, seed).items():
        given = [features[layer][of] for of in at[1:]]
        within = None
        if conditional:
            within = sandwich_mi(
                torch.cat(given), chosen.deviation, labels, shares=shares,
                form=form, ref=ref, seed=seed,
            ).to(units)  # fmt: skip
        found.append(
            LayerBottleneck(
                layer,
                overall[layer].shape[1],
                chosen.deviation,
                chosen.ordered,
                chosen.information.to(units),
                within,
                sensitivity(given or [overall[layer]], chosen.deviation, ref=ref, seed=seed),
            )
        )
    rule = noise if isinstance(noise, str) else "given"
    return BottleneckReport(tuple(found), len(x), max(1, len(classes)), rule)


def _noise(
    features: Mapping[str, Tensor], noise: Any, base: float, form: str, ref: int, seed: int
) -> dict[str, NoiseChoice]:
    if noise == "auto":
        return choose_noise(features, form=form, ref=ref, seed=seed)
    if noise == "linear":
        deviations = linear_noise(features, base)
    elif isinstance(noise, str):
        raise unknown("noise", noise, ("auto", "linear"))
    elif isinstance(noise, Mapping):
        for layer in features:
            if layer not in noise:
                raise unknown("layer of noise", layer, noise)
        deviations = {layer: float(noise[layer]) for layer in features}
    elif isinstance(noise, (int, float)):
        deviations = dict.fromkeys(features, float(noise))
    else:
        found = type(noise).__name__
        raise wrong_type("noise", found, "a rule's name, a deviation, or layer to deviation")
    return given_noise(features, deviations, form=form, ref=ref, seed=seed)
