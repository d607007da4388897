"""Training that holds a code's information at a number of nats.

L = CE + lam (C - I), and after each step lam <- lam + eta (C - I): a Lagrange multiplier of the
equation I = C. Where I is below C it grows and rewards information; where I is above C it falls,
below 0 too, and charges for it. As in the released code of Kawaguchi et al. (ICML 2023), where
C = 1.5 nats, eta = 5e-4, lam starts at 0 and I is the marginal form on at most 256 rows. That rate
is slow: in 300 steps it goes part of the way, while 2e-3 to 5e-3 arrive; far larger ones overshoot
to the ceiling of I, where its gradient is gone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.errors import wrong


class MIConstraint(nn.Module):
    """The multiplier, and what it adds to a loss.

    Args:
        target: C in nats; a tensor for several nets at once.
        rate: eta, 0 or more; the same.
        start: the multiplier's first value.

    Raises:
        InvalidInput: numbers that are not finite, a negative rate.

    Example:
        >>> hold = MIConstraint(target=1.5, rate=0.1)
        >>> information = torch.tensor(0.5)
        >>> hold.step(information)
        >>> loss = hold(information)
        >>> round(float(hold.multiplier), 6), round(float(loss), 6)
        (0.1, 0.1)
    """

    target: Tensor
    rate: Tensor
    multiplier: Tensor

    def __init__(
        self, target: float | Tensor = 1.5, rate: float | Tensor = 5e-4, start: float = 0.0
    ) -> None:
        super().__init__()
        wanted, speed = torch.as_tensor(target).double(), torch.as_tensor(rate).double()
        if not wanted.isfinite().all():
            raise wrong("target", "a number that is not finite", "nats")
        if not (speed.isfinite() & (speed >= 0)).all():
            raise wrong("rate", rate, "finite numbers, 0 or more")
        begin = torch.zeros(torch.broadcast_shapes(wanted.shape, speed.shape)).double() + start
        if not begin.isfinite().all():
            raise wrong("start", start, "a finite number")
        self.register_buffer("target", wanted)
        self.register_buffer("rate", speed)
        self.register_buffer("multiplier", begin)

    def forward(self, information: Tensor) -> Tensor:
        """What to add to the loss: lam (C - I), of the shape of I."""
        return self.multiplier * (self.target - information)

    @torch.no_grad()
    def step(self, information: Tensor) -> None:
        """Move the multiplier, after the weights have been moved."""
        # not in place: a loss made with the old one may still go backwards
        self.multiplier = self.multiplier + self.rate * (self.target - information.detach())
