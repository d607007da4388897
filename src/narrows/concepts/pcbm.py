"""Post-hoc Concept Bottleneck Models (Yuksekgonul, Wang, Zou; ICLR 2023).

arXiv 2205.15480. A trained backbone `phi` stays as it is. A bank holds a hyperplane
`v_j . phi + b_j = 0` for each concept (see `narrows.concepts.post_hoc.bank`), and

    m_j(x) = (v_j . phi(x) + b_j) / |v_j|                       the units
    g      = argmin  mean cross-entropy(W m + w, y) + penalty (l1_ratio |W|_1
                     + (1 - l1_ratio) |W|^2 / 2)                PCBM
    r      = argmin  mean cross-entropy(g(m) + r(phi), y) + 1e-3 mean(r^2),  linear, g fixed
                                                                PCBM-h

Differences from the public code: g is multinomial and solved to its optimum where the code runs
one-vs-rest SGD; units are standardised over the training rows, so that one penalty suits every
concept and a weight of 0 means "as the average row"; a unit is spoken as a probability (Platt
scaling), so that a person can correct it, which the paper does not do. The distance divides by
the norm, as the code does; the paper's text divides by its square. Without a bank, concepts come
from the labels of the training rows, all of them, by squared-hinge machines that are solved
together (`cav="svm"` is the paper's libsvm, one concept after the other); the paper draws 50 or
100 of each kind from another data set, which `ConceptBank.from_examples` does.

A reproduction (Transactions on Machine Learning Research, dgcnz/FACT) confirmed the accuracies
and could not confirm that pruning concepts repairs a spurious model: measure an edit, see
`narrows.concepts.post_hoc.edits`, before it is kept.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from narrows import registry
from narrows.concepts.post_hoc.bank import ConceptBank
from narrows.concepts.post_hoc.bank_fit import enough
from narrows.concepts.post_hoc.head import choose_head, fit_residual
from narrows.concepts.post_hoc.layer import ConceptProjection
from narrows.data.record import Concepts, Examples
from narrows.encoders import make_encoder
from narrows.errors import InvalidInput, wrong
from narrows.functional.cav import KINDS
from narrows.heads import LinearHead
from narrows.method import Method, check_choice, check_positive, concept_labels
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run
from narrows.train.steps import features_of


class PCBM(Method):
    """Post-hoc concept bottleneck on a frozen backbone; with `residual`, PCBM-h.

    Args:
        bank: a `ConceptBank` in the backbone's space, or the file of one. None makes one from
            the concept labels of the training rows; C is chosen on the validation rows.
        cav: how directions are fitted from labels, see `functional.cav.fit_directions`.
        residual: whether a linear model of the features corrects the bottleneck. Its logits
            pass beside the concepts, as units that nobody can correct.
        penalty: of the elastic net. None takes the paper's 2e-4 or 1e-5, by the loss of the
            validation rows, or 2e-4 without any.
        l1_ratio: share of the penalty that is absolute rather than squared.
        encoder: a module of the user's is the backbone and stays frozen, and so is `identity`,
            for cached embeddings. Others are trained as the black box is, then frozen.
        epochs: at most, of the backbone and of the residual; None is 20, or more on small data.
        batch_size: rows a step.
        lr: of the backbone's Adam; the residual takes the paper's 0.01.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> import numpy as np
        >>> c = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, dtype=float)
        >>> method = PCBM(encoder="identity").fit(2 * c - 1, c.sum(1), concepts=c)
        >>> method.score(2 * c - 1, c.sum(1))
        1.0
    """

    info = MethodInfo(
        name="pcbm",
        title="Post-hoc Concept Bottleneck Models",
        paper="Yuksekgonul, Wang, Zou, ICLR 2023, arXiv 2205.15480",
        summary="Turns a trained network into a concept model: its features are read as "
        "distances from concept hyperplanes, and a sparse linear head decides.",
        bottleneck="concept",
        needs_concepts=True,
    )

    def __init__(
        self,
        bank: str | ConceptBank | None = None,
        cav: str = "squared-hinge",
        residual: bool = False,
        penalty: float | None = None,
        l1_ratio: float = 0.99,
        encoder: str | nn.Module = "auto",
        epochs: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.bank = bank
        self.cav = cav
        self.residual = residual
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.encoder = encoder
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.device = device

    def require_concepts(self, train: Examples) -> None:
        """Concept labels are needed where no bank is given."""
        if self.bank is None:
            super().require_concepts(train)

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:
        """As `Method.save_pretrained`; the model holds its bank's directions, the settings none."""
        plain = copy.copy(self)
        plain.bank = None
        super(PCBM, plain).save_pretrained(folder, **extra)

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        self._check()
        encoder, features = self._backbone(train, val, run)
        bank = ConceptBank.load(self.bank) if isinstance(self.bank, str) else self.bank
        concepts = train.concepts if bank is None else _schema(bank, train.concepts)
        layer = ConceptProjection(
            features,
            concepts.names,
            concepts.groups,
            unit_norm=bank is not None and bank.unit_norm,
        )
        head = LinearHead(len(concepts), len(train.classes))
        model = NarrowModel(encoder, layer, head, train.classes, train.x.shape[1:]).to(run.device)
        h = features_of(model, train)
        if bank is None:
            held = None if val is None else (features_of(model, val), concept_labels(val))
            bank = bank_of(h, train, held, self.cav)
        layer.fit(bank, h.to(run.device), _labels(concepts, train, run.device))
        choose_head(model, train, val, self.penalty, self.l1_ratio)
        return self.add_residual(model, train, val, run) if self.residual else model

    def add_residual(
        self, model: NarrowModel, train: Examples, val: Examples | None, run: Run | None = None
    ) -> NarrowModel:
        """PCBM-h from a trained PCBM, whose backbone, bank and head it keeps.

        Args:
            model: a trained PCBM, for example `method.model_`; it is not changed.
            train: rows the residual learns from.
            val: rows that choose its best epoch.
            run: seed, device and checkpoints; None takes this method's.

        Raises:
            InvalidInput: a model of another kind, or one that has a residual already.
        """
        plain = model.bottleneck
        if not isinstance(plain, ConceptProjection) or len(plain.names) != plain.concepts:
            found = f"a {type(plain).__name__} of {len(plain.names)} units"
            raise wrong("model", found, "a PCBM without residual")
        run = run or Run(seed=self.seed, device=torch.device(self.device or "cpu"))
        return fit_residual(model, train, val, run, self.epochs, self.batch_size)

    def _backbone(self, train: Examples, val: Examples | None, run: Run) -> tuple[nn.Module, int]:
        if isinstance(self.encoder, nn.Module) or self.encoder == "identity":
            encoder, features = make_encoder(self.encoder, train.x)
            return encoder.eval(), features
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        # Rooms do not import one another; the black box is asked for by name.
        box: Any = registry.method("black-box")(encoder=self.encoder, **settings)
        trained = box._train(train, val, run)
        return trained.encoder, len(trained.bottleneck.names)

    def _check(self) -> None:
        check_choice("cav", self.cav, tuple(KINDS))
        check_positive(lr=self.lr, batch_size=self.batch_size)
        if self.penalty is not None:
            check_positive(penalty=self.penalty)
        if not 0 < self.l1_ratio <= 1:
            raise wrong("l1_ratio", self.l1_ratio, "a share in (0, 1]")


