"""Checkpoints of one stage: everything needed to go on bit for bit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from narrows import store
from narrows.errors import InvalidInput

_OVERHEAD = 0.03  # share of the training time that writing checkpoints may take


@dataclasses.dataclass
class Progress:
    """Where a stage stands.

    Attributes:
        epoch: epochs begun and finished.
        step: steps done in the epoch under way.
        best: the best validation score so far, None before the first.
        stale: epochs since then.
        sums: loss terms summed over the steps of the epoch under way.
        history: one row per finished epoch.
        done: whether the stage has ended.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    stale: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    done: bool = False


class Checkpoint:
    """Reads and writes one stage's checkpoint file."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = path, dict(identity)
        self._wrote, self._cost = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether writing now keeps the cost under 3 % of the time."""
        return self.path is not None and time.monotonic() - self._wrote >= self._cost / _OVERHEAD

    def save(
        self,
        module: nn.Module,
        best: Mapping[str, Tensor],
        optimizer: Optimizer,
        schedule: Any,
        progress: Progress,
    ) -> None:
        """Write the whole state, atomically and verified."""
        if self.path is None:
            return
        begun = time.monotonic()
        tensors = {f"module.{k}": v for k, v in module.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in best.items()}
        tensors["random"] = torch.get_rng_state()
        state = optimizer.state_dict()
        scalars: dict[str, dict[str, Any]] = {}
        for index, slots in state["state"].items():
            for slot, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{slot}"] = value
                else:
                    scalars.setdefault(str(index), {})[slot] = value
        store.save(
            self.path,
            tensors,
            {
                "identity": self.identity,
                "progress": dataclasses.asdict(progress),
                "optimizer": {"scalars": scalars, "param_groups": state["param_groups"]},
                "schedule": None if schedule is None else schedule.state_dict(),
            },
        )
        self._wrote = time.monotonic()
        self._cost = self._wrote - begun

    def restore(
        self, module: nn.Module, optimizer: Optimizer, schedule: Any
    ) -> tuple[Progress, dict[str, Tensor]] | None:
        """Put a saved state back, or return None where there is none.

        Raises:
            FileRefused: the file is damaged.
            InvalidInput: it was written by another configuration; the message says which.
        """
        if self.path is None or not self.path.exists():
            return None
        tensors, metadata = store.load(self.path)
        check_same(metadata["identity"], self.identity)
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "best": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = tensor
        module.load_state_dict(parts["module"])
        slots: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in metadata["optimizer"]["scalars"].items()
        }
        for name, tensor in parts["optimizer"].items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        groups = metadata["optimizer"]["param_groups"]
        optimizer.load_state_dict({"state": slots, "param_groups": groups})
        if schedule is not None:
            schedule.load_state_dict(metadata["schedule"])
        torch.set_rng_state(tensors["random"])
        return Progress(**metadata["progress"]), parts["best"]


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to resume under other settings, and say which changed."""
    changed = [
        f"{key}: was {found.get(key)!r}, now {wanted.get(key)!r}"
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]
    if changed:
        raise InvalidInput(
            "resume: found a checkpoint of other settings, wanted the same; " + "; ".join(changed)
        )
