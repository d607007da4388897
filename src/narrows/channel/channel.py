"""A quantising channel with a learned factorised prior and a real entropy coder.

The channel of the Entropic Student (Matsubara, Yang, Levorato, Mandt; WACV 2022, arXiv
2108.11898), which sends the first half of a network's features as a bit stream, with the density
model of Ballé, Minnen, Singh, Hwang and Johnston (ICLR 2018, arXiv 1802.01436):

    u = round(g * (W h + b))           in training u = g * (W h + b) + U(-1/2, 1/2)
    L = E[-log q(y | u)] + rate_weight * E[-log p(u)],    p factorised, learned

Differs from the paper: no teacher is distilled and no ImageNet network is cut; the whole model
is trained for its own label, first without and then with the price of the rate. What is here is
the channel itself, stream included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.channel.quantizer import QuantizingBottleneck
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.functional.losses import label_loss
from narrows.heads import LinearHead
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import accuracy_on, features_of, solve_head, written


class Channel(Method):
    """A model cut in two, with as few bits as it needs in between.

    Args:
        units: symbols an example.
        rate_weight: what a nat costs in the loss; more gives fewer bits and less accuracy.
        encoder: see `encoders.make_encoder`.
        epochs: passes over the training rows, half of them before the rate is priced.
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
        units: int = 16,
        rate_weight: float = 1e-2,
        encoder: str | nn.Module = "auto",
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.units = units
        self.rate_weight = rate_weight
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
        head = LinearHead(self.units, len(train.classes))
        model = NarrowModel(encoder, layer, head, train.classes, train.x.shape[1:]).to(run.device)

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            output = model(batch["x"])
            label = label_loss(output.prediction, batch["y"])
            rate = output.reading.rate.detach().mean()
            return {"loss": label + output.reading.penalty, "label": label, "rate": rate}

        def free(batch: dict[str, Tensor]) -> Tensor:
            return label_loss(model(batch["x"]).prediction, batch["y"])

        for name, terms, epochs in (
            ("label", free, self.epochs // 2),
            ("rate", loss, self.epochs - self.epochs // 2),
        ):
            fit_stage(
                run,
                name,
                model,
                terms,
                {"x": train.x, "y": train.y},
                torch.optim.Adam(model.parameters(), self.lr),
                epochs=epochs,
                batch_size=self.batch_size,
                # An early epoch of the second stage is accurate because its rate is not yet low.
                validate=accuracy_on(model, val) if name == "label" else None,
            )
        solve_head(model, written(model, train), train.y, val)
        layer.update(features_of(model, train, lambda h: layer.read(h).units).to(run.device))
        return model
