"""From distances to probabilities: Platt scaling of many concepts at once."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong

_STEPS, _HALVINGS = 100, 40
_TOLERANCE = 1e-9  # of the gradient, a share of the rows


def platt(distances: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset of `sigmoid(gain d + offset)`, the most likely for each concept.

    Platt (1999) with the targets of Lin, Lin and Weng (2007): `n` rows of one kind count as
    `n + 1` of `n + 2`, so that rows a distance tells apart perfectly give a finite gain. Newton
    steps on two numbers a concept, halved until the loss falls.

    Memory: about ten arrays `(N, k)` in float64.

    Args:
        distances: `(N, k)`, finite.
        targets: `(N, k)` in [0, 1], NaN where unknown.

    Returns:
        `(k,)` gains and `(k,)` offsets, float64. A concept whose labels are all alike, or whose
        distances are, has gain 0; one without labels has offset 0 too.

    Raises:
        InvalidInput: shapes that differ, or distances that are not finite.

    Example:
        >>> d = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> gain, offset = platt(d, torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
        >>> bool(gain > 0), round(abs(float(offset)), 6)
        (True, 0.0)
    """
    if distances.ndim != 2 or distances.shape != targets.shape:
        found = f"shapes {tuple(distances.shape)} and {tuple(targets.shape)}"
        raise wrong("distances, targets", found, "one shape (examples, concepts)")
    if not torch.isfinite(distances).all():
        raise wrong("distances", "a value that is NaN or infinite", "finite values")
    known = ~targets.isnan()
    weight = known.double()
    t = _doubted(targets.double().nan_to_num(0.0), weight)
    count = weight.sum(0).clamp(min=1)
    centre = (weight * distances).sum(0) / count
    scale = (weight * (distances - centre).square()).sum(0).div(count).sqrt()
    flat = scale <= 1e-12 * (1 + centre.abs())
    z = torch.where(flat, 0.0, (distances - centre) / torch.where(flat, 1.0, scale))
    z[~known] = 0.0
    gain, offset = _newton(z, t, weight)
    low, high = torch.where(known, targets, 1.0).amin(0), torch.where(known, targets, 0.0).amax(0)
    gain = torch.where(flat | (low >= high), 0.0, gain / torch.where(flat, 1.0, scale))
    share = ((weight * t).sum(0) / count).logit()
    constant = torch.where(weight.sum(0) > 0, share, 0.0)
    return gain, torch.where(gain == 0, constant, offset - gain * centre)


def _doubted(t: Tensor, weight: Tensor) -> Tensor:
    """Labels moved towards doubt by one example of each kind, `(N, k)`."""
    positive = (weight * t).sum(0)
    negative = weight.sum(0) - positive
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    return low + (high - low) * t


def _loss(eta: Tensor, t: Tensor, weight: Tensor) -> Tensor:
    return (weight * (torch.nn.functional.softplus(eta) - t * eta)).sum(0)


def _newton(z: Tensor, t: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    gain = z.new_zeros(z.shape[1])
    offset = gain.clone()
    loss = _loss(gain * z + offset, t, weight)
    for _ in range(_STEPS):
        p = torch.sigmoid(gain * z + offset)
        off, bend = weight * (p - t), weight * p * (1 - p)
        first, second = (off * z).sum(0), off.sum(0)
        if max(float(first.abs().max()), float(second.abs().max())) <= _TOLERANCE * len(z):
            break
        a, b, c = (bend * z * z).sum(0), (bend * z).sum(0), bend.sum(0)
        # A little on the diagonal keeps flat and unlabelled concepts solvable.
        a, c = a + 1e-12 * len(z), c + 1e-12 * len(z)
        determinant = a * c - b * b
        moves = (c * first - b * second) / determinant, (a * second - b * first) / determinant
        length = torch.ones_like(gain)
        for _ in range(_HALVINGS):
            trial = _loss((gain - length * moves[0]) * z + offset - length * moves[1], t, weight)
            if (better := trial <= loss).all():
                break
            length = torch.where(better, length, length / 2)
        length = torch.where(better, length, 0.0)
        gain, offset = gain - length * moves[0], offset - length * moves[1]
        loss = torch.where(better, trial, loss)
    return gain, offset
