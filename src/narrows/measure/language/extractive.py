"""A channel of texts whose likelihood is exact: sentences drawn without replacement.

From weights of all sentences for each context, sentences are drawn one after the other, each with
its share of what is left (a Plackett-Luce choice). A check for estimators, and a compressor that
needs no language model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_NEARLY_ALL = 1 - 1e-6  # drawn before: what is left is then added up anew


def draw_summaries(logits: Tensor, generator: torch.Generator, draws: int, k: int) -> Tensor:
    """`(paragraphs, draws, k)` sentences, each drawn from the softmax of those left.

    The k largest of logits with Gumbel noise are such a draw, in its order.

    Args:
        logits: `(paragraphs, sentences)`.
        generator: of the draws.
        draws: summaries of a paragraph.
        k: sentences of a summary.
    """
    shape = (logits.shape[0], draws, logits.shape[1])
    noise = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = -(-noise.clamp(min=1e-300).log()).log()
    return (logits[:, None] + noise).topk(k, dim=2).indices


def summary_log_likelihoods(logits: Tensor, drawn: Tensor) -> Tensor:
    """Log-probabilities `(N, M, N)` of ordered draws under every paragraph, exact.

    Args:
        logits: `(N, sentences)`.
        drawn: `(N, M, k)` sentences.

    Example:
        >>> logits = torch.tensor([[0.5, 0.25, 0.25]]).log()  # 1/4 first, then 1/2 of 3/4
        >>> summary_log_likelihoods(logits, torch.tensor([[[1, 0]]])).exp().item()
        0.1666666...
    """
    share = logits.double().log_softmax(1)
    picked = share.T[drawn]  # (N, M, k, N)
    # What is left before each draw: 1 less what was drawn.
    gone = picked.exp().cumsum(2) - picked.exp()
    left = torch.log1p(-gone.clamp(max=_NEARLY_ALL))
    for i, j, k, x in (gone > _NEARLY_ALL).nonzero().tolist():
        rest = share[x].index_fill(0, drawn[i, j, :k], -math.inf)  # the difference has no digits
        left[i, j, k, x] = rest.logsumexp(0)
    return (picked - left).sum(2)
