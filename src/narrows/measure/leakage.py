"""Leakage: what do soft scores tell about the label beyond the concepts they stand for?

Task-information leakage: train one affine head on soft concept scores and one on their bits
1[score >= 1/2], both on the training rows, and compare them on the test rows:

    L_acc  = accuracy(soft) - accuracy(hard)
    L_bits = I(soft) - I(hard),  I(s) = H(Y) - cross-entropy of the head on s

I is the variational lower bound of the mutual information with the label (Barber, Agakov, 2003)
that the trained head gives; H(Y) is that of the test labels and cancels in L_bits. A better
head could find more: the numbers are bounds, not estimates from above. Both compare with the
model's own bits: where a model has given up its concepts for the label, those leak as well, and
only the second test shows it.

Irrelevant concepts: for a label that is independent of all concepts, whatever accuracy a head
on the scores has above chance is leakage.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Dataset, Examples
from narrows.errors import wrong
from narrows.functional.logistic import fit_softmax
from narrows.measure.rows import evaluating, matched, read_rows
from narrows.model import NarrowModel

_ROUNDING = 1e-9  # variances below this share of the largest are rounding of float32 scores
_TOLERANCE = 1e-4  # of the gradient: accuracies settle long before
_L2 = 1e-4  # per row: enough to keep a separable problem finite


@dataclasses.dataclass(frozen=True)
class Leakage:
    """Task-information leakage on the test rows.

    Attributes:
        soft_accuracy: of a head on soft scores.
        hard_accuracy: of a head on their bits.
        soft_bits: bits about the label a head on soft scores finds, a lower bound.
        hard_bits: the same on bits.
    """

    soft_accuracy: float
    hard_accuracy: float
    soft_bits: float
    hard_bits: float

    @property
    def accuracy(self) -> float:
        """Accuracy that soft scores give beyond their bits; above 0 is leakage."""
        return self.soft_accuracy - self.hard_accuracy

    @property
    def bits(self) -> float:
        """Bits about the label that soft scores give beyond their bits."""
        return self.soft_bits - self.hard_bits

    def __float__(self) -> float:
        return self.accuracy

    def __str__(self) -> str:
        return (
            f"leakage {100 * self.accuracy:+.1f} points "
            f"({100 * self.soft_accuracy:.1f} soft, {100 * self.hard_accuracy:.1f} hard), "
            f"{self.bits:+.3f} bits"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**dataclasses.asdict(self), "accuracy": self.accuracy, "bits": self.bits}


@dataclasses.dataclass(frozen=True)
class IrrelevantLeakage:
    """What scores tell about a label that the concepts do not.

    Attributes:
        accuracy: of a head on the scores, on the test rows.
        chance: share of the test rows in the training rows' commonest class.
    """

    accuracy: float
    chance: float

    @property
    def excess(self) -> float:
        """Accuracy above chance; above 0 (beyond sampling error) is leakage."""
        return self.accuracy - self.chance

    def __float__(self) -> float:
        return self.excess

    def __str__(self) -> str:
        return (
            f"irrelevant-concept leakage {100 * self.excess:+.1f} points "
            f"({100 * self.accuracy:.1f}, chance {100 * self.chance:.1f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**dataclasses.asdict(self), "excess": self.excess}


def leakage(model: NarrowModel, data: Dataset) -> Leakage:
    """Task-information leakage of a model's concept scores.

    Args:
        model: its score columns are matched with the concepts of the data by name; units without
            a concept (a side channel) are left out.
        data: heads are trained on its training rows and compared on its test rows.

    Raises:
        InvalidInput: no concept labels, no name in common, scores that are not in [0, 1].
    """
    train, test = (_scores(model, rows) for rows in (data.train, data.test))
    for split, scores in (("train", train), ("test", test)):
        if bool(((scores < 0) | (scores > 1)).any()):
            raise wrong(f"scores of the {split} rows", "values outside [0, 1]", "probabilities")
    soft = _judge(train, data.train, test, data.test)
    hard = _judge((train >= 0.5).to(train), data.train, (test >= 0.5).to(test), data.test)
    return Leakage(soft[0], hard[0], soft[1], hard[1])


def irrelevant_leakage(model: NarrowModel, train: Examples, test: Examples) -> IrrelevantLeakage:
    """The irrelevant-concept test.

    Args:
        model: trained to read concepts.
        train: rows with the concepts' names, whose `y` is a label independent of them.
        test: rows of the same kind.

    Raises:
        InvalidInput: no concept labels, no name in common, classes that differ.
    """
    if train.classes != test.classes:
        raise wrong("test.classes", test.classes, f"train's {train.classes}")
    accuracy, _ = _judge(_scores(model, train), train, _scores(model, test), test)
    commonest = train.y.bincount(minlength=len(train.classes)).argmax()
    return IrrelevantLeakage(accuracy, float((test.y == commonest).double().mean()))


def _scores(model: NarrowModel, rows: Examples) -> Tensor:
    """`(n, k)` scores of the columns that have a concept's name."""
    pairs = matched(model.bottleneck.columns, rows)
    reading = read_rows(model, rows)
    with evaluating(model):
        return model.bottleneck.scores(reading)[:, list(pairs)].double().cpu()


def _judge(soft: Tensor, train: Examples, test_soft: Tensor, test: Examples) -> tuple[float, float]:
    """Test accuracy and bits about the label of an affine head."""
    for name, rows in (("train", train), ("test", test)):
        if bool((rows.y < 0).any()):
            raise wrong(f"{name}.y", "rows without a label", "a label for each row")
    classes, y = len(train.classes), test.y.cpu()
    mean, directions = _whitening(soft)
    z, test_z = (soft - mean) @ directions, (test_soft - mean) @ directions
    head = fit_softmax(z, train.y.cpu(), classes, l2=_L2 * len(z), tol=_TOLERANCE)
    logits = test_z @ head.weight.T + head.bias
    nats = torch.nn.functional.cross_entropy(logits, y)
    share = y.bincount(minlength=classes).double() / len(y)
    bits = (torch.special.entr(share).sum() - nats) / math.log(2)
    return float((logits.argmax(1) == y).double().mean()), float(bits)


def _whitening(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `(k,)` and directions `(k, m)` in which the scores vary, scaled to variance 1.

    What leaks may sit in a narrow range. An affine head does not care, but its penalty would.
    """
    mean = scores.mean(0)
    values, vectors = torch.linalg.eigh((scores - mean).T.cov(correction=0).reshape(len(mean), -1))
    varies = values > _ROUNDING * values[-1]
    varies[-1] = True  # one column at least, of zeros where no score varies
    return mean, vectors[:, varies] / values[varies].clamp(min=_ROUNDING**2).sqrt()
