"""Prototypical networks (Snell, Swersky, Zemel; NeurIPS 2017).

arXiv 1703.05175. An encoder f is trained by episodes; a class is the mean of its examples:

    episode   N_way classes, K support and Q query examples of each
    c_k     = mean of f(x) over the support of class k
    p(k | x)  proportional to exp(-|f(x) - c_k|^2)
    loss    = mean of -log p(y | x) over the queries

Afterwards each prototype is the mean of f over all training examples of its class, and a new
class would cost one pass over its examples (`PrototypeMemory`). Squared Euclidean distance makes
this a linear classifier on f(x) with `w_k = 2 c_k, b_k = -|c_k|^2`.

Differences from the public code: it trains on one set of classes and tests on others, while a
method here classifies the classes it was trained on; rows of a class are taken in a shuffled
order rather than drawn anew for each episode; the learning rate halves at the end of the epoch
in which another 2000 episodes are full; an epoch is one pass over the data rather than 100
episodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.heads import FixedHead
from narrows.method import Method, check_positive
from narrows.model import NarrowModel
from narrows.prototypes.conv4 import Conv4
from narrows.prototypes.episodes import EpisodicSampler, prototypical_loss
from narrows.prototypes.layer import PrototypeLayer
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import accuracy_on, batches

_HALVING = 2000  # episodes
_EPOCHS, _EPISODES = 20, 500  # at least
_CHANNELS = {"auto": 32, "conv4": 64}


class Prototypes(Method):
    """Prototypical network.

    Args:
        way: classes per episode, as many as there are at most. More in training than in test
            helps, says the paper; it takes 60 on Omniglot.
        shots: support examples per class and episode.
        queries: query examples per class and episode.
        encoder: see `encoders.make_encoder`; beside those, `conv4` is the paper's four blocks of
            64 channels for images. `auto` takes them at 32 channels, for small images on a CPU;
            `identity` makes the nearest-mean classifier of the features as they are.
        epochs: passes over the training rows, each of `rows / (way (shots + queries))` episodes;
            None is 20, or more on small data (500 episodes).
        lr: of Adam.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> method = Prototypes(epochs=2).fit(x, x[:, 0] > 0)
        >>> method.score(x, x[:, 0] > 0), list(method.get_feature_names_out())
        (1.0, ['like False', 'like True'])
    """

    info = MethodInfo(
        name="prototypes",
        title="Prototypical Networks for Few-shot Learning",
        paper="Snell, Swersky, Zemel, NeurIPS 2017, arXiv 1703.05175",
        summary="Says how like each class's mean example the input is, and picks the likest.",
        bottleneck="prototype",
    )

    def __init__(
        self,
        way: int = 60,
        shots: int = 5,
        queries: int = 5,
        encoder: str | nn.Module = "auto",
        epochs: int | None = None,
        lr: float = 1e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.way = way
        self.shots = shots
        self.queries = queries
        self.encoder = encoder
        self.epochs = epochs
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_positive(way=self.way, shots=self.shots, queries=self.queries, lr=self.lr)
        encoder, features = self._encoder(train)
        layer = PrototypeLayer(features, train.classes)
        head = FixedHead(len(train.classes))
        model = NarrowModel(encoder, layer, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        if any(p.requires_grad for p in encoder.parameters()):
            self._fit_encoder(model, train, val, run)
        settle(model, train)
        return model

    def _encoder(self, train: Examples) -> tuple[nn.Module, int]:
        images = len(train.x.shape) == 4
        if self.encoder == "conv4" or (self.encoder == "auto" and images):
            conv = Conv4(train.x.shape[1:], _CHANNELS[self.encoder])
            return conv, conv.outputs
        return make_encoder(self.encoder, train.x)

    def _fit_encoder(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run
    ) -> None:
        sampler = EpisodicSampler(train.y, self.way, self.shots, self.queries)
        optimizer = torch.optim.Adam(model.encoder.parameters(), self.lr)
        halving = max(1, round(_HALVING / sampler.episodes))
        enough = max(_EPOCHS, math.ceil(_EPISODES / sampler.episodes))

        def loss(batch: dict[str, Tensor]) -> Tensor:
            h = model.encoder(batch["x"]).unflatten(0, (sampler.way, -1))
            y = batch["y"].unflatten(0, (sampler.way, -1))
            at = self.shots
            return prototypical_loss(
                h[:, :at].flatten(0, 1),
                y[:, :at].flatten(),
                h[:, at:].flatten(0, 1),
                y[:, at:].flatten(),
            )

        fit_stage(
            run,
            "episodes",
            model,
            loss,
            {"x": train.x, "y": train.y},
            optimizer,
            epochs=enough if self.epochs is None else self.epochs,
            batch_size=sampler.rows,
            validate=_settled_accuracy(model, train, val),
            schedule=torch.optim.lr_scheduler.StepLR(optimizer, halving, 0.5),
            draw=sampler,
        )


@torch.no_grad()
def settle(model: NarrowModel, train: Examples) -> None:
    """Set the model's prototypes to the class means of all training embeddings, in eval mode."""
    model.eval()
    layer: PrototypeLayer = model.bottleneck  # type: ignore[assignment]  # made in _train
    device = layer.prototypes.device
    h = torch.cat([model.encoder(x) for x, _ in batches(train, device)])
    layer.fit(h, train.y.to(device))


def _settled_accuracy(
    model: NarrowModel, train: Examples, val: Examples | None
) -> Callable[[], float] | None:
    accuracy = accuracy_on(model, val)
    if accuracy is None:
        return None

    def validate() -> float:
        settle(model, train)
        return accuracy()

    return validate
