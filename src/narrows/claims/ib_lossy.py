"""The claims of compress-then-estimate: pictures of known information, and a convnet's layers.

Blobs of 32 x 32 pixels, 3,000 pairs of 0 to 8 nats; compressors learn from 4,000 other blobs, and
of three autoencoders the one that loses least on these is kept. The uncompressed peers see the
pairs averaged to 8 x 8 pixels (neighbours) and 4 x 4 (MINE): both sizes still show the centre in
full, and more pixels only cost time.

The convnet is the paper's, with noise of deviation 0.01 before every layer with weights, on 6,000
Fashion-MNIST pictures by Adam at 1e-3 for 30 epochs; 15 snapshots on 4,000 other pictures. X goes
through an autoencoder of 4 numbers that learned from the training pictures, layers through 4
principal components, fitted anew at each snapshot.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import Rows, Values, over_seeds
from narrows.data import load
from narrows.errors import NarrowsError
from narrows.measure.geometry import find_phases
from narrows.measure.geometry.phases import Phase
from narrows.measure.mi import mutual_information
from narrows.measure.mi.compression import (
    AutoencoderCompressor,
    CompressedMI,
    FittedCompressor,
    PCACompressor,
    compressed_mi,
)
from narrows.measure.mi.known.images import SIDE, blob, pictures
from narrows.measure.watching import NoisyLayers, log_epochs, watch
from narrows.train.randomness import generator, isolated

PAPER = (
    "Information Bottleneck Analysis of Deep Neural Networks via Lossy Compression "
    "(Butakov et al., ICLR 2024, arXiv 2305.08013)"
)
_LAYERS = {"3": "conv 1", "7": "conv 2", "11": "conv 3", "14": "dense 1", "15": "dense 2"}
_NATS = tuple(float(nats) for nats in range(9))
_STRAIGHT = 5.0  # nats up to which a straight line is asked for
_PEERS = (1.0, 3.0, 5.0)  # where the slow uncompressed estimators are looked at
_SIZES = {"small": (6000, 4000, 30), "gpu": (50_000, 10_000, 300), "full": (50_000, 10_000, 300)}
_KSG, _MINE = "KSG, 8 x 8 pixels", "MINE, 4 x 4 pixels"
_PAIRS, _LEARNED, _SNAPSHOTS, _BATCH, _SIGMA = 3000, 4000, 15, 128, 1e-2

CLAIMS = (
    Claim(
        "autoencoder",
        "Compress, then estimate, recovers the known information of pictures: autoencoder.",
        "distance from 1 of the slope of estimate on truth, 0 to 5 nats",
        "follows the diagonal, 0 to 10 nats",
        "at most",
        0.1,
        "a slope within 10 %",
    ),
    Claim(
        "components",
        "The same with principal components.",
        "distance from 1 of the slope of estimate on truth, 0 to 5 nats, 2 components",
        "follows the diagonal, 0 to 10 nats",
        "at most",
        0.1,
        "a slope within 10 %",
    ),
    Claim(
        "bound",
        "What compressed pictures tell of each other is a lower bound.",
        "largest excess over the truth in standard errors, both compressors, 0 to 8 nats",
        "a theorem",
        "at most",
        3.0,
        "an excess that the estimator's error explains",
    ),
    Claim(
        "raw",
        "Nearest neighbours of uncompressed pictures are far off.",
        "relative error of KSG on pixels, mean of 1, 3 and 5 nats",
        "neighbours die above about 10 columns",
        "at least",
        0.5,
        "half of the value",
    ),
    Claim(
        "mine",
        "The error is less than that of MINE on as many pictures.",
        "error of MINE on pixels less that of the autoencoder, mean of 1, 3 and 5 nats",
        "a figure: MINE is worse",
        "at least",
        0.0,
        "any",
    ),
    Claim(
        "label",
        "The layers of a convnet come to know the label.",
        "nats of I(L;Y) in the last layer at the end, 10 classes",
        "rises to about log 10 = 2.30 (MNIST)",
        "at least",
        0.9 * math.log(10),
        "nine tenths of log 10",
    ),
    Claim(
        "phases",
        "I(X;L) goes through several phases of fitting and compression.",
        "rises and falls of I(X;L), each by more than 2 standard errors, mean of the layers",
        "a figure: several",
        "at least",
        2.0,
        "one rise and one fall",
    ),
    Claim(
        "loss_drop",
        "The first compression goes with the fast drop of the loss.",
        "share of the loss's whole fall that lies within the first fall of I(X;L), mean of the "
        "layers, 0 for one without",
        "a figure",
        "at least",
        0.5,
        "most of the drop",
    ),
)


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; `gpu` and `full` train on all of Fashion-MNIST."""
    train, test, epochs = _SIZES[size]
    told = f"blobs of {SIDE} x {SIDE} pixels, {_PAIRS:,} pairs"
    try:
        data = load("fashion_attributes", sizes=(train, 1, test))
    except NarrowsError as error:
        missing = dict.fromkeys(("label", "phases", "loss_drop"), str(error))
        return dataclasses.replace(over_seeds(_blobs, seeds, told), reasons=missing)

    def one_seed(seed: int, values: Any, rows: Any) -> None:
        _blobs(seed, values, rows)
        _network(seed, values, rows, data, epochs)

    told += f"; {train:,} pictures of Fashion-MNIST, {epochs} epochs"
    return over_seeds(one_seed, seeds, told)


