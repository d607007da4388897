"""CooP: correct what is uncertain, matters and is cheap.

From "Interactive Concept Bottleneck Models" (Chauhan, Tiwari, Freyberg, Shenoy, Dvijotham; AAAI
2023, arXiv 2212.07430).

    score_j = lambda_u H(p_j) / ln V  +  lambda_i |sum_v P(v) p(y*|v) - p(y*)|  -  lambda_c cost_j

y* is the class decided now, v runs over the V answers to turn j and P(v) is how probable the model
finds them: p_j and 1 - p_j for a single concept; a group of exclusive ones is a single question,
with its scores divided by their sum. H is the entropy of P, so that its term lies in [0, 1] like
the others; costs are relative to the dearest turn. The turn of the largest score is corrected with
the truth and all are scored again: y* and its probability follow the corrections.

The weights are chosen on validation rows, all points of the grid at once: what the answers change
is computed once per row and shared. Without validation rows all weights are 1.

Public code averages the concepts of a group, adds costs instead of subtracting them, corrects the
union of all rows' choices where there are no groups, and restores a concept's column from a view
that it has overwritten.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.measure.corrections import Corrections
from narrows.measure.intervention.moves import Moves, answers
from narrows.measure.intervention.state import State
from narrows.measure.intervention.trial import Trial, log_odds_, trials

_ROWS = 1000  # of validation: a few weights need no more


@dataclasses.dataclass(frozen=True)
class Weights:
    """Of CooP's three terms."""

    uncertainty: float = 1.0
    importance: float = 1.0
    cost: float = 1.0


# Only ratios count. An importance is a change of one probability, often far below an entropy.
_RATIOS = ((1.0, 1.0), (1.0, 0.0), (1.0, 10.0), (1.0, 100.0), (1.0, 1000.0), (0.0, 1.0))
_COSTS = (1.0, 0.0, 0.01, 0.1, 10.0)


def coop(state: State) -> Tensor:
    """Uncertain, important and cheap turns first, scored again after each correction.

    Each step tries all answers on all rows: n * turns * answers * classes operations.

    Raises:
        InvalidInput: scores that are no probabilities.
    """
    weights = Weights() if state.held_out is None else tune(state)
    order, _ = _follow(state.corrections, _prices(state), [weights])
    return order[:, 0]


def tune(state: State) -> Weights:
    """The weights whose curve has the largest area on the validation rows; the first if several.

    The area is that of accuracy over the cost spent, by trapezoids; where all turns cost the same
    it is the area of the intervention curve. At most 1,000 rows are used, spaced evenly.

    Raises:
        InvalidInput: no validation rows.
    """
    ready, prices = state.validation(_ROWS), _prices(state)
    grid = [
        Weights(u, i, c)
        for c, (u, i) in itertools.product(_COSTS if state.costs is not None else (0.0,), _RATIOS)
    ]
    order, right = _follow(ready, prices, grid)
    spent = prices[order] if state.costs is not None else torch.ones_like(prices)[order]
    area = ((right[..., 1:] + right[..., :-1]) / 2 * spent).sum((0, 2))
    return grid[int(area.argmax())]


def _prices(state: State) -> Tensor:
    """`(turns,)` costs relative to the largest."""
    if state.costs is None:
        return torch.zeros(len(state.turns), dtype=torch.float64, device=state.corrections.y.device)
    return state.costs / state.costs.max()


def _follow(ready: Corrections, prices: Tensor, grid: Sequence[Weights]) -> tuple[Tensor, Tensor]:
    """Correct all rows by each of some weights.

    Returns:
        `(n, weights, turns)` the orders, and `(n, weights, turns + 1)` float64 where the decision
        is right.
    """
    moves = answers(ready)
    each = torch.tensor([dataclasses.astuple(w) for w in grid], dtype=torch.float64)
    orders, rights = [], []
    for trial in trials(moves, len(grid)):
        weights = each.to(prices.device).repeat(len(trial.rows) // len(grid), 1)
        u, i, c = weights[..., None].unbind(1)
        now = trial.now()
        right = [now.argmax(1) == trial.y]
        for step in range(len(ready.turns)):
            if step == 0 or not ready.alone:  # else the model says the same of what is left
                chances = moves.chances(trial.scores())
                given = u * uncertainty(moves, chances) - c * prices
            score = i * importance(moves, chances, trial, now) + given
            trial.take(score.masked_fill_(trial.done, -torch.inf).argmax(1))
            now = trial.now()
            right.append(now.argmax(1) == trial.y)
        orders.append(torch.stack(trial.taken, 1).unflatten(0, (-1, len(grid))))
        rights.append(torch.stack(right, 1).unflatten(0, (-1, len(grid))))
    return torch.cat(orders), torch.cat(rights).double()


def uncertainty(moves: Moves, chances: Tensor) -> Tensor:
    """`(r, turns)` the entropy of the answers `(r, moves)` over that of equally probable ones."""
    entropy = moves.per_turn(-torch.xlogy(chances, chances))
    return entropy / torch.bincount(moves.turn).log()


def importance(moves: Moves, chances: Tensor, trial: Trial, now: Tensor) -> Tensor:
    """`(r, turns)` how far the probability of the present decision is expected to move.

    Args:
        moves: the answers.
        chances: `(r, moves)` of them.
        trial: the rows.
        now: `(r, classes)` their logits.
    """
    best = now.argmax(1)
    after = torch.sigmoid(-trial.against(best))
    before = torch.sigmoid(-log_odds_(now.clone(), best))
    return (moves.per_turn(chances * after) - before[:, None]).abs_()
