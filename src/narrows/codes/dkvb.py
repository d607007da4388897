"""Discrete Key-Value Bottleneck (Träuble, Goyal, Rahaman, Mozer, Kawaguchi, Bengio, Schölkopf).

ICML 2023, arXiv 2207.11240. A frozen encoder's features h pass C heads; only the values learn:

    u_c     = h P_c          P_c fixed, Gaussian, columns normalised
    k*_c    = argmin_j |u_c - k_cj|^2      keys fixed after vector quantisation of unlabelled rows
    logits  = mean over heads of v_{c, k*_c}

    keys    10 epochs of moving averages (0.95), rarely hit keys moved to random rows
    values  from 0 by plain SGD, batch 256, label smoothing 0.1, gradient norm clipped at 1

Only picked values move, so what was learnt elsewhere stays: momentum, Adam or weight decay would
move the others too.

Differences from the public code, and why. The mean over C heads divides the gradient of a value
by C and its effect by C again, so the published lr 0.3 (for 256 heads and 2000 epochs a task) is
a tiny step; here lr and clip act on each head's share of the logits, `v / C`, and mean the same
for any C. Pairs never picked in training are left out of the search rather than given the
batch's largest distance. Keys start at random rows rather than random numbers, and come from the
training rows without their labels and order. Codes of the training rows are computed once:
encoder and keys are frozen. The paper's 256 heads of 4096 pairs fit features of large pretrained
networks; the defaults here fit small data. Top-k lookup and learnt projections are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from narrows import distributed
from narrows.codes.key_value import SPLITS, KeyValueBottleneck
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.functional.losses import label_loss
from narrows.heads import FixedHead
from narrows.method import Method, check_choice, check_positive
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage, generator
from narrows.train.steps import features_of

_SMOOTHING = 0.1
_CLIP = 1.0
_KEY_BATCH = 1024  # larger than the 256 of the values: fewer, better steps of the averages


class KeyValueCode(Method):
    """Discrete key-value bottleneck with a voting decoder.

    Args:
        heads: C. `heads=256, pairs=4096` are the paper's, for features of large networks.
        pairs: J, key-value pairs per head.
        key_dim: width of a head's view; None takes what `KeyValueBottleneck` does.
        split: `random` projections or `chunks` of the features.
        encoder: see `encoders.make_encoder`; it is frozen. `identity` takes standardised
            features as they are, for cached embeddings.
        key_epochs: passes over the training rows, without labels, to place the keys.
        epochs: passes over the training rows for the values.
        batch_size: rows a step.
        lr: of plain SGD on each head's share of the logits.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0]] * 20)
        >>> method = KeyValueCode(heads=2, pairs=4).fit(x, x[:, 0] > 0)
        >>> method.score(x, x[:, 0] > 0), method.transform(x).shape
        (1.0, (40, 2))
    """

    info = MethodInfo(
        name="key-value",
        title="Discrete Key-Value Bottleneck",
        paper="Träuble et al., ICML 2023, arXiv 2207.11240",
        summary="Looks up a learnt value under the nearest key of each head and lets them vote, "
        "so that new data change only the pairs they pick.",
        bottleneck="code",
    )

    def __init__(
        self,
        heads: int = 64,
        pairs: int = 400,
        key_dim: int | None = None,
        split: str = "random",
        encoder: str | nn.Module = "identity",
        key_epochs: int = 10,
        epochs: int = 30,
        batch_size: int = 256,
        lr: float = 1.0,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.heads = heads
        self.pairs = pairs
        self.key_dim = key_dim
        self.split = split
        self.encoder = encoder
        self.key_epochs = key_epochs
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        check_choice("split", self.split, SPLITS)
        check_positive(lr=self.lr, batch_size=self.batch_size)
        encoder, features = make_encoder(self.encoder, train.x)
        encoder.requires_grad_(False)
        classes = len(train.classes)
        layer = KeyValueBottleneck(
            features, self.heads, self.pairs, self.key_dim, classes, self.split
        )
        head = FixedHead(classes, parts=self.heads)
        model = NarrowModel(encoder, layer, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        h = features_of(model, train)
        layer.fit_keys(
            h.to(run.device),
            epochs=self.key_epochs,
            batch_size=_KEY_BATCH,
            source=generator(run.seed, "keys"),
        )
        self._fit_values(model, h, train, val, run)
        return model

    def _fit_values(
        self, model: NarrowModel, h: Tensor, train: Examples, val: Examples | None, run: Run
    ) -> None:
        layer: KeyValueBottleneck = model.bottleneck  # type: ignore[assignment]  # made in _train
        numbers = layer.nearest(h.to(run.device))
        layer.count(distributed.shard(numbers))

        def loss(batch: dict[str, Tensor]) -> Tensor:
            z = layer.write(layer.select(batch["codes"].long()))
            return label_loss(model.head(z), batch["y"], _SMOOTHING)

        fit_stage(
            run,
            "values",
            layer,
            loss,
            {"codes": numbers.to(torch.int32), "y": train.y},
            value_optimizer(layer, self.lr),
            epochs=self.epochs,
            batch_size=self.batch_size,
            validate=_accuracy(model, val),
        )


def value_optimizer(
    layer: KeyValueBottleneck, lr: float, clip: float = _CLIP
) -> torch.optim.Optimizer:
    """Plain SGD on the values of a layer whose heads vote by their mean.

    A head's share of the logits is `v / C`: a step of `lr` on it is one of `lr C^2` on v, and
    its gradient is C times that of v.

    Args:
        layer: whose values are trained.
        lr: of the shares.
        clip: the largest norm of the gradient of all shares together.
    """
    heads = layer.heads
    optimizer = torch.optim.SGD([layer.values], lr * heads**2)

    def limit(*_: Any) -> None:
        clip_grad_norm_(layer.values, clip / heads)

    optimizer.register_step_pre_hook(limit)
    return optimizer


def _accuracy(model: NarrowModel, val: Examples | None) -> Callable[[], float] | None:
    """Accuracy on rows whose codes are looked up once: keys and encoder stay as they are."""
    if val is None:
        return None
    layer: KeyValueBottleneck = model.bottleneck  # type: ignore[assignment]  # made in _train
    layer.eval()
    device = layer.keys.device
    reading, y = layer.read(features_of(model, val).to(device)), val.y.to(device)

    def accuracy() -> float:
        return float((model.decide(reading).prediction.argmax(1) == y).float().mean())

    return accuracy
