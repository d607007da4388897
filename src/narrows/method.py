"""Methods in scikit-learn's form: hyper-parameters in, a trained NarrowModel out.

A method is one class: its `info`, its constructor, and `_train`, the paper's recipe. All that
users call (`fit`, `predict`, `score`, files, names) is here, once.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

import narrows
from narrows import distributed, registry
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import FileRefused, InvalidInput, unknown, wrong
from narrows.model import NarrowModel, load_pretrained
from narrows.reading import Reading
from narrows.registry import MethodInfo
from narrows.train import Run, isolated

_ROWS = 4096  # rows at a time through a model: bounds the memory of predict


class Method(TransformerMixin, ClassifierMixin, BaseEstimator):
    """Base of every method.

    Subclasses define `info`, `__init__` that only stores its arguments, and `_train`.

    Attributes:
        model_: the trained `NarrowModel`.
        classes_: sorted labels.
        history_: one row per epoch of every stage.
    """

    info: ClassVar[MethodInfo]
    model_: NarrowModel
    classes_: np.ndarray
    history_: list[dict[str, Any]]
    seed: int
    device: str | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "info" in cls.__dict__:
            registry.register(cls)

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        """The paper's recipe: train on one split, choose by the other where there is one."""
        raise NotImplementedError(f"{type(self).__name__} must define _train")

    def fit(self, X: Any, y: Any = None, concepts: Any = None) -> Self:
        """Train on a data set, or on arrays.

        Args:
            X: a `Dataset` (its validation rows choose the best epoch), `Examples`, or an array
                `(n, features)`, or `(n, channels, height, width)`.
            y: `(n,)` labels of any type, with arrays.
            concepts: `(n, k)` labels in [0, 1], NaN where unknown, with arrays; a data frame's
                columns name them.

        Returns:
            The method itself.

        Raises:
            InvalidInput: concepts missing where the method needs them; shapes that differ.
        """
        return self.fit_run(X, y, concepts)

    def fit_run(
        self,
        X: Any,
        y: Any = None,
        concepts: Any = None,
        *,
        folder: Path | None = None,
        progress: Any = None,
        label: str = "",
    ) -> Self:
        """`fit` with a checkpoint folder to resume from, and a progress bar."""
        train, val = self._examples(X, y, concepts)
        self.require_concepts(train)
        distributed.join()
        run = Run(
            seed=_seed(self.seed),
            device=torch.device(self.device or "cpu"),
            folder=folder,
            identity=self._identity(train, val) if folder is not None else {},
            progress=progress,
            label=label or self.info.name,
        )
        with isolated(run.seed, "init"):
            model = self._train(train, val, run)
        self.model_ = model.to("cpu").eval().requires_grad_(False)
        self.concepts_ = train.concepts
        self.history_ = run.history
        return self

    def require_concepts(self, train: Examples) -> None:
        """Refuse rows without concept labels, where the method needs them.

        Raises:
            InvalidInput: the method needs concepts, and the rows have none.
        """
        if self.info.needs_concepts and (train.c is None or not len(train.concepts)):
            raise wrong(
                "concepts", "no concept labels", f"(n, k) labels: {self.info.name} needs them"
            )

    def predict(self, X: Any) -> np.ndarray:
        """`(n,)` labels, of the type `fit` was given."""
        chosen = self._logits(X).argmax(1).numpy()
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> np.ndarray:
        """`(n, classes)` probabilities; rows sum to 1.

        Raises:
            InvalidInput: inputs so large that the model overflows.
        """
        return self._logits(X).double().softmax(1).numpy()

    def transform(self, X: Any) -> np.ndarray:
        """`(n, units)` what the narrow place says, on the scale people speak."""
        reading = self.read(X)
        return self.model_.bottleneck.scores(reading).numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns `transform` gives."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.bottleneck.columns, dtype=object)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy on labelled `Examples`, or on arrays `X` and `y`."""
        if isinstance(X, Examples) and y is None:
            y = np.asarray(X.labels)
            if strange := sorted(set(X.labels) - set(self.classes_.tolist()), key=str):
                raise unknown("class", strange[0], map(str, self.classes_))
        return float(super().score(X, y, sample_weight))

    @torch.no_grad()
    def read(self, X: Any) -> Reading:
        """The readings of `(n, ...)` inputs, in pieces that bound the memory."""
        x = self._inputs(X)
        pieces = torch.arange(len(x)).split(_ROWS)
        return Reading.cat([self.model_.read(x[rows]) for rows in pieces])

    @torch.no_grad()
    def _logits(self, X: Any) -> Tensor:
        x = self._inputs(X)
        pieces = torch.arange(len(x)).split(_ROWS)
        logits = torch.cat([self.model_(x[rows]).prediction for rows in pieces])
        # The largest is NaN or infinite exactly where something overflowed on the way.
        overflown = ~logits.amax(1).isfinite()
        if overflown.any():
            row = int(overflown.nonzero()[0])
            raise wrong("X", f"numbers in row {row} for which the model overflows", "smaller ones")
        return logits

    def _inputs(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        if isinstance(X, Examples):
            return X.x
        array = validate_data(
            self, _host(X), reset=False, allow_nd=True, dtype=np.float32, ensure_min_samples=1
        )
        return torch.as_tensor(np.ascontiguousarray(array))

    def _examples(self, X: Any, y: Any, concepts: Any) -> tuple[Examples, Examples | None]:
        if isinstance(X, (Dataset, Examples)):
            if y is not None or concepts is not None:
                raise wrong("y, concepts", "labels beside a data set", "the data set's own labels")
            train, val = (X.train, X.val) if isinstance(X, Dataset) else (X, None)
            self.classes_ = np.asarray(train.classes)
            if len(train.x.shape) < 2:
                raise wrong("x", "texts", "features: embed the data first (narrows embed)")
            self.n_features_in_ = int(train.x.shape[1])  # as scikit-learn counts any array's
            return train, val
        array, labels = validate_data(self, _host(X), _host(y), allow_nd=True, dtype=np.float32)
        check_classification_targets(labels)
        self.classes_, ids = np.unique(labels, return_inverse=True)
        names, c = _concept_labels(concepts, len(array))
        x = torch.as_tensor(np.ascontiguousarray(array))
        return (
            Examples(x, torch.as_tensor(ids), c, tuple(self.classes_.tolist()), Concepts(names)),
            None,
        )

    def _identity(self, train: Examples, val: Examples | None) -> dict[str, Any]:
        params = {k: v if _is_json(v) else repr(v) for k, v in self.get_params(deep=False).items()}
        splits = [s for s in (train, val) if s is not None]
        content = narrows.store.digest(
            [
                [*s.digests(), s.y.tolist(), None if s.c is None else s.c.nan_to_num(-1).tolist()]
                for s in splits
            ]
        )
        return {"method": self.info.name, **params, "data": content}

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:
        """Write the trained model and this method's settings; never pickle.

        Args:
            folder: made if missing.
            extra: JSON values to keep beside, for example `metrics={...}`.
        """
        check_is_fitted(self, "model_")
        params = {
            k: "external" if isinstance(v, nn.Module) else v
            for k, v in self.get_params(deep=False).items()
        }
        concepts = {
            "names": list(self.concepts_.names),
            "groups": list(map(list, self.concepts_.groups)),
        }
        self.model_.save_pretrained(
            folder,
            method={"name": self.info.name, "params": params},
            concepts=concepts,
            features=self.n_features_in_,
            **extra,
        )

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the trained model; see `NarrowModel.push_to_hub`."""
        check_is_fitted(self, "model_")
        return self.model_.push_to_hub(repo_id, **options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def from_pretrained(
    folder: str | Path, *, encoder: nn.Module | None = None, revision: str | None = None
) -> Method:
    """Load a saved method, ready to predict.

    Args:
        folder: a local folder, or a hub id when `revision` is given.
        encoder: the user's own encoder, where one was used.
        revision: the pinned hub revision to download.

    Raises:
        FileRefused: damaged, altered or foreign files.
        UnknownName: a method this version does not have.
    """
    model, config = load_pretrained(folder, encoder=encoder, revision=revision)
    if "method" not in config:
        raise FileRefused("config.json: a bare model; load it with NarrowModel.from_pretrained")
    params: Mapping[str, Any] = config["method"]["params"]
    cls = registry.method(config["method"]["name"])
    taken = inspect.signature(cls).parameters
    for name in params:
        if name not in taken:
            raise unknown("config.json method parameter", name, taken)
    method = cls(**{k: encoder if v == "external" else v for k, v in params.items()})
    method.model_ = model.requires_grad_(False)
    method.classes_ = np.asarray(config["classes"])
    method.n_features_in_ = config["features"]
    method.concepts_ = Concepts(
        tuple(config["concepts"]["names"]), tuple(map(tuple, config["concepts"]["groups"]))
    )
    method.history_ = []
    return method


def _host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise wrong("seed", repr(seed), "an integer >= 0")
    return int(seed)


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _concept_labels(concepts: Any, rows: int) -> tuple[tuple[str, ...], Tensor | None]:
    if concepts is None:
        return (), None
    names = getattr(concepts, "columns", None)
    array = np.asarray(_host(concepts), dtype=np.float32)
    if array.ndim != 2 or len(array) != rows:
        raise wrong("concepts", f"shape {array.shape}", f"shape ({rows}, k)")
    if names is None:
        names = [f"concept {j}" for j in range(array.shape[1])]
    return tuple(map(str, names)), torch.as_tensor(array)


def concept_labels(examples: Examples) -> Tensor:
    """The concept labels `(n, k)` of rows that must have them, NaN where unknown."""
    if examples.c is None:
        raise wrong("concepts", "no concept labels", "(n, k) labels")
    return examples.c


def check_choice(argument: str, value: object, choices: tuple[Any, ...]) -> None:
    """Refuse a setting that is not one of the choices."""
    if value not in choices:
        raise wrong(argument, repr(value), "one of " + ", ".join(map(repr, choices)))


def check_positive(**settings: float) -> None:
    """Refuse settings that are not finite and positive."""
    for name, value in settings.items():
        if not 0 < value < float("inf"):
            raise InvalidInput(f"{name}: found {value}, wanted a positive number")
