"""Are the concepts a decision rests on in the picture?

The second score of Aysel, Cai, Prügel-Bennett, "Concept-Based XAI: Metrics and Benchmarks" (2025),
arXiv 2501.19271, which they name CEM (here the name of a model). For row i, predicted as class k,
with head weights w and concept scores u:

    local importance    r_ij = w_kj u_ij
    existence           of the l concepts with the largest r_i, the share that row i has

A concept that speaks by its absence (negative score, negative weight) counts as an error; with
`polarity` it counts as right when the concept is indeed absent. Labels of the class in place of
the instance make the score look better than it is: say which were used. The formulas are from the
paper; no code of it was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.importance.checks import check_ids, check_mask, table
from narrows.measure.importance.top import TopShare, check_top, judge, ranked


def local_importance(weight: Tensor, scores: Tensor, predicted: Tensor) -> Tensor:
    """`(n, concepts)`: what each concept adds to the logit of the predicted class.

    Args:
        weight: `(classes, concepts)`.
        scores: `(n, concepts)` what the head reads.
        predicted: `(n,)` class ids.

    Example:
        >>> local_importance(torch.tensor([[1.0, -2.0]]), torch.ones(1, 2), torch.tensor([0]))
        tensor([[ 1., -2.]], dtype=torch.float64)
    """
    weight = table("weight", weight, (None, None))
    scores = table("scores", scores, (None, weight.shape[1]))
    return weight[check_ids("predicted", predicted, len(scores), len(weight))] * scores


def existence(
    importance: Tensor,
    labels: Tensor,
    predicted: Tensor,
    frequency: Tensor,
    *,
    top: Sequence[int] = (1, 3, 5),
    polarity: Tensor | None = None,
) -> TopShare:
    """Of the most important concepts of each row, the share the row has.

    Concepts whose label is unknown are not ranked. For the correct predictions alone, pass
    those rows. Memory: about six arrays of `n` times concepts in double precision.

    Baselines: `chance` is any order (exactly the mean share of right concepts, for every l);
    `frequency` ranks concepts by how often the predicted class has them, whatever the row shows.

    Args:
        importance: `(n, concepts)`, see `local_importance`; equal ones keep their order.
        labels: `(n, concepts)` in [0, 1], of the instance where there are such, NaN unknown.
        predicted: `(n,)` class ids.
        frequency: `(classes, concepts)`, see `class_means`.
        top: how many concepts, each at most all of them.
        polarity: `(n, concepts)` bool, whether the score says that the concept is there. A
            concept that is important by its absence is then right when it is absent.

    Example:
        >>> labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> found = existence(labels, labels, torch.tensor([0, 1]), labels, top=(1, 2))
        >>> found.share.tolist(), found.baselines["chance"].tolist()
        ([1.0, 0.5], [0.5, 0.5])
    """
    importance = table("importance", importance, (None, None))
    shape = (importance.shape[0], importance.shape[1])
    labels = table("labels", labels, shape, unknown_allowed=True)
    if bool(((labels < 0) | (labels > 1)).any()):
        raise wrong("labels", "a value outside [0, 1]", "[0, 1], NaN where unknown")
    frequency = table("frequency", frequency, (None, shape[1]), unknown_allowed=True)
    predicted = check_ids("predicted", predicted, len(labels), len(frequency))
    top = check_top(top, shape[1])
    known, there = ~labels.isnan(), labels >= 0.5
    right = there if polarity is None else there == check_mask("polarity", polarity, shape)
    # A concept that nobody annotated in the class comes last.
    usual = frequency.nan_to_num(-1.0)[predicted]
    baselines = {
        "chance": torch.full((len(top),), _mean_share(right, known), dtype=torch.float64),
        "frequency": judge(*_of_top(usual, there, known, max(top)), top).share,
    }
    found = judge(*_of_top(importance, right, known, max(top)), top)
    return dataclasses.replace(found, baselines=baselines)


def _of_top(importance: Tensor, right: Tensor, known: Tensor, most: int) -> tuple[Tensor, Tensor]:
    chosen, valid = ranked(importance, known, most)
    return right.gather(1, chosen), valid


def _mean_share(right: Tensor, known: Tensor) -> float:
    """The mean over rows of the share of known concepts that are right."""
    each = (right & known).double().sum(1) / known.sum(1)
    return float(each.nanmean())
