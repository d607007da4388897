"""Sums over contexts, block by block, from which channel information is made.

Of `ll[i, j, l]`, the log-probability of summary `j` of context `i` had it come from context `l`,
only the own ones (`l = i`) and the logarithm of the sum over `l` are needed. They are kept up to
date as contexts arrive, so memory is `O(N M)` and not `O(N^2 M)`.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type


class ChannelStream:
    """Running sums over contexts.

    Args:
        contexts: N.
        summaries: M of each.

    Memory: `40 N M` bytes and one block.

    Example:
        >>> stream = ChannelStream(2, 1)
        >>> stream.update([0], torch.tensor([[[0.0]], [[-1.0]]]))
        >>> stream.update([1], torch.tensor([[[-1.0]], [[0.0]]]))
        >>> stream.complete
        True
    """

    def __init__(self, contexts: int, summaries: int = 1) -> None:
        for name, value, least in (("contexts", contexts, 2), ("summaries", summaries, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise wrong(name, repr(value), f"a whole number of {least} or more")
        empty = torch.full((contexts, summaries), -math.inf, dtype=torch.float64)
        self.own, self.all, self.others = empty.clone(), empty.clone(), empty.clone()
        self._seen = torch.zeros(contexts, dtype=torch.bool)
        self._looks: Counter[int] = Counter()

    @property
    def complete(self) -> bool:
        """Whether all contexts were seen."""
        return bool(self._seen.all())

    @property
    def alike(self) -> int:
        """Contexts under which all summaries are as likely as under an earlier one."""
        return sum(count - 1 for count in self._looks.values())

    def update(self, contexts: Any, block: Tensor) -> None:
        """Add contexts.

        Args:
            contexts: `(B,)` which of the N, each once in all.
            block: `(N, M, B)` log-probabilities in nats; -inf where it is impossible.

        Raises:
            InvalidType: no numbers.
            InvalidInput: another shape, NaN, +inf, a context out of range or a second time, or a
                summary that is impossible under its own context.
        """
        which = torch.as_tensor(contexts, dtype=torch.long)
        block = self._checked(which, block)
        self._seen[which] = True
        mine = torch.arange(len(self.own))[:, None] == which  # (N, B)
        rows, places = mine.nonzero(as_tuple=True)
        own = block[rows, :, places]
        if (own == -math.inf).any():
            at = int(rows[(own == -math.inf).any(1)][0])
            raise wrong("ll", f"-inf for a summary of context {at} under itself", "a finite number")
        self.own[rows] = own
        self.all = torch.logaddexp(self.all, block.logsumexp(2))
        hidden = block.masked_fill(mine[:, None], -math.inf)
        self.others = torch.logaddexp(self.others, hidden.logsumexp(2))
        self._looks.update(hash(column.numpy().tobytes()) for column in block.movedim(2, 0))

    def _checked(self, which: Tensor, block: Tensor) -> Tensor:
        if not isinstance(block, Tensor) or not block.is_floating_point():
            raise wrong_type("ll", getattr(block, "dtype", type(block).__name__), "a float tensor")
        wanted = (*self.own.shape, len(which)) if which.ndim == 1 else "(N, M, B)"
        if which.ndim != 1 or tuple(block.shape) != wanted:
            raise wrong("ll", f"shape {tuple(block.shape)}", f"shape {wanted}")
        inside = (which >= 0) & (which < len(self.own))
        again = len(which.unique()) < len(which)
        if not inside.all() or again or self._seen[which].any():
            found = f"{which.tolist()[:5]}, out of range or a second time"
            raise wrong("contexts", found, f"each of 0 to {len(self.own) - 1} once")
        block = block.detach().to("cpu", torch.float64)
        bad = block.isnan() | (block == math.inf)
        if bad.any():
            i, j, b = bad.nonzero()[0].tolist()
            found = f"{float(block[i, j, b])} at ({i}, {j}, {int(which[b])})"
            raise wrong("ll", found, "log-probabilities, finite or -inf")
        return block.contiguous()
