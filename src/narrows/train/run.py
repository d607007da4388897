"""One training run: its seed, device, folder, progress bar and history."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from narrows.errors import NarrowsError


class TrainingStopped(NarrowsError):
    """A signal asked the run to stop; its state was saved and `--resume` goes on from it."""


@dataclasses.dataclass
class Run:
    """What the stages of one fit share.

    Attributes:
        seed: the one number all randomness comes from.
        device: where training happens.
        folder: where checkpoints go; None keeps none.
        identity: JSON settings a checkpoint must agree with to be resumed.
        progress: a started `rich.progress.Progress`, or None for silence.
        history: one row per epoch of every stage.
        stages: names of the stages so far, in order.
    """

    seed: int = 0
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    folder: Path | None = None
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    progress: Any = None
    label: str = ""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    stages: list[str] = dataclasses.field(default_factory=list)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Collect SIGTERM and SIGINT: the first asks to stop, a second acts at once.

    Only the main thread may set handlers; elsewhere the event is never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {s: signal.getsignal(s) for s in signals}

    def restore() -> None:
        for s in signals:
            signal.signal(s, before[s])

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        restore()

    for s in signals:
        signal.signal(s, ask)
    try:
        yield asked
    finally:
        restore()
