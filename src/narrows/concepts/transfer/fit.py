"""Concept edits: which units to mask or amplify in a new domain, from a few labelled images.

Reconstructed from the abstract of arXiv 2506.18070, which names the two operations, the data
they need and what they must not cost; every formula below is ours. Notation: activations a (C),
a linear head W (K, C), b; source statistics mu, sigma (K, C) a class and unit; mubar, the mean of
mu over classes; a support set S of n labelled target rows; y a row's class and r its rival: the
class predicted, or the runner-up where the prediction is right.

    m_c = mean over wrong rows of [W_rc - W_yc]+ [a_c - mu_yc]+     misactivated: mask
    d_c = mean over all rows   of [W_yc - W_rc]+ [mu_yc - a_c]+     too weak: amplify
    mask       a'_c = mubar_c
    amplify    a'_c = mubar_c + g_c (a_c - mubar_c),  g_c = clip(spread_c / spread^t_c, 1, g_max)

spread is the deviation of the class means; the target's are shrunk towards the source's as if the
source had been seen kappa more times a class. A unit counts as misactivated only where it lies
more than z sigma_yc off in at least a share of the wrong rows. How many units are masked and
amplified is chosen by leave-one-out accuracy on S, every score computed anew without the row
left out; then by mean margin, then fewer edits, while accuracy on stored source rows may drop by
at most the tolerance.

Margins grow when anything is amplified, so this rule edits something even where nothing has
shifted; measured on digits that costs a tenth of a point. `caution` asks for more: the rows an
edit mends must outnumber those it breaks by that many standard errors of the difference. With 1
a support set from the source is answered by no edit, and most of the gain elsewhere is lost too.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import torch
from torch import Tensor

from narrows.concepts.transfer.edit import ConceptEdit, ConceptStatistics, check_rows, class_means
from narrows.concepts.transfer.search import SIZES, best_masks, margins_of
from narrows.errors import wrong

RANKINGS = ("evidence", "gap", "swap")


@dataclasses.dataclass(frozen=True)
class EditRule:
    """Every threshold of an edit.

    Attributes:
        rank_by: `evidence` is the module's m and d. `gap` ranks by
            `mean_k |mu^t_kc - mu_kc| (max_k W_kc - min_k W_kc)`, units that lost spread to be
            amplified and the others to be masked. `swap` masks what mends most support rows: the
            best unit and the best pair by trying all, then one at a time.
        max_mask: units masked, at most 8.
        max_amplify: units amplified, at most 8.
        tolerance: share of source rows an edit may spoil.
        unusual: z, in source deviations.
        share: of wrong rows in which a masked unit must be unusual.
        shrinkage: kappa.
        max_gain: g_max.
        caution: standard errors.
    """

    rank_by: str = "evidence"
    max_mask: int = 8
    max_amplify: int = 8
    tolerance: float = 0.005
    unusual: float = 1.0
    share: float = 0.5
    shrinkage: float = 2.0
    max_gain: float = 3.0
    caution: float = 0.0

    def __post_init__(self) -> None:
        if self.rank_by not in RANKINGS:
            raise wrong("rank_by", repr(self.rank_by), "one of " + ", ".join(map(repr, RANKINGS)))
        for name in ("max_mask", "max_amplify"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 <= value <= SIZES[-1]:
                raise wrong(name, value, f"a whole number from 0 to {SIZES[-1]}")
        for name, low, high in (
            ("tolerance", 0.0, 1.0),
            ("unusual", 0.0, math.inf),
            ("share", 0.0, 1.0),
            ("shrinkage", 0.0, math.inf),
            ("max_gain", 1.0, math.inf),
            ("caution", 0.0, math.inf),
        ):
            value = getattr(self, name)
            if not (low <= value <= high and math.isfinite(value)):
                raise wrong(name, value, f"a finite number from {low:g} to {high:g}")


def fit_concept_edit(
    statistics: ConceptStatistics,
    weight: Tensor,
    bias: Tensor,
    units: Tensor,
    y: Tensor,
    rule: EditRule | None = None,
) -> ConceptEdit:
    """Choose an edit from a few labelled target rows; nothing is trained.

    Args:
        statistics: of the source.
        weight: `(K, C)` of the head.
        bias: `(K,)`.
        units: `(n, C)` activations of the support rows, before any edit.
        y: `(n,)` class ids; every class must be there.
        rule: the thresholds.

    Raises:
        InvalidInput: shapes that do not fit the statistics, no rows, or a class without a row.

    Memory: 25 edits `(25, C)` and one pass over the kept rows an edit; `swap` holds at most 2^21
    logits of pairs of masks at once.

    Example:
        >>> from narrows.concepts.transfer.edit import concept_statistics
        >>> a, y = torch.tensor([[2.0], [2.2], [-2.0], [-2.2]]), torch.tensor([0, 0, 1, 1])
        >>> source = concept_statistics(["furry"], a, y, 2, a, y)
        >>> weight = torch.tensor([[1.0], [-1.0]])
        >>> print(fit_concept_edit(source, weight, torch.zeros(2), a, y))
        nothing edited
    """
    rule = rule or EditRule()
    classes, names = len(weight), statistics.names
    if classes < 2:
        raise wrong("weight", f"{classes} classes", "at least two")
    if statistics.mean.shape != weight.shape:
        raise wrong(
            "statistics",
            f"{tuple(statistics.mean.shape)} classes and units",
            f"those of the model, {tuple(weight.shape)}",
        )
    if bias.shape != (classes,):
        raise wrong("bias", f"shape {tuple(bias.shape)}", f"shape ({classes},)")
    check_rows("units", units, y, len(names), classes)
    counts = y.bincount(minlength=classes)
    if (counts == 0).any():
        missing = int((counts == 0).nonzero()[0])
        raise wrong("y", f"no row of class {missing}", "at least one support row of every class")
    task = _Task(statistics, weight.double(), bias.double(), rule)
    return task.choose(units.double(), y)


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """Which units to edit for every size, and how."""

    masks: list[Tensor]
    amplified: list[Tensor]
    gain: Tensor
    score: Tensor  # (2, C): of masking, of amplifying


@dataclasses.dataclass(frozen=True, eq=False)
class _Task:
    source: ConceptStatistics
    weight: Tensor
    bias: Tensor
    rule: EditRule

    def choose(self, a: Tensor, y: Tensor) -> ConceptEdit:
        plan = self.plan(a, y)
        scale, shift = self.edits(plan)
        rows = torch.arange(len(y))
        # Every score anew without the row that is judged: (n, edits) margins.
        margins = torch.stack([self._margins_without(a, y, int(i)) for i in rows])
        right = margins > 0
        allowed = self._spares_the_source(scale, shift) & self._beats_doing_nothing(right)
        size = ((scale != 1) | (shift != 0)).sum(1)
        order = [
            (int(right[:, p].sum()), float(margins[:, p].mean()), -int(size[p]), -p)
            for p in allowed.nonzero().flatten().tolist()
        ]
        best = -max(order)[3]
        masked = scale[best] == 0
        score = torch.where(masked, plan.score[0], plan.score[1])
        edited = (scale[best] != 1) | (shift[best] != 0)
        return ConceptEdit(self.source.names, scale[best], shift[best], score * edited)

    def plan(self, a: Tensor, y: Tensor) -> _Plan:
        source, rule = self.source, self.rule
        counts, mean = class_means(a, y, len(self.weight))
        shrunk = (counts[:, None] * mean + rule.shrinkage * source.mean) / (
            counts + rule.shrinkage
        ).clamp_min(1e-12)[:, None]
        # Without shrinkage a class that was left out entirely has no mean but the source's.
        shrunk = torch.where((counts + rule.shrinkage)[:, None] > 0, shrunk, source.mean)
        before, now = (m.std(0, unbiased=False) for m in (source.mean, shrunk))
        gain = (before / now).nan_to_num(1.0, rule.max_gain).clamp(1, rule.max_gain)
        mask, amplify = self._evidence(a, y)
        if rule.rank_by == "gap":
            reach = self.weight.amax(0) - self.weight.amin(0)
            gap = (shrunk - source.mean).abs().mean(0) * reach
            mask, amplify = gap * (now >= before), gap * (now < before)
        masks = _tops(mask, rule.max_mask)
        if rule.rank_by == "swap":
            masks = best_masks(self.logits(a), source.centre - a, self.weight, y, rule.max_mask)
        amplify = amplify * (gain > 1)
        return _Plan(masks, _tops(amplify, rule.max_amplify), gain, torch.stack([mask, amplify]))

    def _evidence(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of masking (m) and of amplifying (d), each `(C,)`."""
        logits = self.logits(a)
        wrong_rows = logits.argmax(1) != y
        others = logits.scatter(1, y[:, None], -torch.inf)
        rival = others.argmax(1)
        pull = self.weight[rival] - self.weight[y]
        excess = a - self.source.mean[y]
        mask = a.new_zeros(a.shape[1])
        if wrong_rows.any():
            odd = excess.abs() > self.rule.unusual * self.source.deviation[y]
            often = odd[wrong_rows].double().mean(0) >= self.rule.share
            mask = (pull.clamp_min(0) * excess.clamp_min(0))[wrong_rows].mean(0) * often
        return mask, ((-pull).clamp_min(0) * (-excess).clamp_min(0)).mean(0)

    def edits(self, plan: _Plan) -> tuple[Tensor, Tensor]:
        """Scales and shifts `(edits, C)` of every pair of sizes; masks win over gains."""
        centre = self.source.centre
        pairs = list(itertools.product(plan.masks, plan.amplified))
        scale = centre.new_ones(len(pairs), len(centre))
        for row, (masked, amplified) in enumerate(pairs):
            scale[row, amplified] = plan.gain[amplified]
            scale[row, masked] = 0
        return scale, (1 - scale) * centre

    def logits(self, a: Tensor) -> Tensor:
        return a @ self.weight.T + self.bias

    def margins(self, edited: Tensor, y: Tensor) -> Tensor:
        """By how much the true class leads, of `(..., C)` edited units; above 0 is right."""
        logits = self.logits(self.source.within(edited))
        return margins_of(logits, y)

    def _margins_without(self, a: Tensor, y: Tensor, row: int) -> Tensor:
        rest = torch.arange(len(y)) != row
        scale, shift = self.edits(self.plan(a[rest], y[rest]))
        return self.margins(scale * a[row] + shift, y[row].expand(len(scale)))

    def _spares_the_source(self, scale: Tensor, shift: Tensor) -> Tensor:
        kept, y = self.source.kept, self.source.kept_y
        right = torch.stack(
            [
                (self.margins(d * kept + e, y) > 0).double().mean()
                for d, e in zip(scale, shift, strict=True)
            ]
        )
        # The first pair of sizes is (0, 0): the model as it is.
        return right >= right[0] - self.rule.tolerance - 1e-12

    def _beats_doing_nothing(self, right: Tensor) -> Tensor:
        """Which edits mend enough more rows than they break, of `(n, edits)`; none always does."""
        mended = (right & ~right[:, :1]).sum(0).double()
        broken = (~right & right[:, :1]).sum(0).double()
        enough = mended - broken > self.rule.caution * (mended + broken).sqrt()
        enough |= torch.tensor(self.rule.caution == 0)
        enough[0] = True
        return enough


def _tops(score: Tensor, most: int) -> list[Tensor]:
    """The units with the largest positive scores, for every size up to `most`."""
    order = score.argsort(descending=True, stable=True)[: int((score > 0).sum())]
    return [order[:size] for size in SIZES if size <= most]
