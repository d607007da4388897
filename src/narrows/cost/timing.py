"""How long encoder and head take, as a ratio to a reference timed in the same run.

A time alone says more about the machine than about the model. So the models take turns, in an
order that rotates from repeat to repeat, and every median is given beside its ratio to that of
the first model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.rows import device_of, evaluating
from narrows.model import NarrowModel

_WARM_UP = 3  # runs that are not counted: caches, allocations, lazy set-up


@dataclasses.dataclass(frozen=True)
class Timing:
    """Median times of one model at one batch size.

    Attributes:
        model: its name.
        batch: rows at a time.
        encoder_ms: milliseconds a batch from input to reading.
        head_ms: milliseconds a batch from reading to prediction.
        encoder_ratio: to the reference's encoder.
        head_ratio: to the reference's head.
        ratio: of encoder and head together to the reference's.
    """

    model: str
    batch: int
    encoder_ms: float
    head_ms: float
    encoder_ratio: float
    head_ratio: float
    ratio: float


@dataclasses.dataclass(frozen=True)
class Latency:
    """Timings of all models at all batch sizes.

    Attributes:
        reference: the model the ratios refer to.
        repeats: how many runs each median is of.
        rows: one per model and batch size.
    """

    reference: str
    repeats: int
    rows: tuple[Timing, ...]

    def of(self, model: str, batch: int) -> Timing:
        """One model at one batch size.

        Raises:
            InvalidInput: it was not timed.
        """
        for row in self.rows:
            if (row.model, row.batch) == (model, batch):
                return row
        timed = ", ".join(f"{row.model!r} at {row.batch}" for row in self.rows)
        raise wrong("model, batch", f"{model!r} at {batch}", f"one of {timed}")

    def __str__(self) -> str:
        wide = max(len(row.model) for row in self.rows)
        head = f"{'model':<{wide}}  batch  encoder ms (ratio)   head ms (ratio)"
        lines = [
            f"{r.model:<{wide}} {r.batch:6d} {r.encoder_ms:11.3f} ({r.encoder_ratio:5.2f})"
            f" {r.head_ms:9.3f} ({r.head_ratio:5.2f})"
            for r in self.rows
        ]
        return "\n".join([head, *lines])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; times in milliseconds a batch."""
        return dataclasses.asdict(self)


def latency(
    models: Mapping[str, NarrowModel],
    x: Tensor,
    repeats: int = 30,
    batches: Sequence[int] = (1, 256),
) -> Latency:
    """Time encoder and head of several models side by side.

    Args:
        models: by name; the first one is the reference.
        x: `(n, ...)` inputs; rows repeat where a batch needs more.
        repeats: runs of each model; medians are reported.
        batches: rows at a time.

    Raises:
        InvalidInput: no model, no rows, counts below 1.
    """
    if not models:
        raise wrong("models", "none", "at least one")
    if len(x) == 0:
        raise wrong("x", "no rows", "at least one")
    if repeats < 1 or not batches or min(batches) < 1:
        raise wrong("repeats, batches", f"{repeats}, {tuple(batches)}", "positive counts")
    rows: list[Timing] = []
    with ExitStack() as stack:
        for model in models.values():
            stack.enter_context(evaluating(model))
        for batch in batches:
            rows += _at(models, x[torch.arange(batch) % len(x)], repeats)
    return Latency(next(iter(models)), repeats, tuple(rows))


def _at(models: Mapping[str, NarrowModel], x: Tensor, repeats: int) -> list[Timing]:
    names = list(models)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(_WARM_UP + repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(_once(models[name], x))
    encoder = {n: 1e3 * median(e for e, _ in taken[n][_WARM_UP:]) for n in names}
    head = {n: 1e3 * median(h for _, h in taken[n][_WARM_UP:]) for n in names}
    reference = names[0]
    return [
        Timing(
            model=name,
            batch=len(x),
            encoder_ms=encoder[name],
            head_ms=head[name],
            encoder_ratio=encoder[name] / encoder[reference],
            head_ratio=head[name] / head[reference],
            ratio=(encoder[name] + head[name]) / (encoder[reference] + head[reference]),
        )
        for name in names
    ]


def _once(model: NarrowModel, x: Tensor) -> tuple[float, float]:
    """Seconds of encoder and head."""
    x = x.to(device_of(model))
    wait = _wait_for(x.device)
    wait()
    start = perf_counter()
    reading = model.read(x)
    wait()
    middle = perf_counter()
    model.decide(reading)
    wait()
    return middle - start, perf_counter() - middle


def _wait_for(device: torch.device) -> Callable[[], object]:
    """What makes sure that the device has done its work."""
    if device.type == "cpu":
        return lambda: None
    return lambda: torch.accelerator.synchronize(device)