def bank_of(
    h: Tensor, train: Examples, held: tuple[Tensor, Tensor] | None, kind: str
) -> ConceptBank:
    """A bank of the concepts that the labelled rows `(n, features)` tell apart.

    Raises:
        InvalidInput: no concept has two known examples of either kind.
    """
    c = concept_labels(train)
    taught = enough(c).nonzero().flatten()
    if not len(taught):
        raise InvalidInput(
            "concepts: found none with two known examples of either kind, wanted at least one"
        )
    names = [train.concepts.names[j] for j in taught.tolist()]
    held = None if held is None else (held[0], held[1][:, taught])
    return ConceptBank.from_labels(h, c[:, taught], names, kind=kind, held=held)


def _schema(bank: ConceptBank, known: Concepts) -> Concepts:
    """The bank's concepts, with the data's groups as far as both know them."""
    place = {name: i for i, name in enumerate(bank.names)}
    groups = [
        tuple(place[known.names[j]] for j in group if known.names[j] in place)
        for group in known.groups
    ]
    return Concepts(bank.names, tuple(group for group in groups if len(group) > 1))


def _labels(concepts: Concepts, train: Examples, device: torch.device) -> Tensor | None:
    """What the rows know of these concepts, by name: `(n, concepts)`, NaN elsewhere."""
    if train.c is None:
        return None
    place = {name: j for j, name in enumerate(train.concepts.names)}
    c = torch.full((len(train), len(concepts)), torch.nan)
    for i, name in enumerate(concepts.names):
        if name in place:
            c[:, i] = train.c[:, place[name]]
    return c.to(device)
