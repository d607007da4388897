"""Policies that score every turn once and correct the highest first.

p_j is what the model says of concept j. The names are those of "A Closer Look at the Intervention
Procedure of Concept Bottleneck Models" (Shin, Jo, Ahn, Lee; ICML 2023, arXiv 2302.14260); random
orders, one for all rows, come from "Concept Bottleneck Models" (Koh et al., ICML 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.corrections import Corrections
from narrows.measure.intervention.state import State


def highest_first(scores: Tensor) -> Tensor:
    """`(n, turns)` the turns by falling score, first ones first where they tie.

    Example:
        >>> highest_first(torch.tensor([[0.2, 0.5, 0.5]]))
        tensor([[1, 2, 0]])
    """
    return scores.sort(dim=1, descending=True, stable=True).indices


def random(state: State) -> Tensor:
    """One random order of the turns, the same for all rows."""
    generator = torch.Generator().manual_seed(state.seed)
    drawn = torch.randperm(len(state.turns), generator=generator)
    return drawn.to(state.corrections.y.device).expand(len(state.corrections), -1)


def uncertainty(state: State) -> Tensor:
    """Least certain first (UCP): largest 1 / (|p_j - 1/2| + eps), in a group its largest.

    That is a decreasing function of |p_j - 1/2|, by which the turns are sorted. Public code writes
    |p_j - 1/2 + eps|, which is not symmetric.
    """
    certain = (state.scores - 0.5).abs()
    each = [certain[:, list(units)].amin(1) for units in state.turns]
    return highest_first(-torch.stack(each, 1))


def lcp(state: State) -> Tensor:
    """Largest loss in concept prediction on validation rows first: the mean of |p_j - c_j|.

    One order for all rows, over the known labels, in a group the mean over its concepts. A turn
    without any known label comes last. The study scores each row by its own loss, which takes the
    truth that is about to be asked for.

    Raises:
        InvalidInput: no validation rows, or scores that are no probabilities.
    """
    rows = state.validation()
    scores = rows.probabilities(rows.model.bottleneck.scores(rows.reading))
    off = (scores - rows.truth).abs().masked_fill(~rows.known, 0).sum(0)
    loss = off / rows.known.sum(0)  # NaN where nothing is known
    each = torch.stack([loss[list(units)].nanmean() for units in state.turns])
    order = highest_first(each.nan_to_num(nan=-torch.inf)[None])
    return order.expand(len(state.corrections), -1)


def cctp(state: State) -> Tensor:
    """Largest contribution to the decision first: sum over classes l of |u_j df_l/du_j|.

    u_j is the unit as the model holds it (a probability, a bit or a logit) and f_l the logit of
    class l. In a group the mean over its concepts. One backward pass a class.

    Raises:
        InvalidInput: a decision that has no gradient with respect to the units.
    """
    ready = state.corrections
    share = torch.cat([_contributions(ready, rows) for rows in ready.pieces(2)])
    return highest_first(torch.stack([share[:, list(t)].mean(1) for t in state.turns], 1))


@torch.enable_grad()
def _contributions(ready: Corrections, rows: Tensor) -> Tensor:
    """`(r, units)` sum over classes l of |u_j df_l/du_j|."""
    reading = ready.reading[rows]
    units = reading.units.detach().clone().requires_grad_()
    logits = ready.model.decide(reading.replace(units=units)).prediction
    if not logits.requires_grad:
        raise InvalidInput(
            "policy: 'cctp' needs the gradient of the decision with respect to the units, "
            "and this model has none"
        )
    total = torch.zeros_like(units, requires_grad=False)
    for logit in logits.unbind(1):
        (slope,) = torch.autograd.grad(logit.sum(), units, retain_graph=True, allow_unused=True)
        if slope is not None:
            total += (slope * units.detach()).abs()
    return total
