"""Training-free test-time improvement of concept bottlenecks (He, Tang, Zhu, Li, Lu; MICCAI 2025).

arXiv 2506.18070. Reconstructed from the abstract: that is all that could be read, and no public
code was found. The abstract's claims: a concept model that meets another domain is improved by
masking concepts that fire wrongly and amplifying those that fire too weakly, with about four
images a class that carry image labels only, without training, and without a loss on the source.

    fit      trains any base method with a linear head on its units, and keeps statistics of its
             activations per class and some validation activations; no images
    adapt    chooses units from a few labelled images of the new domain (`tf_tti_fit` has the
             formulas) and returns a new method; the one it is called on stays as it is
    a'       = scale a + shift, unit by unit and the same for every image; probabilities are then
             held in [0, 1]. The head keeps its weights, so explanations stay W a', and what a
             person fixes replaces an edited unit like any other

A written form of the two scores with one positive part around each product would make them equal;
here each factor has its own, which is what "misactivated" and "too weak" mean.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from narrows import registry
from narrows.concepts.transfer.edit import ConceptEdit
from narrows.concepts.transfer.fit import EditRule, fit_concept_edit
from narrows.concepts.transfer.layer import EditedUnits, affine_head, with_statistics
from narrows.data.record import Examples
from narrows.errors import unknown, wrong
from narrows.method import Method
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run

_THRESHOLDS = {field.name for field in dataclasses.fields(EditRule)}


class TFTTI(Method):
    """A concept model that a few images of a new domain can correct, without training.

    Args:
        base: the method that is trained: its name, `{"name": ..., "params": {...}}`, or a method.
            Its units must reach a linear head directly. Seed and device are this method's, and
            epochs where they are given.
        rank_by: how units are ranked: `evidence`, `gap` or `swap` (see `EditRule`).
        max_mask: units masked, at most 8.
        max_amplify: units amplified, at most 8.
        tolerance: share of the source rows kept that an edit may spoil.
        unusual: how many source deviations off a masked unit must be.
        shrinkage: how many rows a class the source statistics count for.
        max_gain: the largest amplification.
        caution: standard errors by which an edit must mend more support rows than it breaks.
        epochs: of the base; None leaves them to it.
        seed: of everything random.
        device: where training happens.

    Example:
        >>> c = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10, dtype=float)
        >>> base = {"name": "cbm", "params": {"mode": "independent", "encoder": "identity"}}
        >>> method = TFTTI(base).fit(2 * c - 1, c.max(1), concepts=c)
        >>> adapted = method.adapt(2 * c[:8] - 1, c[:8].max(1))
        >>> adapted.score(2 * c - 1, c.max(1)), method.without_edit().score(2 * c - 1, c.max(1))
        (1.0, 1.0)
    """

    info = MethodInfo(
        name="tf-tti",
        title="Training-free test-time improvement",
        paper="He et al., MICCAI 2025, arXiv 2506.18070",
        summary="Meets a new domain by masking concepts that fire wrongly and amplifying those "
        "that fire too weakly, from a few labelled images and without training.",
        bottleneck="concept",
        needs_concepts=True,
    )

    def __init__(
        self,
        base: str | Mapping[str, Any] | Method = "cbm",
        rank_by: str = "evidence",
        max_mask: int = 8,
        max_amplify: int = 8,
        tolerance: float = 0.005,
        unusual: float = 1.0,
        shrinkage: float = 2.0,
        max_gain: float = 3.0,
        caution: float = 0.0,
        epochs: int | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.base = base
        self.rank_by = rank_by
        self.max_mask = max_mask
        self.max_amplify = max_amplify
        self.tolerance = tolerance
        self.unusual = unusual
        self.shrinkage = shrinkage
        self.max_gain = max_gain
        self.caution = caution
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        self._rule()
        model = self._base()._train(train, val, run)
        return with_statistics(model.eval(), train, val)

    @classmethod
    def around(
        cls, fitted: Method, train: Examples, val: Examples | None = None, **settings: Any
    ) -> Self:
        """The same for a method that is trained already, which stays as it is.

        Args:
            fitted: a trained method with a linear head on its units.
            train: source rows for the statistics.
            val: source rows that an edit must not spoil; the training rows where None.
            **settings: of this class.
        """
        check_is_fitted(fitted, "model_")
        method = cls(clone(fitted), **{"seed": fitted.seed, "device": fitted.device, **settings})
        method._rule()
        method.model_ = with_statistics(copy.deepcopy(fitted.model_).eval(), train, val)
        for name in ("classes_", "concepts_", "n_features_in_", "history_"):
            setattr(method, name, copy.deepcopy(getattr(fitted, name)))
        return method

    def adapt(self, X: Any, y: Any = None, rule: EditRule | None = None) -> Self:
        """A new method, edited for the domain of a few labelled images.

        Edits do not add up: they start from the trained model whatever was edited before.

        Args:
            X: `(n, ...)` images of the new domain, or labelled `Examples`.
            y: `(n,)` labels, with arrays; every class must be there, four images each are the
                paper's number.
            rule: every threshold, in place of this method's settings.

        Raises:
            InvalidInput: no rows, a class without a row, shapes that differ.
            UnknownName: a label the model does not have.
        """
        x, ids = self._support(X, y)
        layer = self._layer()
        with torch.no_grad():
            units = layer.inner.read(self.model_.encoder(self.model_._input(x))).units
        weight, bias = affine_head(self.model_)
        edit = fit_concept_edit(layer.statistics, weight, bias, units, ids, rule or self._rule())
        return self.with_edit(edit)

    def with_edit(self, edit: ConceptEdit) -> Self:
        """A new method with this edit alone; it shares the encoder and the head."""
        model, other = self.model_, copy.copy(self)
        layer = self._layer().with_edit(edit)
        other.model_ = NarrowModel(
            model.encoder, layer, model.head, model.classes, model.input_shape
        ).eval()
        return other

    def without_edit(self) -> Self:
        """A new method that answers as the trained base does, bit for bit."""
        return self.with_edit(ConceptEdit.identity(self._layer().names))

    @property
    def edit_(self) -> ConceptEdit:
        """What is edited now; `print` tells it in words, `table()` as rows."""
        return self._layer().edit

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:
        """Write the model with its edit and its source statistics; see `Method`."""
        described = copy.copy(self)
        if isinstance(self.base, Method):
            described.base = {"name": self.base.info.name, "params": _json_params(self.base)}
        Method.save_pretrained(described, folder, **extra)

    def _layer(self) -> EditedUnits:
        check_is_fitted(self, "model_")
        layer: EditedUnits = self.model_.bottleneck  # type: ignore[assignment]  # made in _train
        return layer

    def _rule(self) -> EditRule:
        settings = self.get_params(deep=False)
        return EditRule(**{k: settings[k] for k in settings.keys() & _THRESHOLDS})

    def _base(self) -> Method:
        base = self.base
        if isinstance(base, Method):
            method: Method = clone(base)
        elif isinstance(base, str):
            method = registry.method(base)()
        elif isinstance(base, Mapping) and set(base) == {"name", "params"}:
            method = registry.method(base["name"])(**base["params"])
        else:
            raise wrong("base", repr(base), "a method, its name, or {'name': ..., 'params': ...}")
        if isinstance(method, TFTTI):
            raise wrong("base", "this method itself", "another method")
        given: dict[str, Any] = {"seed": self.seed, "device": self.device}
        if self.epochs is not None and "epochs" in method.get_params(deep=False):
            given["epochs"] = self.epochs
        method.set_params(**given)
        return method

    def _support(self, X: Any, y: Any) -> tuple[Tensor, Tensor]:
        if isinstance(X, Examples):
            if y is not None:
                raise wrong("y", "labels beside examples", "the examples' own labels")
            labels = X.labels
        else:
            labels = np.asarray(y).tolist() if y is not None else []
        if not len(labels) or len(labels) != len(X):
            raise wrong("y", f"{len(labels)} labels", f"one for each of {len(X)} images, above 0")
        x = self._inputs(X)
        place = {label: i for i, label in enumerate(self.classes_.tolist())}
        for label in labels:
            if label not in place:
                raise unknown("class", label, map(str, place))
        ids = torch.tensor([place[label] for label in labels])
        if missing := [c for c, i in place.items() if i not in set(ids.tolist())]:
            raise wrong("y", f"no image of class {missing[0]!r}", "images of every class")
        return x[torch.arange(len(x))], ids


def _json_params(method: Method) -> dict[str, Any]:
    params = method.get_params(deep=False).items()
    return {k: "external" if isinstance(v, nn.Module) else v for k, v in params}
