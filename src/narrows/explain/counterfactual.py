"""Why not another class? The smallest set of concept corrections that changes the decision.

A correction is one turn of a person: a concept set to true or false, or a group of exclusive
concepts set to one of its members, which counts as one; it is written as the bottleneck writes it
(`condition`). For a linear head whose inputs are corrected one by one gains add up: sorting them
is exact against each rival class, and where one set must beat many rivals at once, branch and
bound goes on from there, up to a limit (see `narrows.explain.search_sum`). For any other model
small sets are tried by size and larger ones are built greedily. The answer says whether it is
proven, and how small a set could still be.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from narrows.explain.moves import Correction, Moves, classes_of
from narrows.explain.search import Found, smallest_tried
from narrows.explain.search_sum import smallest_sum
from narrows.reading import Reading

if TYPE_CHECKING:
    from narrows.model import NarrowModel


@dataclasses.dataclass(frozen=True)
class WhyNot:
    """What it takes to make a model say another class.

    Attributes:
        said: what the model says now.
        label: the class asked about.
        margin: the label's logit minus the highest of the others, now.
        after: the same with all corrections; NaN where there are none.
        corrections: the smallest set found, largest gain first; None where none was found, empty
            where the model says the label already.
        at_least: no smaller set suffices. Where no set was found and that is proven, one more
            than there are turns.
        turns: how many corrections a person could make at most.
        proven: whether nothing smaller suffices (where None: whether nothing at all does).
        exact: whether corrections add up, so that the search was by sorting.
    """

    said: Any
    label: Any
    margin: float
    after: float
    corrections: tuple[Correction, ...] | None
    at_least: int
    turns: int
    proven: bool
    exact: bool

    @property
    def known(self) -> dict[str, float]:
        """The corrections as `NarrowModel.correct` takes them."""
        return {c.unit: c.value for c in self.corrections or ()}

    def __len__(self) -> int:
        return len(self.corrections or ())

    def __str__(self) -> str:
        if self.corrections == ():
            return f"says {self.label} already, by {self.margin:.2f}"
        lines = [f"says {self.said}, not {self.label}: behind by {-self.margin:.2f}"]
        if self.corrections is None:
            how = (
                f"no correction of its {self.turns} concepts and groups makes it say {self.label}"
                if self.proven
                else f"no set of corrections was found; it would take at least {self.at_least}"
            )
            return "\n".join([*lines, how])
        proof = "no smaller set does" if self.proven else f"at least {self.at_least} are needed"
        lines.append(f"it would say {self.label} with {len(self)} of {self.turns} corrected")
        lines[-1] += f" ({proof}), ahead by {self.after:.2f}:"
        return "\n".join([*lines, *(f"  {c}" for c in self.corrections)])


@torch.no_grad()
def why_not(
    model: NarrowModel,
    x_or_reading: Tensor | Reading,
    label: Any,
    *,
    nodes: int = 2000,
    evaluations: int = 20_000,
) -> WhyNot:
    """The smallest set of corrections after which a model says `label`.

    The set is verified by the model itself. Memory: the readings of 2,048 corrected copies.

    Args:
        model: whose bottleneck is corrected.
        x_or_reading: one example, `(1, ...)`, or its reading.
        label: one of the model's classes (or their numbers, where it has no names).
        nodes: how far the search may branch where several rivals must be beaten at once by a
            linear head; beyond, the answer states its bound.
        evaluations: how many sets may be tried for any other model.

    Raises:
        InvalidInput: not one example, or a bottleneck whose units cannot be corrected.
        UnknownName: a label the model does not know.

    Example:
        >>> from narrows.bottleneck import Bottleneck
        >>> from narrows.heads import FixedHead
        >>> from narrows.model import NarrowModel
        >>> layer = Bottleneck(["barks", "purrs"])
        >>> model = NarrowModel(torch.nn.Identity(), layer, FixedHead(2), ("dog", "cat"))
        >>> print(why_not(model, Reading(torch.tensor([[0.9, 0.3]])), "cat"))
        says dog, not cat: behind by 0.60
        it would say cat with 1 of 2 corrected (no smaller set does), ahead by 0.30:
          barks: 0.90 -> 0  (+0.90)
    """
    reading = x_or_reading if isinstance(x_or_reading, Reading) else model.read(x_or_reading)
    asked = Moves.about(model, reading.detach(), label)
    margin = float(asked.worst([()])[0])
    said = classes_of(model, asked.now.shape[1])[int(asked.now.argmax())]
    if int(asked.now.argmax()) == asked.label:
        return WhyNot(label, label, margin, margin, (), 0, asked.turns, proven=True, exact=True)
    added = asked.gains()
    if added is None:
        found = smallest_tried(asked.worst, asked.turn, evaluations)
    else:
        slack, start, gains = added
        found = smallest_sum(start + slack, gains, asked.turn, asked.wins, nodes)
    return _answer(asked, found, said, label, margin, exact=added is not None)


def _answer(
    asked: Moves, found: Found, said: Any, label: Any, margin: float, *, exact: bool
) -> WhyNot:
    after, corrections = float("nan"), None
    if found.moves is not None:
        after = float(asked.worst([found.moves])[0])
        made = (asked.correction(m) for m in found.moves)
        corrections = tuple(sorted(made, key=lambda c: -c.gain))
    return WhyNot(
        said=said,
        label=label,
        margin=margin,
        after=after,
        corrections=corrections,
        at_least=found.at_least,
        turns=asked.turns,
        proven=found.proven,
        exact=exact,
    )
