"""The random bottleneck: units that mean nothing. What a narrow place must beat.

At enough units, random unit vectors match any set of concepts in accuracy (observed for concept
models by Srivastava, Yan and Weng, 2024, arXiv 2408.01432), so every table shows this row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.baselines.black_box import train_black_box
from narrows.bottleneck import Bottleneck, IdentityBottleneck
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.errors import wrong
from narrows.heads import LinearHead
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.reading import Reading
from narrows.registry import MethodInfo
from narrows.train import Run
from narrows.train.steps import solve_head, written


class RandomProjection(Bottleneck):
    """Fixed random unit vectors; units are the projections of the features on them.

    Example:
        >>> layer = RandomProjection(8, 3)
        >>> bool(((layer.directions.norm(dim=1) - 1).abs() < 1e-6).all())
        True
    """

    directions: Tensor

    def __init__(self, features: int, units: int) -> None:
        super().__init__([f"random {i}" for i in range(units)])
        drawn = torch.randn(units, features)
        self.register_buffer("directions", nn.functional.normalize(drawn, dim=1))

    def read(self, h: Tensor) -> Reading:
        """Project `(*batch, features)` to `(*batch, units)`."""
        return Reading(h @ self.directions.T)


class RandomBottleneck(Method):
    """The black box's encoder, frozen, seen through random directions by a linear head.

    Args:
        units: how many; None takes as many as the data have concepts, or 20 without concepts.
        encoder: see `encoders.make_encoder`.
        epochs: passes over the training rows for the encoder; None as for the black box.
        batch_size: rows a step.
        lr: of Adam.
        seed: of everything random, the directions included.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> RandomBottleneck(units=4).fit(x, x[:, 0] > 0).transform(x).shape
        (40, 4)
    """

    info = MethodInfo(
        name="random",
        title="Random bottleneck",
        paper="the random-concept row of Srivastava, Yan and Weng, 2024, arXiv 2408.01432",
        summary="Random directions of a trained encoder: what any narrow place must beat.",
        bottleneck="none",
    )

    def __init__(
        self,
        units: int | None = None,
        encoder: str | nn.Module = "auto",
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.units = units
        self.encoder = encoder
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_positive(lr=self.lr, batch_size=self.batch_size)
        units = self.units if self.units is not None else len(train.concepts) or 20
        if units < 1:
            raise wrong("units", units, "at least 1")
        encoder, features = make_encoder(self.encoder, train.x)
        classes, shape = train.classes, train.x.shape[1:]
        whole = NarrowModel(
            encoder,
            IdentityBottleneck(features),
            LinearHead(features, len(classes)),
            classes,
            shape,
        ).to(run.device)
        train_black_box(
            whole, train, val, run, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr
        )
        projection = RandomProjection(features, units)
        model = NarrowModel(encoder, projection, LinearHead(units, len(classes)), classes, shape)
        model.to(run.device)
        solve_head(model, written(model, train), train.y, val)
        return model
