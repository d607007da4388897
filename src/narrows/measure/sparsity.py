"""Accuracy at a number of effective concepts: what a decision is worth that a person can read.

Srivastava, Yan and Weng (VLG-CBM, NeurIPS 2024, arXiv 2408.01432). The number of effective
concepts of a linear head is the mean number of weights per class that are not zero,

    NEC(W) = 1/L sum_l |W_l|_0

For m of them: follow the elastic-net path (alpha 0.99, standardised inputs, steps of 2^0.1 down
from where all weights are zero) to the first penalty with NEC >= m, drop the smallest weights of
the whole matrix until m L are left, and take the accuracy on the test rows. The path ends at a
thousandth of its first penalty, as that of Wong et al. (ICML 2021) does: beyond, heads of few
inputs are all but free of the penalty and gain no weights.

With many weights any inputs will do: as many random unit vectors in the space of the features are
as good as concepts. Their row therefore stands beside every result that has features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Dataset, Examples
from narrows.errors import wrong, wrong_type
from narrows.functional.elastic_net import FACTOR, ElasticNetPath, softmax_path
from narrows.measure.impurity import plain
from narrows.measure.rows import device_of, evaluating, pieces, read_rows, targets
from narrows.model import NarrowModel

SIZES = (5, 10, 15, 20, 25, 30)
_ROWS = 4096
_STEPS = math.ceil(math.log(1000, FACTOR)) + 1


@dataclass(frozen=True)
class SparseAccuracy:
    """Accuracy along one path and at given numbers of weights.

    Attributes:
        sizes: weights per class asked for.
        accuracy: `(sizes,)` float64 on the test rows; NaN where the head has no
            more inputs than that, which is not sparse.
        kept: `(sizes,)` float64, weights per class left: the size itself, or fewer where the
            weakest penalty leaves fewer.
        penalties: `(s,)` float64, of the path.
        density: `(s,)` float64, weights per class that are not zero.
        along: `(s,)` float64, accuracy along the path, nothing dropped.
        residual: the largest violation of the optimality conditions, as a share of the penalty.
        inputs: of the head.
    """

    sizes: tuple[int, ...]
    accuracy: Tensor
    kept: Tensor
    penalties: Tensor
    density: Tensor
    along: Tensor
    residual: float
    inputs: int

    @property
    def mean(self) -> float:
        """Over the sizes that exist."""
        return float(self.accuracy.nanmean())

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        columns = ("accuracy", "kept", "penalties", "density", "along")
        return {
            "sizes": list(self.sizes),
            **{name: plain(getattr(self, name).tolist()) for name in columns},
            "mean": plain(self.mean),
            "residual": self.residual,
            "inputs": self.inputs,
        }


@dataclass(frozen=True)
class Sparsity:
    """Accuracy at numbers of effective concepts, beside that of random ones.

    Attributes:
        concepts: with what the head reads.
        random: with as many random unit vectors in the encoder's features.
    """

    concepts: SparseAccuracy
    random: SparseAccuracy

    def __float__(self) -> float:
        return self.concepts.mean

    def __str__(self) -> str:
        sizes = "".join(f"{m:>8}" for m in self.concepts.sizes)
        lines = [f"{'weights a class':<18}{sizes}    mean"]
        for name, row in (("concepts", self.concepts), ("random concepts", self.random)):
            cells = "".join(_cell(value) for value in row.accuracy.tolist())
            lines.append(f"{name:<18}{cells}{_cell(row.mean)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {"concepts": self.concepts.to_dict(), "random": self.random.to_dict()}


def sparse_accuracy(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    n_classes: int,
    sizes: Sequence[int] = SIZES,
) -> SparseAccuracy:
    """Accuracy of sparse linear heads with given numbers of weights per class.

    Memory: that of `softmax_path`; its path holds steps times classes times inputs numbers.

    Args:
        train: `(n, D)` finite inputs and `(n,)` int64 class ids, for the path.
        test: the same, to judge by.
        n_classes: rows of the weight.
        sizes: weights per class, rising.

    Raises:
        InvalidInput: shapes, ids or sizes other than these.

    Example:
        >>> x = torch.eye(4).repeat(5, 1)
        >>> found = sparse_accuracy((x, x.argmax(1)), (x, x.argmax(1)), 4, sizes=(1, 8))
        >>> found.accuracy
        tensor([1., nan], dtype=torch.float64)
    """
    sizes = _checked_sizes(sizes)
    (x, y), (held, truth) = train, test
    if not isinstance(held, Tensor) or not held.is_floating_point():
        raise wrong_type("test", type(held).__name__, "floating point inputs")
    if held.ndim != 2 or len(held) == 0 or held.shape[1] != x.shape[-1]:
        raise wrong("test", f"shape {tuple(held.shape)}", f"shape (n > 0, {x.shape[-1]})")
    if truth.shape != held.shape[:1]:
        raise wrong("test ids", f"shape {tuple(truth.shape)}", f"shape ({len(held)},)")
    if not bool(held.isfinite().all()):
        raise wrong("test", "inputs that are NaN or infinite", "finite inputs")
    inputs = x.shape[1]
    most = max((m for m in sizes if m < inputs), default=sizes[0])
    path = softmax_path(x.double(), y, n_classes, steps=_STEPS, stop=most)
    z = (held.double() - path.mean) / path.scale
    density = path.nonzeros
    accuracy, kept = [], []
    for m in sizes:
        if m >= inputs:
            accuracy.append(math.nan)
            kept.append(math.nan)
            continue
        reached = (density >= m).nonzero()
        step = int(reached[0]) if len(reached) else len(path) - 1
        weight = largest(path.weight[step], m * n_classes)
        accuracy.append(_share(z @ weight.T + path.bias[step], truth))
        kept.append(float((weight != 0).sum()) / n_classes)
    return SparseAccuracy(
        sizes,
        torch.tensor(accuracy, dtype=torch.float64),
        torch.tensor(kept, dtype=torch.float64),
        path.penalties,
        density,
        _along(path, z, truth),
        float(path.residual.max()),
        inputs,
    )


def sparsity_of(
    model: NarrowModel, data: Dataset, sizes: Sequence[int] = SIZES, seed: int = 0
) -> Sparsity:
    """Accuracy at numbers of effective concepts, of a model and of random concepts.

    Where a concept is a vector, each of its numbers counts as an input.

    Args:
        model: any; new heads are fitted on what its head reads.
        data: paths are fitted on the training rows and judged on the test rows.
        sizes: weights per class, rising.
        seed: of the random vectors.

    Raises:
        InvalidInput: rows without a label, inputs that are NaN or infinite, sizes that do not
            rise.
        UnknownName: labels the model has no class for.
    """
    rows = (data.train, data.test)
    y = [targets(model, some).cpu() for some in rows]
    classes = len(model.classes) or len(data.train.classes)
    read = [_written(model, some) for some in rows]
    seen = [_encoded(model, some) for some in rows]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(read[0].shape[1], seen[0].shape[1], generator=generator)
    drawn = drawn.double() / drawn.double().norm(dim=1, keepdim=True)
    found = [
        sparse_accuracy((x[0], y[0]), (x[1], y[1]), classes, sizes)
        for x in (read, [h @ drawn.T for h in seen])
    ]
    return Sparsity(found[0], found[1])


def largest(weight: Tensor, count: int) -> Tensor:
    """The weights with all but the `count` largest set to zero; of equals the first stay.

    Example:
        >>> largest(torch.tensor([[3.0, -1.0], [0.5, -4.0]]), 2)
        tensor([[ 3.,  0.],
                [ 0., -4.]])
    """
    order = weight.abs().flatten().argsort(descending=True, stable=True)
    keep = torch.zeros(weight.numel(), dtype=torch.bool)
    keep[order[:count]] = True
    return torch.where(keep.view_as(weight), weight, 0.0)


def _along(path: ElasticNetPath, z: Tensor, truth: Tensor) -> Tensor:
    steps = zip(path.weight, path.bias, strict=True)
    return torch.tensor([_share(z @ w.T + b, truth) for w, b in steps], dtype=torch.float64)


def _share(logits: Tensor, truth: Tensor) -> float:
    return float((logits.argmax(1) == truth).double().mean())


def _written(model: NarrowModel, examples: Examples) -> Tensor:
    """`(n, inputs)` float64, what the head reads."""
    reading = read_rows(model, examples)
    device = reading.units.device
    with evaluating(model):
        parts = [
            model.bottleneck.write(reading[rows.to(device)]).flatten(1).double().cpu()
            for rows in pieces(len(reading), _ROWS)
        ]
    return torch.cat(parts)


def _encoded(model: NarrowModel, examples: Examples) -> Tensor:
    """`(n, features)` float64, what the encoder gives."""
    own = next(model.parameters(), None)
    dtype = torch.get_default_dtype() if own is None else own.dtype
    with evaluating(model):
        parts = [
            model.encoder(examples.x[rows].to(device_of(model), dtype)).flatten(1).double().cpu()
            for rows in torch.arange(len(examples)).split(_ROWS)
        ]
    return torch.cat(parts)


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    whole = all(isinstance(m, int) and not isinstance(m, bool) and m > 0 for m in sizes)
    if not len(sizes) or not whole or sorted(set(sizes)) != list(sizes):
        raise wrong("sizes", sizes, "rising integers above 0")
    return tuple(sizes)


def _cell(value: float) -> str:
    return f"{'-':>8}" if math.isnan(value) else f"{value:8.3f}"
