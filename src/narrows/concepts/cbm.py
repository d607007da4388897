"""Concept Bottleneck Models (Koh, Nguyen, Tang, Mussmann, Pierson, Kim, Liang; ICML 2020).

arXiv 2007.04612. `x -> g(x)` concept logits `-> f -> y`, with L_C the binary cross-entropy of
each concept j over its known labels and L_Y the cross-entropy:

    independent   g = argmin sum_j L_C(g_j(x), c_j);  f = argmin L_Y(f(c), y) on true c;
                  f reads sigma(g(x)) afterwards
    sequential    the same g, frozen;  f = argmin L_Y(f(g(x)), y)
    joint         argmin (L_Y + lambda sum_j L_C,j) / (1 + lambda k)
    standard      joint with lambda = 0
    multitask     the joint loss, but y and c both come from the shared features

Differences from the public code: imbalance weights multiply the positive term only (it
multiplies both; `concept_weighting="public"` does the same). Encoders here are trained from
scratch, so the optimiser is AdamW in place of fine-tuning by SGD, with the paper's weight
decays. Whatever is convex is solved to its optimum by second-order steps: the concept stage on
given features, and a linear f on fixed concepts, in the joint modes as a last step given g (it
can only lower the joint loss). There is no auxiliary Inception head; the best validation epoch
is kept in place of a second training on train + validation.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from narrows.concepts.layer import KINDS, ConceptLayer, SideConcepts
from narrows.data.record import Examples
from narrows.encoders import MLPEncoder, make_encoder
from narrows.errors import wrong
from narrows.functional.logistic import fit_logistic
from narrows.functional.losses import concept_loss, concept_weights, label_loss
from narrows.heads import LinearHead, MLPHead
from narrows.method import Method, check_choice, check_positive, concept_labels
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage
from narrows.train.steps import accuracy_on, enough_epochs, features_of, solve_head, written

MODES = ("independent", "sequential", "joint", "standard", "multitask")
_PATIENCE = 100  # epochs without a better validation score, as in the paper
_DECAY = {"concepts": 4e-5, "label": 5e-5, "joint": 4e-4}  # the paper's, per stage


class CBM(Method):
    """Concept bottleneck model.

    Args:
        mode: independent, sequential, joint, standard or multitask.
        concept_weight: lambda of the joint loss.
        kind: what f reads: soft, hard or logit (see `ConceptLayer`). Independent training reads
            probabilities or bits: f saw {0, 1}.
        encoder: see `encoders.make_encoder`; `identity` takes cached features and solves the
            concept stage exactly.
        hidden: sizes of f's hidden layers; none gives the linear f of the paper's CUB runs.
        concept_weighting: `pos_weight`, `public` or None.
        extra_dims: unsupervised units beside the concepts, joint and standard modes only.
        epochs: at most, per stage; None is 20, or more on small data (3,000 steps).
        batch_size: rows a step.
        lr: of AdamW.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> c = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, dtype=float)
        >>> method = CBM("independent", encoder="identity").fit(2 * c - 1, c.sum(1), concepts=c)
        >>> method.score(2 * c - 1, c.sum(1))
        1.0
    """

    info = MethodInfo(
        name="cbm",
        title="Concept Bottleneck Models",
        paper="Koh et al., ICML 2020, arXiv 2007.04612",
        summary="Predicts named concepts first and the label only from them, so that a person "
        "can read and correct the concepts.",
        bottleneck="concept",
        needs_concepts=True,
    )

    def __init__(
        self,
        mode: str = "joint",
        concept_weight: float = 1.0,
        kind: str = "soft",
        encoder: str | nn.Module = "auto",
        hidden: tuple[int, ...] = (),
        concept_weighting: str | None = "pos_weight",
        extra_dims: int = 0,
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.mode = mode
        self.concept_weight = concept_weight
        self.kind = kind
        self.encoder = encoder
        self.hidden = hidden
        self.concept_weighting = concept_weighting
        self.extra_dims = extra_dims
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        self._check()
        encoder, features = make_encoder(self.encoder, train.x)
        layer = SideConcepts if self.mode == "multitask" else ConceptLayer
        bottleneck = layer(
            features, train.concepts.names, train.concepts.groups, self.kind, self.extra_dims
        )
        inputs = features if self.mode == "multitask" else len(bottleneck.names)
        classes = len(train.classes)
        head = MLPHead(inputs, classes, self.hidden) if self.hidden else LinearHead(inputs, classes)
        model = NarrowModel(encoder, bottleneck, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        if self.mode in ("independent", "sequential"):
            self._fit_concepts(model, train, val, run)
            self._fit_label(model, train, val, run)
        else:
            self._fit_jointly(model, train, val, run)
        bottleneck.fit_range(features_of(model, train, lambda h: bottleneck.logits(h)))
        return model

    def _fit_concepts(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run
    ) -> None:
        """Step 1 of independent and sequential: concepts alone."""
        layer: ConceptLayer = model.bottleneck  # type: ignore[assignment]  # made in _train
        c = concept_labels(train)
        weight = concept_weights(c, self.concept_weighting)
        if isinstance(model.encoder, MLPEncoder) and not len(model.encoder.layers):
            h = features_of(model, train)
            ratio = None if weight is None or self.concept_weighting == "public" else weight[1]
            solved = fit_logistic(h, c, l2=_DECAY["concepts"] * len(h), pos_weight=ratio)
            with torch.no_grad():
                layer.linear.weight.copy_(solved.weight)
                layer.linear.bias.copy_(solved.bias)
            return
        stage = nn.ModuleList([model.encoder, layer])
        factors = None if weight is None else weight.to(run.device)

        def loss(batch: dict[str, Tensor]) -> Tensor:
            return concept_loss(layer.logits(model.encoder(batch["x"])), batch["c"], factors).mean()

        def validate(rows: Examples) -> float:
            logits = features_of(model, rows, layer.logits)
            return -float(concept_loss(logits, concept_labels(rows)).mean())

        fit_stage(
            run,
            "concepts",
            stage,
            loss,
            {"x": train.x, "c": c},
            self._adam(stage, "concepts"),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
            validate=None if val is None else partial(validate, val),
            patience=_PATIENCE,
        )

    def _fit_label(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run
    ) -> None:
        """Step 2: the label from true concepts (independent) or from read ones (sequential)."""
        read = written(model, train)
        independent = self.mode == "independent"
        # An unknown concept cannot be fed to f: the concept model's own score stands in.
        z = torch.where(train.known, concept_labels(train), read) if independent else read
        if isinstance(model.head, LinearHead):
            solve_head(model, z, train.y, val)
            return
        fit_stage(
            run,
            "label",
            model.head,
            lambda batch: label_loss(model.head(batch["z"]), batch["y"]),
            {"z": z, "y": train.y},
            self._adam(model.head, "label"),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
            validate=accuracy_on(model, val),
            patience=_PATIENCE,
        )

    def _fit_jointly(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run
    ) -> None:
        layer: ConceptLayer = model.bottleneck  # type: ignore[assignment]  # made in _train
        lam = 0.0 if self.mode == "standard" else self.concept_weight
        c = concept_labels(train)
        weight = concept_weights(c, self.concept_weighting)
        factors = None if weight is None else weight.to(run.device)
        k = layer.concepts

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            h = model.encoder(batch["x"])
            logits = layer.logits(h)
            reading = layer.read(h) if self.mode == "multitask" else layer.let_through(logits)
            label = label_loss(model.head(layer.write(reading)), batch["y"])
            concepts = concept_loss(logits[..., :k], batch["c"], factors)
            total = (label + lam * concepts.sum()) / (1 + lam * k)
            return {"loss": total, "label": label, "concepts": concepts.mean()}

        fit_stage(
            run,
            self.mode,
            model,
            loss,
            {"x": train.x, "y": train.y, "c": c},
            self._adam(model, "joint"),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
            validate=accuracy_on(model, val),
            patience=_PATIENCE,
        )
        if isinstance(model.head, LinearHead):
            solve_head(model, written(model, train), train.y, val)

    def _adam(self, module: nn.Module, stage: str) -> torch.optim.AdamW:
        decay = _DECAY[stage]
        return torch.optim.AdamW(module.parameters(), self.lr, weight_decay=decay, fused=True)

    def _check(self) -> None:
        check_choice("mode", self.mode, MODES)
        check_choice("kind", self.kind, KINDS)
        check_choice("concept_weighting", self.concept_weighting, ("pos_weight", "public", None))
        check_positive(lr=self.lr, batch_size=self.batch_size)
        if not 0 <= self.concept_weight < float("inf"):
            raise wrong("concept_weight", self.concept_weight, "a finite number >= 0")
        if self.mode == "independent" and self.kind == "logit":
            raise wrong("kind", "'logit'", "'soft' or 'hard': independent f saw {0, 1}")
        if self.extra_dims and self.mode not in ("joint", "standard"):
            raise wrong("extra_dims", f"mode {self.mode!r}", "mode 'joint' or 'standard'")
