"""Follow the geometry of a model while it trains.

Every so many steps the rows of a probe go through the model and one layer's features are
measured. The same probe each time: both numbers depend on how many rows there are.

Memory: the covariance, `8 d^2` bytes; features pass batch by batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong, wrong_type
from narrows.measure.geometry.covariance import CovarianceStream
from narrows.measure.geometry.phases import Phase, find_phases
from narrows.measure.geometry.report import SpectrumReport, spectrum_report
from narrows.measure.watching.feeding import call, in_evaluation, mask_of
from narrows.measure.watching.layers import find_layers
from narrows.measure.watching.recorder import watch


@dataclasses.dataclass(frozen=True)
class GeometryRow:
    """One look at the geometry.

    Attributes:
        step: of training.
        rankme: effective rank.
        alpha: exponent of the spectrum; NaN where none could be fitted.
        r2: of that fit.
        loss: as handed over; NaN where none was.
    """

    step: int
    rankme: float
    alpha: float
    r2: float
    loss: float = math.nan


class GeometryMonitor:
    """RankMe and alpha-ReQ of one layer every so many steps.

    Args:
        model: any module; it is put in evaluation mode for a look, and back.
        loader: the probe: batches, gone through again at each look. A batch is a tensor, a
            mapping (handed over by name) or a tuple whose first part is the input.
        every: steps between looks.
        layer: whose output is measured. By default the input of the last linear layer, what
            enters the head. State it where a final norm stands between: it changes alpha.
        pool: of features `(rows, time, d)`: `last` for the last position that is no padding
            (by the batch's `attention_mask`, left or right), `mean` over those, or `all`.
        range: ranks of the power law, as for `alpha_req`.

    Raises:
        InvalidInput: every below 1, no linear layer, an unknown pooling, a probe that runs dry.
        InvalidType: a loader that can be gone through only once.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> probe = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)).split(16)
        >>> monitor = GeometryMonitor(model, probe, every=10)
        >>> for step in range(21):
        ...     _ = monitor.step(step)
        >>> [row.step for row in monitor.rows]
        [0, 10, 20]
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        every: int = 500,
        *,
        layer: str | None = None,
        pool: str = "last",
        range: tuple[int, int] | None = None,  # as `alpha_req` says it
    ) -> None:
        if isinstance(loader, Iterator):
            raise wrong_type("loader", type(loader).__name__, "one that can be gone through again")
        if every < 1:
            raise wrong("every", every, "at least 1 step")
        if pool not in _POOLS:
            raise wrong("pool", repr(pool), f"one of {', '.join(map(repr, _POOLS))}")
        self.model, self.loader, self.every, self.pool, self.range = (
            model, loader, every, pool, range,
        )  # fmt: skip
        self.layer = _head_of(model) if layer is None else layer
        self.side = "input" if layer is None else "output"
        find_layers(model, [self.layer])
        self.rows: list[GeometryRow] = []

    def step(self, step: int, loss: float | Tensor = math.nan) -> GeometryRow | None:
        """Look, where the step is a multiple of `every`; else do nothing."""
        return self.record(step, loss) if step % self.every == 0 else None

    def record(self, step: int, loss: float | Tensor = math.nan) -> GeometryRow:
        """Look now."""
        if self.rows and step <= self.rows[-1].step:
            raise wrong("step", step, f"above {self.rows[-1].step}, the last one")
        report = self.look()
        law = report.power_law
        r2 = math.nan if law is None else law.r2
        row = GeometryRow(step, report.rankme, report.alpha, r2, float(loss))
        self.rows.append(row)
        return row

    def look(self) -> SpectrumReport:
        """The full report of the model as it is; nothing is noted."""
        return spectrum_report(self.stream(), range=self.range)

    def stream(self) -> CovarianceStream:
        """The covariance of the layer's features over the probe."""
        stream: CovarianceStream | None = None
        with in_evaluation(self.model):
            for batch in self.loader:
                mask = mask_of(batch)

                def pooled(h: Tensor, mask: Tensor | None = mask) -> Tensor:
                    return pool_features(h, self.pool, mask)

                with watch(self.model, [self.layer], transform=pooled, side=self.side) as seen:
                    call(self.model, batch)
                features = seen[self.layer]
                stream = stream or CovarianceStream(features.shape[-1], features.device)
                stream.update(features)
        if stream is None:
            raise wrong("loader", "no batches", "at least one")
        return stream

    @contextmanager
    def attached(self, optimizer: torch.optim.Optimizer) -> Iterator[GeometryMonitor]:
        """While the block runs, look every `every` steps of an optimizer; at its start too."""
        begun = self.rows[-1].step if self.rows else 0
        taken = 0

        def after(*_: Any) -> None:
            nonlocal taken
            taken += 1
            self.step(begun + taken)

        if not self.rows:
            self.record(0)
        handle = optimizer.register_step_post_hook(after)
        try:
            yield self
        finally:
            handle.remove()

    def phases(self, least: float = 0.03) -> tuple[Phase, ...]:
        """Where the effective rank turned; see `find_phases`."""
        return find_phases([r.step for r in self.rows], [r.rankme for r in self.rows], least)

    def table(self) -> list[dict[str, float]]:
        """One mapping a look: step, rankme, alpha, r2, loss."""
        return [dataclasses.asdict(row) for row in self.rows]


def pool_features(h: Tensor, pool: str = "last", mask: Tensor | None = None) -> Tensor:
    """`(rows, d)` from features `(rows, time, d)`; features `(rows, d)` stay as they are.

    Args:
        h: features; other shapes are flattened after the rows.
        pool: `last` position that is no padding, `mean` of those, or `all` of them as rows.
        mask: `(rows, time)`, 0 where a position is padding.

    Example:
        >>> h = torch.arange(6.0).reshape(1, 3, 2)
        >>> pool_features(h, "last", torch.tensor([[1, 1, 0]])).tolist()
        [[2.0, 3.0]]
    """
    if h.ndim != 3:
        return h.flatten(1)
    known = torch.ones(h.shape[:2], device=h.device) if mask is None else mask.to(h.device)
    known = known != 0
    if known.shape != h.shape[:2] or not known.any(1).all():
        raise wrong("mask", f"shape {tuple(known.shape)}", f"{tuple(h.shape[:2])}, none all 0")
    return _POOLS[pool](h, known)


def _last(h: Tensor, known: Tensor) -> Tensor:
    places = torch.arange(h.shape[1], device=h.device)
    last = torch.where(known, places, -1).amax(1)
    return h[torch.arange(len(h), device=h.device), last]


def _mean(h: Tensor, known: Tensor) -> Tensor:
    wide = torch.where(known[..., None], h.double(), 0.0)
    return wide.sum(1) / known.sum(1, keepdim=True)


_POOLS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "last": _last,
    "mean": _mean,
    "all": lambda h, known: h[known],
}


def _head_of(model: nn.Module) -> str:
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise wrong("layer", "none, and no linear layer in the model", "the name of a layer")
    return linear[-1]
