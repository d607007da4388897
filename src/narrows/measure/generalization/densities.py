"""How likely each noisy code is under each row's own normal density, and what that tells of rows.

For q(z|x) = N(mu(x), diag s(x)^2) and codes z_i = mu(x_i) + s(x_i) e_i, of row i

    marginal form   log q(z_i|x_i) - log (1/M) sum_j q(z_i|x_j)
    Jensen form     log q(z_i|x_i) - (1/M) sum_j log q(z_i|x_j)

over M reference rows x_j, the row's own among them. The Jensen form is never below the other.
Densities are products over columns, so their logarithms are summed over columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.errors import unknown, wrong

FORMS = ("marginal", "jensen")
_NUMBERS = 2**22  # of a piece: 32 MB of float64


def log_densities(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log densities q(z_i | x_j) for all pairs, in float64.

    The squares are expanded, so that a pair costs one product a column and nothing of size
    N x M x d is held.

    Args:
        z: `(..., N, d)` codes.
        mean: `(..., M, d)`.
        std: broadcasts to `mean`; above 0.

    Returns:
        `(..., N, M)` nats.

    Example:
        >>> one = torch.zeros(1, 1)
        >>> round(float(log_densities(one, one, torch.ones(1))), 6)
        -0.918939
    """
    shift = mean.detach().double().mean(-2, keepdim=True)  # keeps what is squared small
    z, mean = z.double() - shift, mean.double() - shift
    std = std.double().expand_as(mean)
    precision = std.square().reciprocal()
    scaled = mean * precision
    squares = (
        z.square() @ precision.mT - 2 * (z @ scaled.mT) + (mean * scaled).sum(-1).unsqueeze(-2)
    )
    return -0.5 * squares.clamp(min=0) + _constant(std).unsqueeze(-2)


def local_information(
    mean: Tensor,
    std: Tensor,
    noise: Tensor,
    form: str = "marginal",
    references: Tensor | None = None,
) -> Tensor:
    """What each row's code tells of the row, in nats; differentiable in `mean` and `std`.

    A row that is no reference itself takes the place of the last one, so that each row is
    compared with M rows of which it is one. Without its own the mean over rows would be too high
    in expectation; with it the marginal form is too low, and never above log M in its mean.

    Args:
        mean: `(..., N, d)`; leading dimensions are separate nets.
        std: broadcasts to `mean`.
        noise: `(..., N, d)` standard normal numbers.
        form: marginal or jensen.
        references: `(M,)` distinct rows; all of them by default.

    Returns:
        `(..., N)` in float64. Pieces of 32 MB, times the leading dimensions.

    Raises:
        UnknownName: another form.

    Example:
        >>> far = torch.tensor([[0.0], [100.0]])
        >>> local_information(far, torch.ones(1), torch.zeros(2, 1)).tolist()
        [0.6931471805599453, 0.6931471805599453]
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    rows = mean.shape[-2]
    if references is None:
        references = torch.arange(rows, device=mean.device)
    count = len(references)
    place = torch.full((rows,), count - 1, device=mean.device)
    place[references] = torch.arange(count, device=mean.device)
    mean, std, noise = mean.double(), std.double().expand_as(mean), noise.double()
    own = -0.5 * noise.square().sum(-1) + _constant(std)
    among, their = mean[..., references, :], std[..., references, :]
    step = max(1, _NUMBERS // max(count, mean.shape[-1]))
    found = []
    for start in range(0, rows, step):
        of = slice(start, start + step)
        z = mean[..., of, :] + std[..., of, :] * noise[..., of, :]
        logs = log_densities(z, among, their)
        # exact where a row meets itself, and in place of the last reference where it is none
        at = place[of].expand(logs.shape[:-1]).unsqueeze(-1)
        logs = logs.scatter(-1, at, own[..., of].unsqueeze(-1))
        if form == "marginal":
            found.append(own[..., of] - torch.logsumexp(logs, -1) + math.log(count))
        else:
            found.append(own[..., of] - logs.mean(-1))
    return torch.cat(found, -1)


def checked_code(mean: Tensor, std: Tensor | float) -> tuple[Tensor, Tensor]:
    """Means `(N, d)` in float64 and deviations that broadcast to them, fit for use.

    Raises:
        InvalidInput: not two dimensions, fewer than 2 rows, values that are not finite, deviations
            that are not above 0 or of another shape.
    """
    if mean.ndim != 2 or len(mean) < 2 or mean.shape[1] == 0:
        raise wrong("mean", f"shape {tuple(mean.shape)}", "shape (N, d), 2 rows or more")
    bad = ~mean.isfinite().all(1)
    if bad.any():
        raise wrong("mean", f"a value that is not finite in row {int(bad.nonzero()[0])}", "numbers")
    spread = torch.as_tensor(std, dtype=torch.float64, device=mean.device).detach()
    try:
        spread = spread.expand_as(mean)
    except RuntimeError:
        found = tuple(spread.shape)
        raise wrong("std", f"shape {found}", f"a shape for {tuple(mean.shape)}") from None
    if not (spread.isfinite() & (spread > 0)).all():
        raise wrong("std", "a deviation that is 0, negative or not finite", "deviations above 0")
    return mean.detach().double(), spread


def _constant(std: Tensor) -> Tensor:
    """The part of a log density that no code changes, `(..., N)`."""
    return -std.log().sum(-1) - std.shape[-1] / 2 * math.log(2 * math.pi)
