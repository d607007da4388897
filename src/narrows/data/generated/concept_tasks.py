"""`xor`, `trig` and `dot`: drawn by formula, with concepts that do or do not tell the label.

The synthetic tasks of concept embedding models (Espinosa Zarlenga et al. 2022, arXiv 2209.09056),
by the generators of their public code. In `xor` the concepts determine the label, in `trig`
nearly, in `dot` they do not: `concept_ceiling` says how right one can be who sees nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from narrows.data.assemble import schema_settings
from narrows.data.record import Concepts, Dataset, Examples
from narrows.data.registry import dataset
from narrows.data.split import SPLITS, check_seed
from narrows.errors import unknown, wrong

_SIZES = (2_100, 300, 600)  # the paper's 3,000 samples, 70/10/20
_CLASSES = (False, True)
_NODES = 400  # of the quadrature in each direction
_FAR = 9.0  # standard deviations: what lies beyond is less than 1e-18

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]  # features, concepts, labels


@dataset("xor")
def xor(sizes: Sequence[int] = _SIZES, seed: int = 0) -> Dataset:
    """`x` uniform on the unit square, concepts `x_i > 1/2`, the label is whether they differ.

    Args:
        sizes: rows in train, val and test.
        seed: of everything random.

    Raises:
        InvalidInput: sizes that are not three positive whole numbers, a negative seed.

    Example:
        >>> xor()
        Dataset('xor', 2100 + 300 + 600 rows, x (2,), 2 classes, 2 concepts)
    """
    return _drawn("xor", _xor, ("a", "b"), ("a is high", "b is high"), sizes, seed)


@dataset("trig")
def trig(sizes: Sequence[int] = _SIZES, seed: int = 0) -> Dataset:
    """Three hidden normal numbers; concepts are their signs, the label is `u + v + w > 1`.

    `u, v, w ~ N(0, 2^2)`; the features are `sin u + u, cos u + u`, the same of v and w, and
    `u^2 + v^2 + w^2`. Arguments and errors as `xor`.

    Example:
        >>> trig()
        Dataset('trig', 2100 + 300 + 600 rows, x (7,), 2 classes, 3 concepts)
    """
    names = [f"{f} {v} + {v}" for v in "uvw" for f in ("sin", "cos")]
    concepts = ("u is positive", "v is positive", "w is positive")
    return _drawn("trig", _trig, (*names, "uu + vv + ww"), concepts, sizes, seed)


@dataset("dot")
def dot(sizes: Sequence[int] = _SIZES, seed: int = 0) -> Dataset:
    """Two hidden vectors in the plane; the label is whether the angle between them is acute.

    `v, w ~ N(0, 2^2 I)`; the features are `v + w` and `v - w`, the concepts `v . (1, 1) > 0` and
    `w . (-1, -1) > 0`. Arguments and errors as `xor`.

    Example:
        >>> dot()
        Dataset('dot', 2100 + 300 + 600 rows, x (4,), 2 classes, 2 concepts)
    """
    features = ("v1 + w1", "v2 + w2", "v1 - w1", "v2 - w2")
    concepts = ("v points up right", "w points down left")
    return _drawn("dot", _dot, features, concepts, sizes, seed)


def concept_ceiling(name: str) -> float:
    """The highest accuracy of any function of the true concepts, on endless data.

    That is the mean over concept vectors c of `max(P(y | c), 1 - P(y | c))`: in `xor` 1; in `dot`
    3/4, since the difference of two directions that are uniform over one half plane is acute with
    probability 1 - (1/2)^2, whatever the concepts; in `trig` by quadrature, to about 1e-6.

    Raises:
        UnknownName: another name.

    Example:
        >>> round(concept_ceiling("trig"), 3), concept_ceiling("dot")
        (0.813, 0.75)
    """
    ceilings: dict[str, Callable[[], float]] = {
        "xor": lambda: 1.0,
        "trig": _trig_ceiling,
        "dot": lambda: 0.75,
    }
    if name not in ceilings:
        raise unknown("task", name, ceilings)
    return ceilings[name]()


def _xor(rng: np.random.Generator, rows: int) -> Drawn:
    x = rng.random((rows, 2))
    c = x > 0.5
    return x, c, c[:, 0] != c[:, 1]


def _trig(rng: np.random.Generator, rows: int) -> Drawn:
    hidden = rng.normal(0, 2, (rows, 3))
    waves = np.stack([np.sin(hidden) + hidden, np.cos(hidden) + hidden], axis=2)
    length = (hidden**2).sum(1, keepdims=True)
    x = np.concatenate([waves.reshape(rows, 6), length], axis=1)
    return x, hidden > 0, hidden.sum(1) > 1


def _dot(rng: np.random.Generator, rows: int) -> Drawn:
    v, w = rng.normal(0, 2, (2, rows, 2))
    c = np.stack([v.sum(1) > 0, w.sum(1) < 0], axis=1)
    return np.concatenate([v + w, v - w], axis=1), c, (v * w).sum(1) > 0


def _drawn(
    name: str,
    draw: Callable[[np.random.Generator, int], Drawn],
    features: Sequence[str],
    concepts: Sequence[str],
    sizes: Sequence[int],
    seed: int,
) -> Dataset:
    """Draw each split from a stream of its own, so that its size changes no other split."""
    if len(sizes) != 3 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise wrong("sizes", sizes, "three positive whole numbers: train, val, test")
    check_seed(seed)
    schema = Concepts(tuple(concepts))
    parts: dict[str, Examples] = {}
    streams = np.random.SeedSequence(seed).spawn(3)
    for split, size, stream in zip(SPLITS, sizes, streams, strict=True):
        x, c, y = draw(np.random.default_rng(stream), size)
        parts[split] = Examples(
            torch.from_numpy(x.astype(np.float32)),
            torch.from_numpy(y.astype(np.int64)),
            torch.from_numpy(c.astype(np.float32)),
            _CLASSES,
            schema,
        )
    settings = {
        "source": name,
        "target": "label",
        "prefix": "concept:",
        "sizes": dict(zip(SPLITS, sizes, strict=True)),
        "seed": seed,
        "features": list(features),
        "columns": [{"name": feature} for feature in features],
        **schema_settings(_CLASSES, schema),
    }
    return Dataset(name, **parts, settings=settings)


def _trig_ceiling() -> float:
    """By the signs: u, v, w are twice the absolute value of a normal number, or its negative."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    a = (nodes + 1) * _FAR / 2
    density = weights * _FAR / 2 * np.sqrt(2 / math.pi) * np.exp(-(a**2) / 2)
    both = np.outer(density, density)
    right = []
    for first, second, third in itertools.product((1, -1), repeat=3):
        # Wanted: third |w| > edge. |w| exceeds e > 0 with probability erfc(e / sqrt(2)).
        edge = 0.5 - first * a[:, None] - second * a[None]
        least = torch.from_numpy(third * edge / math.sqrt(2)).clamp(min=0.0)
        above = torch.special.erfc(least).numpy()
        p = float((both * (above if third > 0 else 1 - above)).sum())
        right.append(max(p, 1 - p))
    return sum(right) / len(right)
