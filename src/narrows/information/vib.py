"""Deep Variational Information Bottleneck (Alemi, Fischer, Dillon, Murphy; ICLR 2017).

arXiv 1612.00410. With an encoder q(z|x) = N(mu(x), diag s(x)^2), a linear decoder q(y|z) and the
prior r(z) = N(0, I):

    L = E[-log q(y|z)] + beta KL(q(z|x) || r(z)),    one sample z = mu + s eps an example

in nats, the KL summed over dimensions and averaged over examples. E KL >= I(X; Z) is the rate R,
E[-log q(y|z)] >= H(Y|Z) the distortion D. `rate_weight` is beta of this form; others write the
same trade as max I(Y; Z) - beta I(X; Z), or as min I(X; Z) - (1 / beta) I(Y; Z).

As in the paper: K = 256, beta = 1e-3, Adam with beta1 = 0.5, batches of 100, lr times 0.97 every
two epochs, Polyak averaging of the weights by 0.999; what is kept is the average after the last
epoch. (An early epoch can be as accurate on the validation rows while its rate, a thousand nats
at the start, has hardly come down.)

Differs: the paper trains on MNIST for 200 epochs at lr 1e-4; the defaults here are 10 epochs at
1e-3, more on small data (`epochs=200, lr=1e-4` is the paper's schedule). Inputs are standardised
by the training rows in place of a known range scaled to [-1, 1]. The decay of the average grows
with the steps t as (1 + t) / (10 + t) up to 0.999, so that a short training is not held at its
start. The encoder is the paper's, 1024-1024 on flattened inputs; to compare methods, give all of
them the same one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from narrows.data.record import Examples
from narrows.encoders import MLPEncoder, Rows, make_encoder
from narrows.errors import wrong, wrong_type
from narrows.functional.losses import label_loss
from narrows.heads import LinearHead
from narrows.information.gaussian import GaussianBottleneck
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage

_HIDDEN = (1024, 1024)  # the paper's encoder
_BETAS = (0.5, 0.999)
_DECAY, _EVERY = 0.97, 2  # of the learning rate, epochs
_EPOCHS, _STEPS = 10, 1000  # at least


def vib_loss(model: NarrowModel, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The objective on a batch, with one sample of z an example where the model is in training.

    Args:
        model: with a `GaussianBottleneck`.
        x: `(batch, ...)` inputs.
        y: `(batch,)` class ids.

    Returns:
        `loss` = `label` + beta `rate`, all means in nats.
    """
    output = model(x)
    label = label_loss(output.prediction, y)
    rate = output.reading.rate.detach().mean()
    return {"loss": label + output.reading.penalty, "label": label, "rate": rate}


@torch.no_grad()
def predict_samples(
    model: NarrowModel, x: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    """The paper's test prediction: the mean of q(y|z) over samples of z (it takes 1 or 12).

    Args:
        model: with a `GaussianBottleneck`.
        x: `(batch, ...)` inputs.
        samples: how many, at least 1. Memory does not grow with it.
        generator: the samples' only source of chance.

    Returns:
        `(batch, classes)` probabilities.

    Raises:
        InvalidInput: no samples.
        InvalidType: a model with another bottleneck.

    Example:
        >>> head = LinearHead(2, 3)
        >>> model = NarrowModel(nn.Flatten(), GaussianBottleneck(4, units=2), head)
        >>> predict_samples(model, torch.ones(5, 4), 12, torch.Generator()).shape
        torch.Size([5, 3])
    """
    if samples < 1:
        raise wrong("samples", samples, "at least 1")
    layer = model.bottleneck
    if not isinstance(layer, GaussianBottleneck):
        raise wrong_type("model.bottleneck", type(layer).__name__, "GaussianBottleneck")
    mean, std = layer.code(model.encoder(x))
    total = torch.zeros((), dtype=mean.dtype, device=mean.device)
    for _ in range(samples):
        noise = torch.randn(mean.shape, generator=generator, device=generator.device)
        total = total + model.head(mean + std * noise.to(mean)).softmax(-1)
    return total / samples


class VIB(Method):
    """Deep variational information bottleneck.

    Args:
        units: latent dimensions K.
        rate_weight: beta, the price of a nat of rate. From 1e-4 to 1e-2 trades little accuracy;
            near 1 the code collapses.
        encoder: `paper` flattens the input into two ReLU layers of 1024; or see
            `encoders.make_encoder`.
        averaging: decay of the averaged weights; 0 keeps the last step's.
        epochs: passes over the training rows; None makes 10, and on small data as many as give
            1,000 steps.
        batch_size: rows a step.
        lr: of Adam.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> method = VIB(units=4, encoder="mlp", epochs=30, lr=0.01).fit(x, x[:, 0] > 0)
        >>> method.score(x, x[:, 0] > 0), method.transform(x).shape
        (1.0, (40, 4))
    """

    info = MethodInfo(
        name="vib",
        title="Deep Variational Information Bottleneck",
        paper="Alemi, Fischer, Dillon and Murphy, ICLR 2017, arXiv 1612.00410",
        summary="Passes a noisy Gaussian code whose rate in nats is bounded and priced, so that "
        "it keeps what tells about the label.",
        bottleneck="information",
    )

    def __init__(
        self,
        units: int = 256,
        rate_weight: float = 1e-3,
        encoder: str | nn.Module = "paper",
        averaging: float = 0.999,
        epochs: int | None = None,
        batch_size: int = 100,
        lr: float = 1e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.units = units
        self.rate_weight = rate_weight
        self.encoder = encoder
        self.averaging = averaging
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_positive(lr=self.lr, batch_size=self.batch_size)
        if not 0 <= self.averaging < 1:
            raise wrong("averaging", self.averaging, "a number in [0, 1)")
        encoder, features = _encoder(self.encoder, train.x)
        bottleneck = GaussianBottleneck(features, self.units, self.rate_weight)
        head = LinearHead(self.units, len(train.classes))
        model = NarrowModel(encoder, bottleneck, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        averaged = AveragedModel(model, multi_avg_fn=_polyak(self.averaging))
        optimizer = torch.optim.Adam(model.parameters(), self.lr, _BETAS)
        optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(model))
        kept: NarrowModel = averaged.module  # type: ignore[assignment]  # a copy of `model`
        fit_stage(
            run,
            "label",
            nn.ModuleList([model, averaged]),
            lambda batch: vib_loss(model, batch["x"], batch["y"]),
            {"x": train.x, "y": train.y},
            optimizer,
            epochs=self._epochs(len(train)),
            batch_size=self.batch_size,
            schedule=torch.optim.lr_scheduler.StepLR(optimizer, _EVERY, _DECAY),
        )
        return kept

    def _epochs(self, rows: int) -> int:
        if self.epochs is not None:
            return self.epochs
        return max(_EPOCHS, math.ceil(_STEPS / math.ceil(rows / self.batch_size)))


def _encoder(kind: str | nn.Module, x: Rows) -> tuple[nn.Module, int]:
    if kind != "paper":
        return make_encoder(kind, x)
    encoder = MLPEncoder(math.prod(x.shape[1:]), _HIDDEN)
    encoder.standardize.fit(x[torch.arange(len(x))])
    return encoder, encoder.outputs


def _polyak(decay: float) -> Any:
    """The averaging rule, with TensorFlow's warm-up for its first steps."""

    def update(averages: Any, current: Any, steps: Tensor | int) -> None:
        t = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + t) / (10 + t)))(averages, current, steps)

    return update
