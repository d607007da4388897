"""Concept Embedding Models (Espinosa Zarlenga et al., NeurIPS 2022).

arXiv 2209.09056. A probability alone is too narrow where the concepts do not determine the
label; here each concept i is a vector, mixed from an active and an inactive one by its
probability (see `ConceptEmbeddingLayer`), and f reads the vectors of all concepts:

    L = L_Y(f(z), y) + alpha mean_i L_C(p_i, c_i)

RandInt: in training a known c_i stands in for p_i with probability p_int, so that f learns what
a correction looks like. L_C still sees the prediction, and the gradient of a replaced concept
reaches the chosen vector only.

Differences from the public code: it draws one RandInt mask for a whole batch, the paper's text
reads one per example, which is the default here (`batch:0.25` is the other). Imbalance weights
multiply the positive term only (it multiplies both; `concept_weighting="public"` does the same).
Encoders here are trained from scratch on small data, so the optimiser is AdamW with the paper's
weight decay in place of SGD, and the epoch with the best validation accuracy is kept. A linear f
is solved to its optimum as a last step, on mixtures that RandInt draws, as f saw them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.errors import wrong
from narrows.functional.losses import concept_loss, concept_weights, label_loss
from narrows.heads import LinearHead, MLPHead
from narrows.method import Method, check_choice, check_positive, concept_labels
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import accuracy_on, enough_epochs, features_of, solve_head

_DECAY = 4e-6  # the paper's
_PATIENCE = 100  # epochs without a better validation score, as for other concept models here
_DRAWS = 4  # RandInt masks an example, at most, from which a linear f is solved
_SEEN = 2**24  # numbers in the vectors of all these draws, unless one draw has more


class CEM(Method):
    """Concept embedding model.

    Args:
        concept_weight: alpha of the loss; the paper takes 1 (synthetic tasks), 5 (CUB) and 10.
        width: numbers in the vector of one concept.
        randint: how often a known concept replaces its prediction in training. `0.25` and
            `"sample:0.25"` draw a mask for each example, `"batch:0.25"` one for a batch; 0 never
            replaces.
        shared_scorer: one scoring layer for all concepts, or one each.
        encoder: see `encoders.make_encoder`.
        hidden: sizes of f's hidden layers; none gives the linear f of the paper's CUB runs.
        concept_weighting: `pos_weight`, `public` or None.
        epochs: at most; None is 20, or more on small data (3,000 steps).
        batch_size: rows a step.
        lr: of AdamW.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> c = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 8, dtype=float)
        >>> method = CEM(width=4, epochs=200).fit(2 * c - 1, c[:, 0] != c[:, 1], concepts=c)
        >>> method.score(2 * c - 1, c[:, 0] != c[:, 1])
        1.0
    """

    info = MethodInfo(
        name="cem",
        title="Concept Embedding Models",
        paper="Espinosa Zarlenga et al., NeurIPS 2022, arXiv 2209.09056",
        summary="Represents each named concept by a vector, mixed by its probability, so that "
        "the label stays as accurate as without a bottleneck and a person can still correct it.",
        bottleneck="concept",
        needs_concepts=True,
    )

    def __init__(
        self,
        concept_weight: float = 1.0,
        width: int = 16,
        randint: float | str = 0.25,
        shared_scorer: bool = True,
        encoder: str | nn.Module = "auto",
        hidden: tuple[int, ...] = (),
        concept_weighting: str | None = "pos_weight",
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.concept_weight = concept_weight
        self.width = width
        self.randint = randint
        self.shared_scorer = shared_scorer
        self.encoder = encoder
        self.hidden = hidden
        self.concept_weighting = concept_weighting
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        self._check()
        encoder, features = make_encoder(self.encoder, train.x)
        names, groups = train.concepts.names, train.concepts.groups
        layer = ConceptEmbeddingLayer(features, names, groups, self.width, self.shared_scorer)
        inputs, classes = len(names) * self.width, len(train.classes)
        head = MLPHead(inputs, classes, self.hidden) if self.hidden else LinearHead(inputs, classes)
        model = NarrowModel(encoder, layer, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        self._fit_jointly(model, train, val, run)
        if isinstance(head, LinearHead):
            z, y = self._seen_by_head(model, train)
            solve_head(model, z, y, val)
        return model

    def _fit_jointly(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run
    ) -> None:
        layer: ConceptEmbeddingLayer = model.bottleneck  # type: ignore[assignment]  # made in _train
        c = concept_labels(train)
        weight = concept_weights(c, self.concept_weighting)
        factors = None if weight is None else weight.to(run.device)

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            context = layer.embed(model.encoder(batch["x"]))
            logits = layer.logits(context)
            z = self._mix(layer, logits, context, batch["c"])
            label = label_loss(model.head(z), batch["y"])
            concepts = concept_loss(logits, batch["c"], factors).mean()
            total = label + self.concept_weight * concepts
            return {"loss": total, "label": label, "concepts": concepts}

        fit_stage(
            run,
            "joint",
            model,
            loss,
            {"x": train.x, "y": train.y, "c": c},
            torch.optim.AdamW(model.parameters(), self.lr, weight_decay=_DECAY, fused=True),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
            validate=accuracy_on(model, val),
            patience=_PATIENCE,
        )

    def _mix(
        self, layer: ConceptEmbeddingLayer, logits: Tensor, context: Tensor, c: Tensor
    ) -> Tensor:
        """The head's input in training, RandInt applied."""
        reading = layer.let_through(logits, context)
        # The run owns torch's generator, which a checkpoint keeps.
        mask = randint_mask(c, self.randint, torch.default_generator)
        return layer.write(reading.replace(units=torch.where(mask, c, reading.units)))

    @torch.no_grad()
    def _seen_by_head(self, model: NarrowModel, train: Examples) -> tuple[Tensor, Tensor]:
        """Head inputs as RandInt draws them, and their labels; all on the CPU.

        Memory: one draw of all rows, `n * k * width` numbers, or up to four within 2^24 numbers.
        """
        layer: ConceptEmbeddingLayer = model.bottleneck  # type: ignore[assignment]  # made in _train
        c, device = concept_labels(train), next(model.parameters()).device
        h = features_of(model, train)
        draws = 1
        if randint_of(self.randint)[0] > 0:
            draws = min(max(_SEEN // (c.numel() * self.width), 1), _DRAWS)
        every = torch.arange(len(train)).repeat(draws)
        pieces = []
        for rows in every.split(self.batch_size):
            context = layer.embed(h[rows].to(device))
            z = self._mix(layer, layer.logits(context), context, c[rows].to(device))
            pieces.append(z.cpu())
        return torch.cat(pieces), train.y[every]

    def _check(self) -> None:
        randint_of(self.randint)
        check_choice("concept_weighting", self.concept_weighting, ("pos_weight", "public", None))
        check_positive(lr=self.lr, batch_size=self.batch_size)
        if not 0 <= self.concept_weight < float("inf"):
            raise wrong("concept_weight", self.concept_weight, "a finite number >= 0")


def randint_of(setting: float | str) -> tuple[float, bool]:
    """How often a concept is replaced, and whether a whole batch shares the draw.

    Raises:
        InvalidInput: no such mode, or not a probability.

    Example:
        >>> randint_of(0.25), randint_of("batch:0.5")
        ((0.25, False), (0.5, True))
    """
    mode, _, number = setting.rpartition(":") if isinstance(setting, str) else ("", "", setting)
    try:
        p = float(number)
    except (TypeError, ValueError):
        p = float("nan")
    if mode not in ("", "sample", "batch") or isinstance(setting, bool) or not 0 <= p <= 1:
        raise wrong("randint", repr(setting), "p, 'sample:p' or 'batch:p' with p in [0, 1]")
    return p, mode == "batch"


def randint_mask(c: Tensor, setting: float | str, generator: torch.Generator) -> Tensor:
    """Which known concepts stand in for their predictions.

    Args:
        c: `(batch, k)` labels, NaN where unknown: there nothing is replaced.
        setting: see `CEM`; probability 0 draws no number.
        generator: where the numbers come from, so that every device sees the same.

    Returns:
        `(batch, k)` bool.

    Example:
        >>> c = torch.tensor([[1.0, float("nan")]])
        >>> randint_mask(c, 1.0, torch.Generator())
        tensor([[ True, False]])
    """
    p, whole_batch = randint_of(setting)
    if p == 0:
        return torch.zeros_like(c, dtype=torch.bool)
    shape = c.shape[-1:] if whole_batch else c.shape
    drawn = torch.rand(shape, generator=generator, device=generator.device) < p
    return drawn.to(c.device) & ~c.isnan()
