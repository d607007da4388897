"""Bounds on mutual information as differentiable functions of scores.

A critic T(x, y) is scored on n pairs of the joint, `joint (..., n)`, and on k pairs of the product
of margins for each of these, `product (..., n, k)`. Leading dimensions (seeds) stay. `pairs` makes
both from a `(..., n, n)` matrix of all scores, the joint on its diagonal.

    DV / MINE  E_p T - log E_q e^T                     (Donsker-Varadhan; Belghazi et al. 2018)
    NWJ        E_p T - E_q e^(T - 1)                   (Nguyen, Wainwright and Jordan 2010)
    InfoNCE    E log[e^T_ii / mean_j e^T_ij]           (van den Oord et al. 2018)
    SMILE      E_p T - log E_q e^clip(T, -t, t)        (Song and Ermon 2020), T trained by JS
    JS         -E_p softplus(-T) - E_q softplus(T)     (Nowozin et al. 2016), no number of nats
    CLUB       E_p log q(y | x) - E_q log q(y | x)     (Cheng et al. 2020), from above

All but JS are in nats, and all are to be maximised over T; CLUB is to be minimised over the
representation while q is fitted by likelihood. The public CLUB code averages its second term over
all pairs, the joint ones included, which shrinks the bound by 1 - 1/n; here these are left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from narrows.errors import wrong

_LARGEST = 50.0  # an exponent beyond it would overflow float32 soon


def pairs(scores: Tensor) -> tuple[Tensor, Tensor]:
    """`(..., n)` diagonal and `(..., n, n - 1)` rest of a square matrix of scores.

    Raises:
        InvalidInput: a matrix that is not square, or smaller than 2 by 2.

    Example:
        >>> joint, product = pairs(torch.arange(9.0).view(3, 3))
        >>> joint.tolist(), product.tolist()
        ([0.0, 4.0, 8.0], [[1.0, 2.0], [3.0, 5.0], [6.0, 7.0]])
    """
    if scores.ndim < 2 or scores.shape[-1] != scores.shape[-2] or scores.shape[-1] < 2:
        raise wrong(
            "scores", f"shape {tuple(scores.shape)}", "shape (..., n, n) with n of 2 or more"
        )
    n = scores.shape[-1]
    # Dropping the first entry and cutting rows of n + 1 puts each diagonal entry last in its row.
    rest = scores.flatten(-2)[..., 1:].unflatten(-1, (n - 1, n + 1))[..., :-1]
    return scores.diagonal(dim1=-2, dim2=-1), rest.flatten(-2).unflatten(-1, (n, n - 1))


def dv(joint: Tensor, product: Tensor) -> Tensor:
    """Donsker-Varadhan; a lower bound in expectation up to the bias of the log, e^I / N."""
    _fit(joint, product)
    return joint.mean(-1) - log_mean_exp(product)


def mine(
    joint: Tensor, product: Tensor, average: Tensor, decay: float = 0.99
) -> tuple[Tensor, Tensor]:
    """The objective of MINE: the gradient of DV with a moving average for its denominator.

    The gradient of log E_q e^T over a batch is biased, as it is a ratio of two batch means; over a
    moving average of the denominator it is less so.

    Args:
        joint: `(..., n)`.
        product: `(..., n, k)`.
        average: `(...)` log of the moving average of E_q e^T; -inf at the start.
        decay: what remains of the average in one step.

    Returns:
        What to maximise, `(...)`, and the new average. The first has DV's corrected gradient; its
        own value means nothing.
    """
    _fit(joint, product)
    if not 0 <= decay < 1:
        raise wrong("decay", decay, "a number from 0 up to, not including, 1")
    now = log_mean_exp(product)
    here = now.detach()
    kept = average + (math.log(decay) if decay else -math.inf)
    new = torch.where(average.isneginf(), here, torch.logaddexp(kept, here + math.log1p(-decay)))
    return joint.mean(-1) - (now - new).clamp(max=_LARGEST).exp(), new


def nwj(joint: Tensor, product: Tensor) -> Tensor:
    """Nguyen-Wainwright-Jordan; a lower bound in expectation, best at T = 1 + log p/q."""
    _fit(joint, product)
    return joint.mean(-1) - (product - 1).clamp(max=_LARGEST).exp().mean((-2, -1))


def infonce(joint: Tensor, product: Tensor) -> Tensor:
    """InfoNCE; a lower bound in expectation, never above log(k + 1)."""
    _fit(joint, product)
    return infonce_terms(joint, product).mean(-1)


def infonce_terms(joint: Tensor, product: Tensor) -> Tensor:
    """`(..., n)` the rows' terms of InfoNCE: log e^T_ii over the mean of e^T of all candidates."""
    candidates = torch.cat([joint.unsqueeze(-1), product], -1)
    return joint - candidates.logsumexp(-1) + math.log(candidates.shape[-1])


def smile(joint: Tensor, product: Tensor, clip: float = 5.0) -> Tensor:
    """SMILE: DV with scores clipped in the partition; neither a lower nor an upper bound.

    Clipping trades the variance of e^T for bias; T is to be trained by `js`.
    """
    _fit(joint, product)
    if not clip > 0:
        raise wrong("clip", clip, "a number above 0")
    return joint.mean(-1) - log_mean_exp(product.clamp(-clip, clip))


def js(joint: Tensor, product: Tensor) -> Tensor:
    """Jensen-Shannon objective, best at T = log p/q; its value is not in nats of information."""
    _fit(joint, product)
    return -softplus(-joint).mean(-1) - softplus(product).mean((-2, -1))


def club(joint: Tensor, product: Tensor) -> Tensor:
    """CLUB of scores log q(y | x): an upper bound where q is the conditional, or close to it.

    With q fitted by likelihood it is vCLUB; with k = 1 it is the sampled form.
    """
    _fit(joint, product)
    return joint.mean(-1) - product.mean((-2, -1))


def log_mean_exp(product: Tensor) -> Tensor:
    """`(...)` log of the mean of e^T over the last two dimensions."""
    return product.flatten(-2).logsumexp(-1) - math.log(product.shape[-1] * product.shape[-2])


def _fit(joint: Tensor, product: Tensor) -> None:
    if joint.ndim < 1 or product.shape[:-1] != joint.shape or not product.numel():
        raise wrong(
            "product",
            f"shape {tuple(product.shape)} beside joint {tuple(joint.shape)}",
            "shape (*joint, k) with k of 1 or more",
        )
