"""Gaussian codes: a noisy latent whose rate is a divergence from the standard normal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from narrows import distributed
from narrows.bottleneck import Bottleneck
from narrows.errors import wrong
from narrows.reading import Reading

_OFFSET = 5.0  # softplus(0 - 5) is 0.0067: training starts almost without noise
_RANGE = (-15.0, 1e4)  # of what softplus takes: the deviation stays in [3e-7, 1e4] and finite


def diag_gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, diag std^2) || N(0, I)), summed over the last dimension.

        KL = sum_k (mean_k^2 + std_k^2 - 1) / 2 - log std_k

    Args:
        mean: `(*batch, k)`.
        log_std: `(*batch, k)`, natural logarithms of the deviations.

    Returns:
        `(*batch,)` nats, at least 0, in float32 at least.

    Raises:
        InvalidInput: shapes that differ.

    Example:
        >>> diag_gaussian_kl(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([12.5000])
    """
    if mean.shape != log_std.shape:
        raise wrong("log_std", f"shape {tuple(log_std.shape)}", f"shape {tuple(mean.shape)}")
    wide = torch.promote_types(mean.dtype, torch.float32)
    mean, log_std = mean.to(wide), log_std.to(wide)
    # expm1 keeps the digits of a deviation near 1; what rounding is left must not go below 0.
    spread = (torch.expm1(2 * log_std) - 2 * log_std).clamp(min=0)
    return (mean.square() + spread).sum(-1) / 2


class GaussianBottleneck(Bottleneck):
    """A Gaussian q(z | h) with diagonal covariance, charged against the prior N(0, I).

    One linear layer gives means and raw deviations; `std = softplus(raw - 5)`, as in the code
    the authors of the deep variational information bottleneck released. In training mode the
    deviations pass beside the means and `write` draws `z = mean + std * noise` (noise from
    torch's global generator, as dropout does). In evaluation mode only the means pass, and they
    are what a person reads, corrects and sends. The rate is that of the noisy code in both.

    Args:
        features: width of `h`.
        units: latent dimensions, named `z0`, `z1`, ...
        rate_weight: what a nat costs in the loss: beta of `CE + beta * KL`.

    Raises:
        InvalidInput: no units, or a weight that is negative or not finite.

    Example:
        >>> layer = GaussianBottleneck(4, units=2).eval()
        >>> reading = layer.read(torch.ones(3, 4))
        >>> layer.names, reading.rate.shape, torch.equal(layer.write(reading), reading.units)
        (('z0', 'z1'), torch.Size([3]), True)
    """

    def __init__(self, features: int, units: int = 256, rate_weight: float = 1e-3) -> None:
        if units < 1:
            raise wrong("units", units, "at least 1")
        if not 0 <= rate_weight < float("inf"):
            raise wrong("rate_weight", rate_weight, "a finite number >= 0")
        super().__init__([f"z{i}" for i in range(units)])
        self.rate_weight = rate_weight
        self.linear = nn.Linear(features, 2 * units)

    def code(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Means and deviations `(*batch, units)` of q(z | h)."""
        mean, raw = self.linear(h).chunk(2, -1)
        return mean, softplus((raw - _OFFSET).clamp(*_RANGE))

    def read(self, h: Tensor) -> Reading:
        """Code `(*batch, features)`; the rate is KL(q(z | h) || N(0, I)) in nats."""
        mean, std = self.code(h)
        rate = diag_gaussian_kl(mean, std.to(torch.promote_types(std.dtype, torch.float32)).log())
        return Reading(
            mean,
            context={"std": std} if self.training else {},
            rate=rate,
            penalty=self.rate_weight * distributed.mean(rate),
        )

    def write(self, reading: Reading) -> Tensor:
        """A sample where deviations passed, the means where they did not."""
        if "std" not in reading.context:
            return reading.units
        return reading.units + reading.context["std"] * torch.randn_like(reading.units)
