"""How far a layer's information fell, as a share, and whether that goes with anything.

The score of a layer is (max over epochs of I(X;T) - I(X;T) at the last epoch) / max: 0 where the
maximum is the end, 1 where nothing is left (Chelombiev et al. 2019; their exact normalisation is
not printed). Over many trained networks it is then put against test accuracy, layer by layer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong
from narrows.measure.watching.plane import InformationPlane
from narrows.measure.watching.plane_table import PlaneTable

Floats = NDArray[np.float64]
_LEAST = 4  # networks; of three, a resample is often constant


@dataclasses.dataclass(frozen=True)
class CompressionScore:
    """One layer's score.

    Attributes:
        layer: the layer.
        most: largest I(X;T), in the unit.
        final: I(X;T) at the last epoch.
        score: the share of the largest that was lost.
        at: epoch of the largest.
        unit: nats or bits.
    """

    layer: str
    most: float
    final: float
    score: float
    at: int
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class ScoreCorrelation:
    """How one layer's score goes with a number of each network.

    Attributes:
        layer: the layer.
        pearson: correlation of the values; NaN where one side does not vary.
        spearman: of their ranks.
        pearson_interval: 95 % of the bootstrap over networks.
        spearman_interval: the same for ranks.
        networks: how many.
        warnings: what a reader must know.
    """

    layer: str
    pearson: float
    spearman: float
    pearson_interval: tuple[float, float]
    spearman_interval: tuple[float, float]
    networks: int
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = self.spearman_interval
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return (
            f"layer {self.layer!r}: spearman {self.spearman:.3f} [{low:.3f}, {high:.3f}], "
            f"pearson {self.pearson:.3f} ({self.networks} networks){notes}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        found = dataclasses.asdict(self)
        for name in ("pearson", "spearman"):
            found[name] = _json(found[name])
            found[f"{name}_interval"] = [_json(end) for end in found[f"{name}_interval"]]
        return {**found, "warnings": list(self.warnings)}


def compression_score(
    plane: InformationPlane | PlaneTable, estimator: str
) -> tuple[CompressionScore, ...]:
    """The score of each layer by one estimator.

    Args:
        plane: snapshots over training.
        estimator: by its name in the plane.

    Raises:
        UnknownName: no such estimator in the plane.

    Example:
        >>> from narrows.measure.watching.plane_table import PlaneRow
        >>> rows = [PlaneRow(e, "1", "ebab", v, 0.0, 9.0) for e, v in enumerate([1.0, 4.0, 3.0])]
        >>> compression_score(PlaneTable(rows), "ebab")[0].score
        0.25
    """
    table = plane.table() if isinstance(plane, InformationPlane) else plane
    names = list(dict.fromkeys(table["estimator"]))
    if estimator not in names:
        raise unknown("estimator", estimator, names)
    return tuple(
        CompressionScore(
            fall.layer,
            fall.most,
            fall.final,
            fall.loss / fall.most if fall.most > 0 else 0.0,
            fall.at,
            fall.unit,
        )
        for fall in table.where(estimator=estimator).compression()
    )


def correlate_scores(
    scores: Mapping[str, Sequence[float]] | Sequence[Sequence[CompressionScore]],
    outcome: Sequence[float],
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> tuple[ScoreCorrelation, ...]:
    """Pearson and Spearman correlation of each layer's score with a number of each network.

    Networks that did not learn the training set belong left out by the caller: a dead network
    has no information to lose and no accuracy either.

    Args:
        scores: layer to one score a network; or for each network what `compression_score` gave.
        outcome: `(networks,)` test accuracy, generalisation gap or the like.
        bootstrap: resamples of networks for the 95 % intervals, at least 100.
        seed: of the resamples.

    Raises:
        InvalidInput: fewer than 4 networks, other lengths, numbers that are not finite.

    Example:
        >>> found = correlate_scores({"9": [0.1, 0.2, 0.3, 0.4]}, [0.5, 0.6, 0.7, 0.9])
        >>> found[0].spearman
        1.0
    """
    y = _line("outcome", outcome)
    if len(y) < _LEAST:
        raise wrong("outcome", f"{len(y)} networks", f"at least {_LEAST}")
    if bootstrap < 100:
        raise wrong("bootstrap", bootstrap, "at least 100")
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(y), size=(bootstrap, len(y)))
    found = []
    for layer, values in _by_layer(scores).items():
        x = _line(f"scores of layer {layer!r}", values)
        if len(x) != len(y):
            raise wrong(f"scores of layer {layer!r}", f"{len(x)}", f"one a network, {len(y)}")
        found.append(_correlation(layer, x, y, drawn))
    return tuple(found)


def _by_layer(scores: Any) -> dict[str, Sequence[float]]:
    if isinstance(scores, Mapping):
        return dict(scores)
    layers = [tuple(one.layer for one in network) for network in scores]
    if not layers or len(set(layers)) > 1:
        raise wrong("scores", f"layers {sorted(set(layers))[:3]}", "the same layers each time")
    return {layer: [network[i].score for network in scores] for i, layer in enumerate(layers[0])}


def _correlation(layer: str, x: Floats, y: Floats, drawn: NDArray[np.int64]) -> ScoreCorrelation:
    values = _pearson(x[None], y[None])[0], _pearson(_ranks(x[None]), _ranks(y[None]))[0]
    again = _pearson(x[drawn], y[drawn]), _pearson(_ranks(x[drawn]), _ranks(y[drawn]))
    warnings: tuple[str, ...] = ()
    still = int(np.isnan(again[0]).sum())
    if np.isnan(values[0]):
        warnings = ("one side is the same for all networks: no correlation",)
    elif still:
        warnings = (f"{still} of {len(drawn)} resamples do not vary and were left out",)
    (p_low, p_high), (s_low, s_high) = map(_interval, again)
    return ScoreCorrelation(
        layer, float(values[0]), float(values[1]), (p_low, p_high), (s_low, s_high), len(x),
        warnings,
    )  # fmt: skip


def _pearson(x: Floats, y: Floats) -> Floats:
    """`(rows,)` correlation of each line of `(rows, n)`; NaN where a line does not vary."""
    still = (x == x[:, :1]).all(1) | (y == y[:, :1]).all(1)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    size[still] = 1
    found = np.clip((x * y).sum(1) / size, -1, 1)
    found[still] = math.nan
    return np.asarray(found)


def _ranks(x: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(x, axis=1), dtype=np.float64)


def _interval(values: Floats) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return math.nan, math.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def _line(name: str, values: Sequence[float]) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise wrong(name, f"shape {found.shape} or numbers not finite", "one finite number each")
    return found


def _json(value: float) -> float | None:
    return None if math.isnan(value) else value