def _blobs(seed: int, values: Values, rows: Rows) -> None:
    others = blob(np.random.default_rng([seed, 1]).random((_LEARNED, 2)))
    settings: dict[str, Any] = {"hidden": 64, "epochs": 60, "rate": 1e-2, "loss": "l2", "starts": 3}
    learner = AutoencoderCompressor(2, batch=_BATCH, seed=seed, **settings)
    fitted: dict[str, FittedCompressor] = {"PCA": PCACompressor(2).fit(others)}
    fitted["AE"] = learner.fit(others)
    found: dict[str, dict[float, CompressedMI]] = defaultdict(dict)
    short: dict[str, Any] = {"width": 64, "steps": 1500, "seeds": 2, "seed": seed}  # for MINE
    for nats in _NATS:
        x, y = pictures("blobs", blob, 2, nats).sample(_PAIRS, seed)
        row = rows[f"blobs, {nats:g} nats"]
        for name, c in fitted.items():
            for more, way in _WAYS.items():
                one = compressed_mi(x, y, compress_x=c, compress_y=c, **way)
                found[name + more][nats] = one
                row[name + more].append(one.value)
        if nats in _PEERS:
            row[_KSG].append(mutual_information(_pooled(x, 8), _pooled(y, 8), "ksg").value)
            mine = mutual_information(_pooled(x, 4), _pooled(y, 4), "mine", **short)
            row[_MINE].append(mine.value)
    values["autoencoder"].append(_slope_error(found["AE"]))
    values["components"].append(_slope_error(found["PCA"]))
    own = [(nats, one) for name in fitted for nats, one in found[name].items()]
    values["bound"].append(max((one.value - nats) / one.stderr for nats, one in own))
    errors = {
        name: {n: abs(rows[f"blobs, {n:g} nats"][name][-1] - n) for n in _PEERS}
        for name in (_KSG, _MINE, "AE")
    }
    values["raw"].append(_mean(error / n for n, error in errors[_KSG].items()))
    values["mine"].append(_mean(errors[_MINE].values()) - _mean(errors["AE"].values()))
    for name in fitted:
        lost = found[name][0.0].reconstruction_error
        rows["blobs, share of variance lost"][name].append(lost["x"])


_WAYS: dict[str, dict[str, Any]] = {
    "": {},
    ", normal margins": {"normal_margins": True},
    ", KSG": {"estimator": "ksg"},
}


def _pooled(x: Any, side: int) -> Any:
    """`(N, side^2)` averages of squares of pixels."""
    of = SIDE // side
    return x.reshape(-1, side, of, side, of).mean((2, 4)).reshape(len(x), -1)


def _slope_error(found: Mapping[float, CompressedMI]) -> float:
    nats = [one for one in found if one <= _STRAIGHT]
    return abs(float(np.polyfit(nats, [found[one].value for one in nats], 1)[0]) - 1)


