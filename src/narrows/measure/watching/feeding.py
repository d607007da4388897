"""Give a batch to a model, whatever both look like, without a trace of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong_type


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """No gradients and evaluation mode; each part's own mode afterwards."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def call(model: nn.Module, batch: Any) -> Any:
    """The model's output for a tensor, a mapping of inputs, or a tuple that begins with one."""
    return _call(model, inputs_of(batch))


def inputs_of(batch: Any) -> Tensor | Mapping[str, Any]:
    """The input part of a batch."""
    if isinstance(batch, (Tensor, Mapping)):
        return batch
    if isinstance(batch, (tuple, list)) and batch:
        return inputs_of(batch[0])
    raise wrong_type("batch", type(batch).__name__, "a tensor, a mapping or a tuple with one first")


def mask_of(batch: Any) -> Tensor | None:
    """The `attention_mask` of a batch that has one."""
    given = inputs_of(batch)
    return given.get("attention_mask") if isinstance(given, Mapping) else None


def rows_of(inputs: Tensor | Mapping[str, Any]) -> int:
    """How many rows an input has."""
    if isinstance(inputs, Tensor):
        return len(inputs)
    return len(next(value for value in inputs.values() if isinstance(value, Tensor)))


def pieces(inputs: Tensor | Mapping[str, Any], size: int) -> Iterator[Tensor | Mapping[str, Any]]:
    """Rows `size` at a time."""
    for start in range(0, rows_of(inputs), size):
        part = slice(start, start + size)
        if isinstance(inputs, Tensor):
            yield inputs[part]
        else:
            yield {k: v[part] if isinstance(v, Tensor) else v for k, v in inputs.items()}


def _call(model: nn.Module, inputs: Tensor | Mapping[str, Any]) -> Any:
    if isinstance(inputs, Tensor):
        return model(inputs)
    return model(**inputs)
