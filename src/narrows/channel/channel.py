"""A quantising channel with a learned factorised prior and a real entropy coder.

The channel of the Entropic Student (Matsubara, Yang, Levorato, Mandt; WACV 2022, arXiv
2108.11898), which sends the first half of a network's features as a bit stream, with the density
model of Ballé, Minnen, Singh, Hwang and Johnston (ICLR 2018, arXiv 1802.01436):

    u = round(g * (W h + b))           in training u = g * (W h + b) + U(-1/2, 1/2)
    L = E[-log q(y | u / g)] + rate_weight * E[-log p(u)],    p factorised, learned

Differs from the paper: no teacher is distilled, no ImageNet network is cut, there is no divisive
normalisation and no second stage that tunes the tail on rounded symbols. All parts are trained
together for the label, as in the paper's end-to-end baseline; the head stands for decoder and
tail. Symbols are rounded without a learned median (the bias of W is one), and integer tables are
read off the density in place of fitted quantiles. The last epoch is kept: an early one can be
more accurate on the validation rows because its rate has not come down yet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.channel.quantizer import QuantizingBottleneck
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.functional.losses import label_loss
from narrows.heads import LinearHead, MLPHead
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import enough_epochs, features_of, solve_head, written


class Channel(Method):
    """A model cut in two, with as few bits as it needs in between.

    Args:
        units: symbols an example.
        rate_weight: what a nat costs in the loss; more gives fewer bits and less accuracy.
        hidden: sizes of the head's hidden layers; none gives a linear head, solved to its
            optimum on the rounded symbols in the end.
        encoder: see `encoders.make_encoder`.
        epochs: passes over the training rows; see `train.steps.enough_epochs`.
        batch_size: rows a step.
        lr: of Adam.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> method = Channel(units=2, epochs=30).fit(x, x[:, 0] > 0)
        >>> sender, receiver = method.model_.split()
        >>> message = sender(torch.tensor([[1.0], [-1.0]]))
        >>> method.score(x, x[:, 0] > 0), receiver(message).prediction.argmax(1)
        (1.0, tensor([1, 0]))
    """

    info = MethodInfo(
        name="channel",
        title="Quantising channel with a learned prior",
        paper="the channel of the Entropic Student, Matsubara et al., WACV 2022, arXiv 2108.11898",
        summary="Sends whole numbers as an entropy-coded bit stream whose length is priced in "
        "training, so that one half of the model can run elsewhere.",
        bottleneck="channel",
    )

    def __init__(
        self,
        units: int = 32,
        rate_weight: float = 1e-2,
        hidden: tuple[int, ...] = (1024,),
        encoder: str | nn.Module = "auto",
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 1e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.units = units
        self.rate_weight = rate_weight
        self.hidden = hidden
        self.encoder = encoder
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_positive(lr=self.lr, batch_size=self.batch_size)
        encoder, features = make_encoder(self.encoder, train.x)
        layer = QuantizingBottleneck(features, self.units, self.rate_weight)
        classes = train.classes
        sizes = self.units, len(classes)
        head = MLPHead(*sizes, self.hidden) if self.hidden else LinearHead(*sizes)
        model = NarrowModel(encoder, layer, head, classes, train.x.shape[1:]).to(run.device)

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            output = model(batch["x"])
            label = label_loss(output.prediction, batch["y"])
            rate = output.reading.rate.detach().mean()
            return {"loss": label + output.reading.penalty, "label": label, "rate": rate}

        fit_stage(
            run,
            "channel",
            model,
            loss,
            {"x": train.x, "y": train.y},
            torch.optim.Adam(model.parameters(), self.lr),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
        )
        if not self.hidden:
            solve_head(model, written(model, train), train.y, val)
        layer.update(features_of(model, train, lambda h: layer.read(h).units).to(run.device))
        return model
