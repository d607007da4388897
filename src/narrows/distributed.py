"""What changes when several processes train together; without them everything is the identity.

Start with `torchrun --nproc-per-node N`. Every rank holds the whole model and a share of each
batch; means are taken over the joined batch, so the result is the single-process one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


def join() -> None:
    """Join the process group when started by torchrun; otherwise do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        # gloo cannot cancel a call, so a lost rank must end in an error, not in a hang.
        dist.init_process_group(backend, timeout=timedelta(minutes=10))


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if dist.is_initialized() else 0


def shard(rows: Tensor) -> Tensor:
    """This rank's share of a batch of row numbers."""
    return rows[rank() :: size()]


def total(value: Tensor) -> Tensor:
    """The sum over ranks, without gradient."""
    if size() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value


def mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The weighted mean over the joined batch, scaled so that averaging ranks gives it.

    Args:
        values: this rank's values, any shape.
        weights: same shape, for example 1 where a label is known; None means all ones.

    Returns:
        `()`. With no weight at all the mean is 0, with zero gradient.

    Example:
        >>> mean(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 0.0]))
        tensor(1.)
    """
    weights = torch.ones_like(values) if weights is None else weights.to(values.dtype)
    count = total(weights.sum()) / size()
    return torch.where(weights > 0, values * weights, 0.0).sum() / count.clamp(min=1e-12)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over ranks, in one message."""
    if size() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)  # gloo has no average: sum, then divide
    flat /= size()
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def agree(flag: bool) -> bool:
    """Whether any rank says yes; keeps early stops and interruptions in step."""
    return bool(total(torch.tensor(float(flag))) > 0) if size() > 1 else flag
