"""The two phases of gradients: drift, where batches agree, and diffusion, where noise rules.

For each parameter W, over the batches b of an epoch, with the weights held still:

    mean = |mean_b g_b| / |W|,  deviation = |std_b g_b| / |W|,  SNR = mean / deviation

in Frobenius norms (Shwartz-Ziv and Tishby 2017). The SNR falls when drift ends; it falls in
networks without any compression too (Saxe et al. 2018).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from narrows.errors import wrong


@dataclasses.dataclass(frozen=True)
class GradientPhase:
    """The gradient of one parameter over batches.

    Attributes:
        mean: norm of the mean gradient over that of the weights.
        deviation: norm of the standard deviation over that of the weights.
    """

    mean: float
    deviation: float

    @property
    def snr(self) -> float:
        """Signal to noise: above 1 drift, far below 1 diffusion."""
        return self.mean / self.deviation if self.deviation else math.inf


def gradient_phases(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    parameters: Sequence[str] | None = None,
) -> dict[str, GradientPhase]:
    """Mean and deviation of the gradients of batches, at the model's present weights.

    The model's weights and gradients stay as they are; it runs in the mode it is in.

    Args:
        model: from x to what the loss takes.
        batches: `(x, y)` pairs, at least 2.
        loss: of output and y.
        parameters: names; by default all that are trained and have two dimensions or more.

    Returns:
        Parameter name to its phase.

    Memory: twice the parameters, in float64.

    Raises:
        InvalidInput: fewer than 2 batches, no such parameter, weights that are all 0.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> x = torch.eye(2)
        >>> found = gradient_phases(model, [(x, torch.tensor([0, 1])), (x, torch.tensor([0, 1]))])
        >>> found["weight"].deviation
        0.0
    """
    known = {n: p for n, p in model.named_parameters() if p.requires_grad}
    names = [n for n, p in known.items() if p.ndim > 1] if parameters is None else list(parameters)
    if not names or set(names) - set(known):
        raise wrong("parameters", f"{names}", f"names among {', '.join(known) or 'none'}")
    means = [torch.zeros_like(known[n], dtype=torch.float64) for n in names]
    squares = [torch.zeros_like(m) for m in means]
    count = 0
    for x, y in batches:
        with torch.enable_grad():
            value = loss(model(x), y)
            gradients = torch.autograd.grad(value, [known[n] for n in names])
        count += 1
        for mean, square, gradient in zip(means, squares, gradients, strict=True):
            gap = gradient.double() - mean
            mean += gap / count
            square += gap * (gradient.double() - mean)
    if count < 2:
        raise wrong("batches", f"{count}", "at least 2")
    found = {}
    for name, mean, square in zip(names, means, squares, strict=True):
        size = float(known[name].detach().double().norm())
        if size == 0:
            raise wrong("parameters", f"{name!r} with weights all 0", "weights to compare with")
        found[name] = GradientPhase(
            float(mean.norm()) / size, float((square / count).sum().sqrt()) / size
        )
    return found


def knee(epochs: Sequence[int], snr: Sequence[float]) -> int:
    """The epoch at which drift becomes diffusion.

    Log SNR over log epoch is fitted by two straight lines that meet; where they meet is the
    knee. Epoch 0 is left out.

    Raises:
        InvalidInput: fewer than 5 epochs above 0, values that are not positive.

    Example:
        >>> epochs = range(1, 1001)
        >>> knee(epochs, [1.0 if e < 100 else 100 / e for e in epochs])
        100
    """
    pairs = [(e, s) for e, s in zip(epochs, snr, strict=True) if e > 0]
    if len(pairs) < 5 or not all(s > 0 and math.isfinite(s) for _, s in pairs):
        raise wrong("snr", f"{len(pairs)} values", "at least 5, positive and finite")
    x, y = np.log(np.array(pairs, dtype=np.float64)).T
    best = (math.inf, 0)
    for i in range(1, len(x) - 1):
        design = np.stack([np.ones_like(x), x, np.maximum(x - x[i], 0)], axis=1)
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        best = min(best, (float(left @ left), i))
    return pairs[best[1]][0]
