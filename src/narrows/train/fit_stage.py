"""The one training loop: every stage of every method runs here.

Data sit in memory as whole tensors (or as lazy columns that decode on access) and steps index
them, so there is no loader to feed. Order and noise depend on (seed, stage, epoch) alone; a
killed run goes on from its last checkpoint to the same bits.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from narrows import distributed
from narrows.errors import NarrowsError, wrong
from narrows.train.checkpoint import Checkpoint, Progress
from narrows.train.randomness import generator, isolated, reseed
from narrows.train.run import Run, TrainingStopped, stop_requests

Batch = dict[str, Tensor]
Loss = Callable[[Batch], Tensor | Mapping[str, Tensor]]
Draw = Callable[[int, torch.Generator], Iterable[Tensor]]


def fit_stage(
    run: Run,
    name: str,
    module: nn.Module,
    loss: Loss,
    columns: Mapping[str, Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int = 64,
    validate: Callable[[], float] | None = None,
    patience: int | None = None,
    schedule: Any = None,
    draw: Draw | None = None,
) -> list[dict[str, Any]]:
    """Train a module for one stage of a method's recipe.

    Args:
        run: seed, device, checkpoint folder, progress and history.
        name: the stage's name, unique in its run.
        module: everything the stage changes; its state is what a checkpoint holds.
        loss: from a batch to the objective, or to named terms with the objective as `loss`.
            Means over the batch go through `distributed.mean`.
        columns: equally long tensors, or lazy columns with `column[rows] -> Tensor`.
        optimizer: over the module's parameters; clip or average in its step hooks.
        epochs: at most this many passes.
        batch_size: rows a step, over all ranks together.
        validate: a score on validation data after each epoch, higher is better; the best
            epoch's state is kept.
        patience: stop after this many epochs without a better score.
        schedule: a learning-rate scheduler, stepped once an epoch.
        draw: row numbers of each batch of an epoch, in place of a random order; such batches
            are not shared between ranks.

    Returns:
        One row per epoch: stage, epoch, mean of each term, validation score.

    Raises:
        TrainingStopped: a signal asked to stop; the state is saved.
        NarrowsError: the loss became NaN or infinite.
    """
    rows = _length(columns)
    if epochs < 0 or batch_size < 1:
        raise wrong("epochs, batch_size", f"{epochs}, {batch_size}", "epochs >= 0, batch_size >= 1")
    stage = len(run.stages)
    run.stages.append(name)
    identity = {**run.identity, "stage": name, "rows": rows}
    identity |= {"epochs": epochs, "batch_size": batch_size, "patience": patience}
    path = None if run.folder is None else run.folder / f"{stage}-{name}.safetensors"
    with isolated(run.seed, "stage", stage), stop_requests() as asked:
        loop = _Loop(run, name, module, loss, columns, optimizer, schedule, asked)
        loop.checkpoint = Checkpoint(path, identity)
        loop.resume()
        order = draw or _shuffled(rows, batch_size)
        with _bar(run, name, epochs) as advance:
            while not loop.progress.done and loop.progress.epoch < epochs:
                loop.epoch(order, run.seed, stage)
                loop.finish_epoch(validate, patience)
                advance(loop.progress)
        loop.finish()
    run.history.extend(loop.progress.history)
    return loop.progress.history


def _shuffled(rows: int, batch_size: int) -> Draw:
    def order(epoch: int, source: torch.Generator) -> Iterator[Tensor]:
        permuted = torch.randperm(rows, generator=source)
        return map(distributed.shard, permuted.split(batch_size))

    return order


def _length(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths or len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise wrong("columns", f"lengths {lengths}", "equally long, at least one row")
    return next(iter(lengths.values()))


@dataclasses.dataclass
class _Loop:
    run: Run
    name: str
    module: nn.Module
    loss: Loss
    columns: Mapping[str, Any]
    optimizer: Optimizer
    schedule: Any
    asked: threading.Event
    checkpoint: Checkpoint = dataclasses.field(init=False)
    progress: Progress = dataclasses.field(default_factory=Progress)
    best: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def resume(self) -> None:
        self.columns = {
            k: c.to(self.run.device) if isinstance(c, Tensor) else c
            for k, c in self.columns.items()
        }
        found = self.checkpoint.restore(self.module, self.optimizer, self.schedule)
        if found is not None:
            self.progress, self.best = found

    def epoch(self, order: Draw, seed: int, stage: int) -> None:
        at = self.progress
        if at.step == 0:
            reseed(seed, "epoch", stage, at.epoch)
            at.sums = {}
        # Double precision and one order of addition: an interrupted epoch logs the same mean.
        sums = {k: torch.tensor(v, dtype=torch.float64) for k, v in at.sums.items()}
        self.module.train()
        for step, rows in enumerate(order(at.epoch, generator(seed, "order", stage, at.epoch))):
            if step < at.step:
                continue
            for term, value in self.step(rows).items():
                sums[term] = sums[term] + value if term in sums else value.double()
            at.step = step + 1
            if distributed.agree(self.asked.is_set()):
                at.sums = {k: float(v) for k, v in sums.items()}
                self.save()
                raise TrainingStopped(f"stopped in stage {self.name!r}, epoch {at.epoch + 1}")
        at.sums = {k: float(distributed.total(v)) / distributed.size() for k, v in sums.items()}
        for term, mean in at.sums.items():
            if not math.isfinite(mean):
                raise NarrowsError(
                    f"loss: {term!r} became {mean} in epoch {at.epoch + 1} of stage "
                    f"{self.name!r}; a smaller lr usually helps"
                )

    def step(self, rows: Tensor) -> dict[str, Tensor]:
        batch = {k: column[rows] for k, column in self.columns.items()}
        batch = {k: v.to(self.run.device) for k, v in batch.items()}
        terms = self.loss(batch)
        terms = {"loss": terms} if isinstance(terms, Tensor) else dict(terms)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        distributed.average_gradients(self.module.parameters())
        self.optimizer.step()
        return {k: v.detach() for k, v in terms.items()}

    @torch.no_grad()
    def finish_epoch(self, validate: Callable[[], float] | None, patience: int | None) -> None:
        at = self.progress
        row = {"stage": self.name, "epoch": at.epoch + 1}
        row |= {k: v / at.step for k, v in at.sums.items()}
        if self.schedule is not None:
            with warnings.catch_warnings():
                # After a resume at an epoch's end, torch misses the steps of the earlier process.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler")
                self.schedule.step()
        if validate is not None:
            self.module.eval()
            score = validate()
            row["validation"] = score
            if at.best is None or score > at.best:
                at.best, at.stale = score, 0
                self.best = {k: v.clone() for k, v in self.module.state_dict().items()}
            else:
                at.stale += 1
        at.history.append(row)
        at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
        at.done = patience is not None and at.stale >= patience
        if self.checkpoint.due() and not at.done:
            self.save()

    def finish(self) -> None:
        at = self.progress
        if self.best:
            self.module.load_state_dict(self.best)
        self.module.eval()
        if not at.done or self.best:
            at.done, self.best = True, {}
            self.save()

    def save(self) -> None:
        if distributed.rank() == 0:
            self.checkpoint.save(
                self.module, self.best, self.optimizer, self.schedule, self.progress
            )


class _bar:  # lower case: it reads as a function where it is used
    """Advance the run's progress bar, if it has one, once an epoch."""

    def __init__(self, run: Run, name: str, epochs: int) -> None:
        self.progress, self.label, self.epochs = run.progress, f"{run.label} {name}", epochs

    def __enter__(self) -> Callable[[Progress], None]:
        if self.progress is None:
            return lambda at: None
        self.task = self.progress.add_task(self.label, total=self.epochs)

        def advance(at: Progress) -> None:
            score = at.history[-1].get("validation")
            shown = self.label if score is None else f"{self.label}  {score:.3f}"
            self.progress.update(self.task, completed=at.epoch, description=shown)

        return advance

    def __exit__(self, *error: object) -> None:
        if self.progress is not None:
            self.progress.remove_task(self.task)
