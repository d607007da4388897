"""How complex a feature is: how few layers let a linear probe read it.

    K(z) = 1 - (1/n) sum over layers l of I_V(f_l(x) -> z),   z standardised

Near 0: readable from every layer on. Near 1: only at the end, or not at all; that the last layer
decodes the feature must be checked, else not the network but the feature is the problem. The time
to decode is the same over epochs instead of layers: 1 - mean over epochs of I_V from the
penultimate layer then to the feature of the final model; small for what is learned early.

Fel, Béthune, Lampinen, Serre and Hermann 2024, arXiv 2407.06076.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.inputs import layer_batches, matrix
from narrows.measure.complexity.v_information import (
    Ridge,
    notes_of,
    probe_features,
    settings_of,
)

_DECODED = 0.5  # R² of the last layer below which a feature is not the network's


@dataclasses.dataclass(frozen=True, repr=False)
class FeatureComplexity:
    """Complexity of features over layers, or time to decode over checkpoints.

    Attributes:
        complexity: `(k,)` in [0, 1].
        stderr: `(k,)` over which rows were held out.
        v_information: `(layers, k)` held-out R², not below 0.
        v_stderr: `(layers, k)` standard errors.
        layers: names of the layers or checkpoints, in order.
        names: of the features.
        kept: `(k,)` the features' columns in Z.
        dropped: name of a feature without complexity to why.
        importance: `(k,)` as handed over by `with_importance`, or None.
        settings: what was used.
        warnings: what a reader must know.
    """

    complexity: Tensor
    stderr: Tensor
    v_information: Tensor
    v_stderr: Tensor
    layers: tuple[str, ...]
    names: tuple[str, ...]
    kept: Tensor
    dropped: Mapping[str, str]
    importance: Tensor | None
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def with_importance(self, importance: Any) -> FeatureComplexity:
        """The same beside the features' importance.

        Args:
            importance: one number for each feature, or for each column of Z.

        Raises:
            InvalidInput: another length, NaN or infinite values.
        """
        found = matrix("importance", importance)[:, 0]
        if len(found) == len(self.names) + len(self.dropped):
            found = found[self.kept]
        if len(found) != len(self.names):
            wanted = f"{len(self.names)}, or one for each column of Z"
            raise wrong("importance", f"{len(found)} numbers", wanted)
        return dataclasses.replace(self, importance=found)

    def order(self) -> Tensor:
        """`(k,)` places of the features, the simplest first."""
        return self.complexity.argsort(stable=True)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        lists = {k: v.tolist() for k, v in found.items() if isinstance(v, Tensor)}
        tuples = {k: list(v) for k, v in found.items() if isinstance(v, tuple)}
        return found | lists | tuples | {k: dict(found[k]) for k in ("dropped", "settings")}

    def save(self, path: str | Path) -> None:
        """Write figures and a row for each feature as one page that opens offline."""
        from narrows.report.complexity_page import write_complexity

        write_complexity(self, path)

    def to_png(self, path: str | Path) -> None:
        """Draw complexity (against importance where it is known) into a PNG file."""
        from narrows.report.complexity_page import draw_complexity
        from narrows.report.spectrum_page import save_png

        save_png(draw_complexity(self), path)

    def __repr__(self) -> str:
        low, middle, high = torch.quantile(
            self.complexity, torch.tensor([0, 0.5, 1], dtype=self.complexity.dtype)
        ).tolist()
        gone = (
            f"\n  note: {len(self.dropped)} dropped: {_few(self.dropped)}" if self.dropped else ""
        )
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return (
            f"complexity of {len(self.names):,} features over {len(self.layers)} layers: "
            f"{low:.3f} to {high:.3f}, median {middle:.3f}{gone}{notes}"
        )


def feature_complexity(
    layers: Any,
    Z: Any,
    *,
    names: Sequence[str] | None = None,
    ridge: Ridge = "cv",
    holdout: float = 0.3,
    folds: int = 5,
    seed: int = 0,
) -> FeatureComplexity:
    """K of each feature, and what each layer tells of it.

    Memory: `8 (folds + 1) (d^2 + d k)` bytes a layer beside Z, whatever the number of rows. A
    `PooledLayers` runs its model twice over its batches.

    Args:
        layers: in the order of the network: a `PooledLayers`, or a mapping from layer to
            `(n, d)` arrays, tensors or memory maps. Each block's output is usual.
        Z: `(n, k)` features, rows as in the layers.
        names: of the features; `0`, `1`, ... by default.
        ridge: as for `linear_v_information`.
        holdout: share of rows on which the probes are held to account.
        folds: parts of the other rows, for the choice of the penalty.
        seed: of the split.

    Raises:
        InvalidType: no numbers, no layers.
        InvalidInput: other shapes, unequal lengths, too few rows, NaN or infinite values, no
            feature that varies, settings outside their range.

    Example:
        >>> x = torch.randn(600, 2, generator=torch.Generator().manual_seed(0)).sign()
        >>> both = torch.cat([x, x[:, :1] * x[:, 1:]], 1)
        >>> found = feature_complexity({"input": x, "xor": both}, both, names=["a", "b", "xor"])
        >>> [round(k, 1) for k in found.complexity.tolist()]
        [0.0, 0.0, 0.5]
    """
    found, probed = probe_features(
        layer_batches(layers), Z, names, ridge=ridge, holdout=holdout, folds=folds, seed=seed
    )
    value = probed.r2.clamp(min=0, max=1)
    return FeatureComplexity(
        complexity=1 - value.mean(0),
        stderr=probed.mean_stderr,
        v_information=value,
        v_stderr=probed.stderr,
        layers=probed.layers,
        names=found.names,
        kept=found.kept,
        dropped=found.dropped,
        importance=None,
        settings=settings_of(probed, ridge, holdout, folds, seed),
        warnings=notes_of(probed) + _undecoded(value[-1], found.names, probed.layers[-1]),
    )


def time_to_decode(checkpoints: Any, Z: Any, **settings: Any) -> FeatureComplexity:
    """1 - mean over checkpoints of I_V(penultimate layer then -> final feature), for each feature.

    Args:
        checkpoints: in the order of training: a mapping from checkpoint to the penultimate
            layer's `(n, d)` features of the same rows.
        Z: `(n, k)` features of the final model.
        settings: as for `feature_complexity`.

    Raises:
        As `feature_complexity`.
    """
    return feature_complexity(checkpoints, Z, **settings)


def _undecoded(last: Tensor, names: tuple[str, ...], layer: str) -> tuple[str, ...]:
    lost = [name for name, value in zip(names, last.tolist(), strict=True) if value < _DECODED]
    if not lost:
        return ()
    told = f"{len(lost)} features have R² below {_DECODED} in the last layer, {layer}"
    return (f"{told} ({_few(lost)}): they may be no features of this network",)


def _few(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