def network(seed: int) -> nn.Sequential:
    """The paper's convnet for 28 x 28 pixels.

    Example:
        >>> network(0)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    with isolated(seed, "convnet"):
        blocks: list[nn.Module] = []
        for a, b in itertools.pairwise((1, 8, 16, 32)):
            blocks += [nn.Dropout(0.1), nn.Conv2d(a, b, 3), nn.MaxPool2d(2), nn.LeakyReLU()]
        dense = [nn.Flatten(), nn.Linear(32, 32), nn.LeakyReLU(), nn.Linear(32, 10)]
        return nn.Sequential(*blocks, *dense)


def _network(seed: int, values: Values, rows: Rows, data: Any, epochs: int) -> None:
    model, source = network(seed), generator(seed, "training")
    learner = AutoencoderCompressor(4, hidden=128, epochs=20, batch=_BATCH, loss="l2", seed=seed)
    codes = learner.fit(data.train.x).encode(data.test.x)
    at = log_epochs(_SNAPSHOTS, epochs)
    seen = []
    with NoisyLayers(model, sigma=_SIGMA, generator=source), isolated(seed, "dropout"):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for epoch in range(epochs + 1):
            if epoch in at:
                seen.append(_snapshot(model, data.test, codes, epoch, rows))
            if epoch < epochs:
                _epoch(model, optimizer, data.train, source)
        final = _outputs(model, data.test.x)
    legs = {name: phases(at, [of[name] for _, of in seen]) for name in _LAYERS}
    losses = {epoch: loss for epoch, (loss, _) in zip(at, seen, strict=True)}
    for name, layer in _LAYERS.items():
        row = rows[f"network, {layer}"]
        _labels(seed, row, final[name], data.test.y)
        row["standard error of I(X;L)"].append(seen[-1][1][name].stderr)
        row["phases"].append(float(len(legs[name])))
    right = float((final["15"].argmax(1) == data.test.y).double().mean())
    rows["network, dense 2"]["test accuracy"].append(right)
    values["label"].append(rows["network, dense 2"]["I(L;Y) at the end"][-1])
    values["phases"].append(_mean(len(own) for own in legs.values()))
    values["loss_drop"].append(_mean(within_first_fall(own, losses) for own in legs.values()))


def _snapshot(
    model: nn.Module, test: Any, codes: Any, epoch: int, rows: Rows
) -> tuple[float, dict[str, CompressedMI]]:
    """The loss, and I(X;L) of each layer."""
    outputs, found = _outputs(model, test.x), {}
    for name, layer in _LAYERS.items():
        found[name] = compressed_mi(codes, outputs[name], compress_y=PCACompressor(4))
        rows[f"network, I(X;L) at epoch {epoch}"][layer].append(found[name].value)
    loss = float(nn.functional.cross_entropy(outputs["15"], test.y))
    rows[f"network, I(X;L) at epoch {epoch}"]["loss"].append(loss)
    return loss, found


def _outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    model.eval()
    with torch.no_grad(), watch(model, list(_LAYERS)) as seen:
        model(x.to(memory_format=torch.channels_last))
    return {name: t.flatten(1).contiguous() for name, t in seen.items()}


def _epoch(model: nn.Module, optimizer: Any, train: Any, source: torch.Generator) -> None:
    model.train()
    for rows in torch.randperm(len(train.y), generator=source).split(_BATCH):
        batch = train.x[rows].to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), train.y[rows]).backward()
        optimizer.step()


def _labels(seed: int, row: dict[str, list[float]], t: Tensor, y: Tensor) -> None:
    dealt = y[torch.randperm(len(y), generator=generator(seed, "labels by chance"))]
    for column, labels in (("I(L;Y) at the end", y), ("I(L;Y) by chance", dealt)):
        found = compressed_mi(t, labels, compress_x=PCACompressor(4), y_kind="discrete")
        row[column].append(found.value)


def phases(epochs: Sequence[int], course: Sequence[CompressedMI]) -> tuple[Phase, ...]:
    """Rises and falls of a course, each by more than 2 standard errors of a difference."""
    band = 2 * math.sqrt(2) * max(one.stderr for one in course)
    # `find_phases` wants a share of a positive value: here a tenth of the logarithm is the band.
    return find_phases(epochs, [math.exp(one.value / band / 10) for one in course], math.expm1(0.1))


def within_first_fall(legs: Sequence[Phase], losses: Mapping[int, float]) -> float:
    """Share of the loss's fall over all epochs that lies in the first fall; 0 without one."""
    first = next((leg for leg in legs if leg.after < leg.before), None)
    whole = losses[min(losses)] - losses[max(losses)]
    if first is None or whole <= 0:
        return 0.0
    return (losses[int(first.start)] - losses[int(first.end)]) / whole


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
