"""A small autoencoder as a compressor, for variables on a bent surface of few dimensions.

The shapes are those of Butakov et al. (2024) for pictures: convolutions of 8, 16 and 32 channels,
each halved by pooling, a layer of 128, then k numbers in (0, 1); back through 128, a grid of 32
channels at a quarter of the size and convolutions of 16, 8 and as many channels as there were,
doubled in between; absolute errors are minimised. Flat rows go through two hidden layers each way.

Whoever learns from the rows that are measured later may store them one by one: hand over others.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.errors import NarrowsError, wrong
from narrows.measure.mi.compression.compressor import Floats, flat_rows, rows_to_learn
from narrows.train.randomness import generator, isolated

LOSSES = {"l1": nn.functional.l1_loss, "l2": nn.functional.mse_loss}
_PASS = 1024  # rows a pass when nothing is learned


@dataclasses.dataclass(frozen=True)
class AutoencoderCompressor:
    """What an encoder and a decoder make of k numbers.

    Time: starts x epochs x rows x three passes. Memory: the rows in float32, the networks, and one
    batch's activations.

    Args:
        k: coordinates.
        shape: `(channels, height, width)` of pictures, for convolutions; None for flat rows.
        hidden: width of the dense layers.
        epochs: passes over the rows.
        rate: of Adam, falling to 0 as a cosine.
        batch: rows a step.
        loss: `l1`, absolute errors as in the paper, or `l2`.
        seed: of the first weights and the order of rows.
        starts: how many trainings; the one that loses least on its own rows is kept. A training
            may leave a coordinate unused, and then nothing downstream can make up for it.

    Raises:
        InvalidInput: settings out of range; k above the number of columns, rows that do not fit
            the shape, no more than k rows or rows all alike (in `fit`).
        NarrowsError: training that left the finite numbers.

    Example:
        >>> rows = np.random.default_rng(0).random((64, 5))
        >>> fitted = AutoencoderCompressor(2, hidden=8, epochs=2).fit(rows)
        >>> fitted.encode(rows).shape, fitted.decode(fitted.encode(rows)).shape
        ((64, 2), (64, 5))
    """

    k: int = 4
    shape: tuple[int, int, int] | None = None
    hidden: int = 128
    epochs: int = 200
    rate: float = 1e-3
    batch: int = 256
    loss: str = "l1"
    seed: int = 0
    starts: int = 1

    def __post_init__(self) -> None:
        for name in ("k", "hidden", "epochs", "batch", "starts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise wrong(name, repr(value), "a whole number, 1 or more")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise wrong("rate", self.rate, "a positive number")
        if self.loss not in LOSSES:
            raise wrong("loss", repr(self.loss), "'l1' or 'l2'")
        if self.shape is not None and (len(self.shape) != 3 or min(self.shape[1:]) < 8):
            raise wrong("shape", self.shape, "(channels, height, width), 8 pixels a side or more")

    @property
    def in_sample(self) -> bool:
        """No: it could store the rows it learns from."""
        return False

    def fit(self, x: Any) -> FittedAutoencoder:
        """Learn from `(N, ...)` rows, other than those to be measured."""
        rows = rows_to_learn(x, self.k)
        d = rows.shape[1]
        if self.shape is not None and math.prod(self.shape) != d:
            raise wrong("x", f"{d} columns", f"the {math.prod(self.shape)} of shape {self.shape}")
        mean, size = rows.mean(0), float(rows.std())
        values = torch.from_numpy((rows - mean) / size).float()
        found = []
        for start in range(self.starts):
            with isolated(self.seed, "autoencoder", start):
                encoder, decoder = _networks(d, self.k, self.hidden, self.shape)
            lost = self._train(nn.Sequential(encoder, decoder), values, start)
            found.append(
                FittedAutoencoder(self.k, mean, size, encoder.eval(), decoder.eval(), lost)
            )
        return min(found, key=lambda one: one.loss)

    def _train(self, both: nn.Module, values: Tensor, start: int) -> float:
        """The mean loss of the last pass."""
        optimizer = torch.optim.Adam(both.parameters(), lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        source, lost = generator(self.seed, "order of rows", start), 0.0
        with torch.enable_grad():
            for _ in range(self.epochs):
                total = torch.zeros(())
                for rows in torch.randperm(len(values), generator=source).split(self.batch):
                    batch = values[rows]
                    loss = LOSSES[self.loss](both(batch), batch)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total += loss.detach() * len(rows)
                schedule.step()
                lost = float(total) / len(values)
                if not math.isfinite(lost):
                    raise NarrowsError(
                        "autoencoder: found a loss that is not finite, wanted a lower rate"
                    )
        return lost


@dataclasses.dataclass(frozen=True, eq=False)
class FittedAutoencoder:
    """An autoencoder that was trained.

    Attributes:
        k: coordinates.
        mean: `(d,)` of the rows it learned from.
        size: their deviation, one for all columns.
        encoder: from standardised rows `(N, d)` to `(N, k)`.
        decoder: back.
        loss: mean of the last pass, on standardised rows.
    """

    k: int
    mean: Floats
    size: float
    encoder: nn.Module
    decoder: nn.Module
    loss: float

    def encode(self, x: Any) -> Floats:
        """`(N, k)` coordinates in (0, 1)."""
        rows = flat_rows("x", x)
        if rows.shape[1] != len(self.mean):
            raise wrong("x", f"{rows.shape[1]} columns", f"the {len(self.mean)} it was fitted on")
        return _through(self.encoder, (rows - self.mean) / self.size)

    def decode(self, codes: Floats) -> Floats:
        """`(N, d)` rows again."""
        return _through(self.decoder, codes) * self.size + self.mean

    def __repr__(self) -> str:
        return f"FittedAutoencoder({len(self.mean)} columns to {self.k}, loss {self.loss:.3g})"


def _through(network: nn.Module, rows: Floats) -> Floats:
    with torch.no_grad():
        parts = [network(part) for part in torch.from_numpy(rows).float().split(_PASS)]
    return np.asarray(torch.cat(parts).double().numpy())


def _networks(
    d: int, k: int, hidden: int, shape: tuple[int, int, int] | None
) -> tuple[nn.Sequential, nn.Sequential]:
    if shape is None:
        return (
            nn.Sequential(*_dense(d, hidden), *_dense(hidden, hidden), nn.Linear(hidden, k),
                          nn.Sigmoid()),
            nn.Sequential(*_dense(k, hidden), *_dense(hidden, hidden), nn.Linear(hidden, d)),
        )  # fmt: skip
    channels, height, width = shape
    small, grid = (height // 8) * (width // 8), (-(-height // 4), -(-width // 4))
    encoder = nn.Sequential(
        nn.Unflatten(1, shape),
        *_halved(channels, 8), *_halved(8, 16), *_halved(16, 32),
        nn.Flatten(), *_dense(32 * small, hidden), nn.Linear(hidden, k), nn.Sigmoid(),
    )  # fmt: skip
    decoder = nn.Sequential(
        *_dense(k, hidden), *_dense(hidden, 32 * grid[0] * grid[1]),
        nn.Unflatten(1, (32, *grid)),
        nn.Conv2d(32, 16, 3, padding=1), nn.LeakyReLU(),
        nn.Upsample(size=(-(-height // 2), -(-width // 2))),
        nn.Conv2d(16, 8, 3, padding=1), nn.LeakyReLU(),
        nn.Upsample(size=(height, width)),
        nn.Conv2d(8, channels, 3, padding=1), nn.Flatten(),
    )  # fmt: skip
    return encoder, decoder


def _dense(a: int, b: int) -> list[nn.Module]:
    return [nn.Linear(a, b), nn.LeakyReLU()]


def _halved(a: int, b: int) -> list[nn.Module]:
    return [nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(), nn.MaxPool2d(2)]
