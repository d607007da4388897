"""Energy-based Concept Bottleneck Models (Xu, Qin, Mi, Wang, Li; ICLR 2024).

arXiv 2401.14142. One energy over input, concepts and label; prediction, correction and
conditional probabilities are inference in it:

    energies   the three energies of certain concepts and labels
    mixtures   the energy of probabilities, and its slope
    search     the least energy, by descent and by enumeration
    tables     what goes with what: p(c_k | y), p(c_k | c_j), p(y | c)
    noise      what disturbs concepts while training
    layer      the bottleneck that reads, corrects and writes by all these

    L = lambda_xy L_class + lambda_xc sum_k L_k + lambda_cy L_glob,   lambda = (3, 1, 1)

    L_class   E_class(x, y) + log sum_l exp(-E_class(x, l))
    L_k       E_k(x, c_k) + log sum_v exp(-E_k(x, v)), over known labels
    L_glob    E_glob(c, y) + log sum_l exp(-E_glob(c, l)), on true concepts; in a fifth of the
              rows a fifth of the concepts is flipped
    L_noise   E_glob(c, y) + log sum_c' exp(-E_glob(c', y)), added to L_glob; c' are the true
              concepts and 16 rivals

    reading      Adam on soft concepts and label of E with lambda = (1, 1, .01)
    correction   given concepts fixed, the same with lambda = (1, 1, 1)

L_noise stands for the paper's sum over concept vectors (`partition="joint-nce"`). True vectors
and rivals come out of one symmetric noise, so that at the optimum of both terms exp(-E_glob) is
p(c, y) up to a factor (conditional noise contrast: Ceylan and Gutmann, ICML 2018).
The released code sums over y alone (`partition="y"`). That learns p(y | c)
only: the level of E_glob over concepts is left open, and once inference listens to it a
correction may move other concepts anywhere.

Differences from the released code, and why. E_glob is soft during inference, so that corrections
reach other concepts; the code rounds there, which stops the gradient (`hard_global=True`).
One slot of an embedding pair means "present" in all energies. After a correction the code uses
lambda = (0, 0, 3): concepts nobody corrected then hear the input no more, and E_glob outweighs
it; here each term counts once, as in the paper's p(c_-k, y | x, c_k). `correction=(0, 1, 3)` lets
the concepts alone decide the label. Descent stops row by row, on progress relative to the
energy. What it finds is rounded and scored by exact conditionals.
Encoders here are trained from scratch, by AdamW in place of SGD with a plateau schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from narrows.bottleneck import Known
from narrows.concepts.energy.energies import Energies
from narrows.concepts.energy.layer import CORRECTION, INFERENCE, EnergyBottleneck
from narrows.concepts.energy.mixtures import Weights, check_weights
from narrows.concepts.energy.noise import contrast, flipped, rivals
from narrows.concepts.energy.search import Enumerated, Relaxed
from narrows.concepts.energy.tables import Dependencies
from narrows.data.record import Examples
from narrows.encoders import make_encoder
from narrows.functional.losses import concept_loss, label_loss
from narrows.heads import FixedHead
from narrows.method import Method, check_choice, check_positive, concept_labels
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run, fit_stage, generator
from narrows.train.steps import batches, enough_epochs

PARTITIONS = ("joint-nce", "y")
_PATIENCE = 15
_DECAY = 4e-5


class ECBM(Method):
    """Energy-based concept bottleneck model.

    Args:
        encoder: see `encoders.make_encoder`.
        dims: width of the embeddings; the paper's 512 goes with 2048 features of a ResNet. The
            label is more accurate with more; a step costs `concepts * dims^2`.
        weights: lambda_xy, lambda_xc, lambda_cy of the training loss.
        inference: the same while reading.
        correction: the same once something is corrected.
        partition: what E_glob is normalised over: `joint-nce` or `y`.
        hard_global: round concepts in E_glob, as the released code does.
        epochs: at most; None is 20, or more on small data (3,000 steps).
        batch_size: rows a step.
        lr: of AdamW.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> c = np.array([[0, 0], [1, 1]] * 30, dtype=float)
        >>> method = ECBM(encoder="identity", dims=16, epochs=200).fit(c, c[:, 0] > 0, concepts=c)
        >>> method.score(c, c[:, 0] > 0)
        1.0
        >>> method.dependencies(c, {"concept 0": 1}).of("concept 1") > 0.9
        True
    """

    info = MethodInfo(
        name="ecbm",
        title="Energy-based Concept Bottleneck Models",
        paper="Xu et al., ICLR 2024, arXiv 2401.14142",
        summary="Finds concepts and label together in one energy, so that correcting a concept "
        "also moves those that go with it.",
        bottleneck="concept",
        needs_concepts=True,
    )

    def __init__(
        self,
        encoder: str | nn.Module = "auto",
        dims: int = 64,
        weights: Weights = (3.0, 1.0, 1.0),
        inference: Weights = INFERENCE,
        correction: Weights = CORRECTION,
        partition: str = "joint-nce",
        hard_global: bool = False,
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.encoder = encoder
        self.dims = dims
        self.weights = weights
        self.inference = inference
        self.correction = correction
        self.partition = partition
        self.hard_global = hard_global
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        self._check()
        encoder, features = make_encoder(self.encoder, train.x)
        classes = len(train.classes)
        bottleneck = EnergyBottleneck(
            features,
            train.concepts.names,
            train.concepts.groups,
            classes,
            self.dims,
            self.inference,
            self.correction,
            self.hard_global,
        )
        head = FixedHead(classes, parts=len(bottleneck.names))
        model = NarrowModel(encoder, bottleneck, head, train.classes, train.x.shape[1:])
        model.to(run.device)
        stage = nn.ModuleList([encoder, bottleneck])
        turns = bottleneck.interventions

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return self._terms(model, batch, () if self.partition == "y" else turns)

        @torch.no_grad()
        def validate(rows: Examples) -> float:
            total = 0.0
            c = concept_labels(rows).split(4096)
            for (x, y), some in zip(batches(rows, run.device), c, strict=True):
                terms = self._terms(
                    model, {"x": x, "y": y, "c": some.to(run.device)}, augment=False
                )
                total -= float(terms["loss"]) * len(x)
            return total / len(rows)

        fit_stage(
            run,
            "energies",
            stage,
            loss,
            {"x": train.x, "y": train.y, "c": concept_labels(train)},
            torch.optim.AdamW(stage.parameters(), self.lr, weight_decay=_DECAY, fused=True),
            epochs=enough_epochs(self.epochs, len(train), self.batch_size),
            batch_size=self.batch_size,
            validate=None if val is None else partial(validate, val),
            patience=_PATIENCE,
        )
        return model

    def _terms(
        self,
        model: NarrowModel,
        batch: dict[str, Tensor],
        turns: Sequence[Sequence[int]] = (),
        augment: bool = True,
    ) -> dict[str, Tensor]:
        """The three losses and their weighted sum; without `turns` L_glob sums over y alone."""
        energies: Energies = model.bottleneck.energies  # type: ignore[assignment]  # made in _train
        said = energies.of_input(model.encoder(batch["x"]))
        # An unknown concept cannot be put into E_glob: what the input says stands in.
        c = torch.where(batch["c"].isnan(), said.logits.detach().sigmoid(), batch["c"])
        joint = label_loss(-energies.joint(flipped(c) if augment else c), batch["y"])
        if turns:
            joint = joint + contrast(energies, c, batch["y"], rivals(c, turns))
        terms = {
            "label": label_loss(-said.classes, batch["y"]),
            "concepts": concept_loss(said.logits, batch["c"]).sum(),
            "joint": joint,
        }
        weighted = zip(self.weights, terms.values(), strict=True)
        return {"loss": sum((w * t for w, t in weighted), torch.zeros(()).to(c)), **terms}

    @torch.no_grad()
    def infer(
        self, X: Any, given: Known | None = None, weights: Weights | None = None, steps: int = 200
    ) -> Relaxed:
        """The relaxed concepts and label of `(n, ...)` inputs, their energy, and convergence.

        Args:
            X: inputs.
            given: concepts that are fixed, by name or as `(mask, values)`.
            weights: lambda_xy, lambda_xc, lambda_cy; None takes `inference`, or `correction`
                where something is fixed.
            steps: of Adam, at most.
        """
        h = self._features(X)
        return self._layer.infer(h, given, weights, steps)

    @torch.no_grad()
    def exact(
        self, X: Any, given: Known | None = None, weights: Weights | None = None
    ) -> Enumerated:
        """The same by enumeration: exact marginals and the state of least energy.

        Raises:
            InvalidInput: more than a million states `2^concepts * classes`.
        """
        h = self._features(X)
        return self._layer.exact(h, given, weights)

    @torch.no_grad()
    def dependencies(
        self, X: Any, given: Mapping[str, float] | None = None, draws: int = 64
    ) -> Dependencies:
        """p(c_k | y), p(c_k | c_j), p(c_k) and p(y) where `given` holds, over the rows `X`.

        Args:
            X: inputs the concepts are averaged over, for example the training rows.
            given: concepts that hold (1) or do not (0).
            draws: concept vectors a row, where there are too many to enumerate.
        """
        h = self._features(X)
        source = generator(self.seed, "dependencies")
        return self._layer.dependencies(
            h, self.classes_.tolist(), given, draws=draws, generator=source
        )

    def conditional(
        self,
        concept: str,
        given: Mapping[str, float] | None = None,
        label: Any = None,
        *,
        data: Any,
    ) -> float:
        """p(concept | label, given) over the rows `data`; see `dependencies`."""
        return self.dependencies(data, given).of(concept, label)

    @property
    def _layer(self) -> EnergyBottleneck:
        return self.model_.bottleneck  # type: ignore[return-value]  # made in _train

    def _features(self, X: Any) -> Tensor:
        x = self._inputs(X)
        pieces = torch.arange(len(x)).split(4096)
        return torch.cat([self.model_.encoder(x[rows].float()) for rows in pieces])

    def _check(self) -> None:
        check_choice("partition", self.partition, PARTITIONS)
        check_choice("hard_global", self.hard_global, (True, False))
        check_positive(lr=self.lr, batch_size=self.batch_size, dims=self.dims)
        for name in ("weights", "inference", "correction"):
            check_weights(name, getattr(self, name))
