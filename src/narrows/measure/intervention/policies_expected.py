"""Policies that look one correction ahead.

y_v is the distribution over classes after answer v to the question of turn j, y the one now, P(v)
how probable the model finds the answer: p_j and 1 - p_j for a single concept, and for a group of
exclusive ones the members' scores divided by their sum. Sums run over all answers. The names are
those of "A Closer Look at the Intervention Procedure of Concept Bottleneck Models" (Shin, Jo, Ahn,
Lee; ICML 2023, arXiv 2302.14260), which scores the concepts of a group one by one and averages;
here a group is one variable, since correcting it answers for all its concepts.

With K answers and L classes they take n K L exponentials; pieces of at most 16 MiB hold the
logits, some ten at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from narrows.measure.intervention.moves import answers, truths
from narrows.measure.intervention.policies_static import highest_first
from narrows.measure.intervention.state import State
from narrows.measure.intervention.trial import FAINT, trials


def ectp(state: State) -> Tensor:
    """Largest expected change of the decision first: sum_v P(v) KL(y_v || y)."""
    return highest_first(expected(state, _divergence))


def eudtp(state: State) -> Tensor:
    """Largest expected decrease of uncertainty first: H(y) - sum_v P(v) H(y_v)."""
    return highest_first(expected(state, _entropy_lost))


def oracle(state: State) -> Tensor:
    """The greedy skyline: each time the turn that makes the true class most probable.

    It looks at the label and at the truth, so nobody can follow it: it shows what is left to
    gain. Each step tries all turns on all rows: n * turns^2 * classes operations.
    """
    order = []
    for trial in trials(truths(state.corrections)):
        for _ in state.turns:
            odds = trial.against(trial.y).masked_fill(trial.done, torch.inf)
            trial.take(odds.argmin(1))
        order.append(torch.stack(trial.taken, 1))
    return torch.cat(order)


def expected(state: State, gain: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`(n, turns)` the sum over answers of P(v) times a gain.

    Args:
        state: what the policy may look at.
        gain: from `(r, answers, classes)` log probabilities after each answer and `(r, classes)`
            before any to `(r, answers)`.

    Raises:
        InvalidInput: scores that are no probabilities.
    """
    moves = answers(state.corrections)
    scores = []
    for trial in trials(moves):
        after, now = trial.after().log_softmax(2), trial.now().log_softmax(1)
        scores.append(moves.per_turn(moves.chances(trial.scores()) * gain(after, now)))
    return torch.cat(scores)


def _divergence(after: Tensor, now: Tensor) -> Tensor:
    return (_probable(after) * (after - now[:, None])).sum(2)


def _entropy_lost(after: Tensor, now: Tensor) -> Tensor:
    return (_probable(after) * after).sum(2) - (_probable(now) * now).sum(1, keepdim=True)


def _probable(logs: Tensor) -> Tensor:
    return logs.clamp(min=FAINT).exp_()
