"""The black box: the same encoder, no narrow place, a linear head. Every table's first row."""

from __future__ import annotations

import torch
from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.functional.losses import label_loss
from narrows.heads import LinearHead
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import accuracy_on, enough_epochs, solve_head, written


def train_black_box(
    model: NarrowModel,
    train: Examples,
    val: Examples | None,
    run: Run,
    *,
    epochs: int | None,
    batch_size: int,
    lr: float,
) -> None:
    """Cross-entropy by Adam; the best validation epoch is kept, then its linear head is solved.

    Every method with a linear head ends on that step, so that no row of a table is ahead by its
    optimiser.
    """

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return label_loss(model(batch["x"]).prediction, batch["y"])

    fit_stage(
        run,
        "label",
        model,
        loss,
        {"x": train.x, "y": train.y},
        torch.optim.Adam(model.parameters(), lr),
        epochs=enough_epochs(epochs, len(train), batch_size),
        batch_size=batch_size,
        validate=accuracy_on(model, val),
    )
    solve_head(model, written(model, train), train.y, val)


class BlackBox(Method):
    """An ordinary network: encoder and linear head, nothing in between.

    Args:
        encoder: see `encoders.make_encoder`.
        epochs: passes over the training rows; None is 20, or more on small data (3,000 steps).
        batch_size: rows a step.
        lr: of Adam.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> BlackBox().fit(x, x[:, 0] > 0).score(x, x[:, 0] > 0)
        1.0
    """

    info = MethodInfo(
        name="black-box",
        title="Black box",
        paper="none: the reference every narrow model is compared with",
        summary="An ordinary network without a narrow place.",
        bottleneck="none",
        lossy=False,
    )

    def __init__(
        self,
        encoder: str | nn.Module = "auto",
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.encoder = encoder
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_positive(lr=self.lr, batch_size=self.batch_size)
        encoder, features = make_encoder(self.encoder, train.x)
        head = LinearHead(features, len(train.classes))
        model = NarrowModel(
            encoder, IdentityBottleneck(features), head, train.classes, train.x.shape[1:]
        ).to(run.device)
        train_black_box(
            model, train, val, run, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr
        )
        return model
