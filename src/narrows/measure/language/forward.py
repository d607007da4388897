"""Log-probabilities of tokens under any model that gives logits.

In float32 at least (softmax in half precision, or its logarithm taken afterwards, loses the rare
tokens). Logits wider than the tokenizer's vocabulary are cut before the softmax: the rest are
rows that fill up a matrix and stand for no token.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong, wrong_type
from narrows.measure.watching.feeding import in_evaluation

Model = Callable[..., Any]
_ROWS = 2**20  # logits a piece, so that a piece and its exponentials stay in the cache


def device_of(model: Model) -> torch.device:
    """Where a model's parameters are; the processor for a plain function."""
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


@contextmanager
def resting(model: Model) -> Iterator[None]:
    """No gradients, and a module in evaluation mode."""
    if isinstance(model, nn.Module):
        with in_evaluation(model):
            yield
    else:
        with torch.no_grad():
            yield


def is_transformer(model: Model) -> bool:
    """Whether a model takes what the Transformers library's models take."""
    return isinstance(model, nn.Module) and hasattr(getattr(model, "config", None), "to_dict")


def logits_of(model: Model, ids: Tensor, mask: Tensor | None = None, **more: Any) -> Any:
    """A model's output for tokens `(rows, time)`; `.logits` of it or itself are the logits.

    A plain function gets the tokens alone. Padding stands on the right, where a model that looks
    back only does not see it.
    """
    if not is_transformer(model):
        return model(ids)
    given = {} if mask is None else {"attention_mask": mask}
    return model(input_ids=ids, **given, **more)


def kept_by(output: Any) -> Any:
    """Keys and values that an output carries, by the name of old or new versions; or None."""
    kept = getattr(output, "cache", None)
    return getattr(output, "past_key_values", None) if kept is None else kept


def with_kept(model: Model, kept: Any) -> dict[str, Any]:
    """The argument that hands keys and values to a model, by the name that it knows."""
    known = inspect.signature(getattr(model, "forward", model)).parameters
    return {"cache" if "cache" in known else "past_key_values": kept}


def log_likelihoods(output: Any, targets: Tensor, known: Tensor, size: int | None) -> Tensor:
    """`(rows, time)` log-probabilities of targets in nats, 0 where they are not known.

    Args:
        output: logits `(rows, time, vocabulary)`, or an object with `logits`.
        targets: `(rows, time)` tokens.
        known: `(rows, time)` bool; others are padding.
        size: of the vocabulary; None for all logits.

    Raises:
        InvalidType: no logits.
        InvalidInput: logits of another shape, tokens without a logit, NaN, or a token that the
            model says is impossible.
    """
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        found = getattr(logits, "dtype", type(logits).__name__)
        raise wrong_type("model", f"an output of {found}", "logits, or an output with .logits")
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        wanted = f"({targets.shape[0]}, {targets.shape[1]}, vocabulary)"
        raise wrong("logits", f"shape {tuple(logits.shape)}", wanted)
    width = logits.shape[-1] if size is None else min(size, logits.shape[-1])
    most = int(targets.max()) if targets.numel() else 0
    if most >= width:
        raise wrong("tokenizer", f"token {most}", f"tokens below {width}, which have a logit")
    flat, wanted_ids = logits.flatten(0, 1), targets.flatten()
    parts = [
        _pieces(part[:, :width], ids)
        for part, ids in zip(flat.split(max(_ROWS // width, 1)),
                             wanted_ids.split(max(_ROWS // width, 1)), strict=True)
    ]  # fmt: skip
    found = torch.cat(parts).view_as(targets) if parts else logits.new_zeros(targets.shape)
    found = found.masked_fill(~known, 0.0)
    if not found.isfinite().all():
        row, place = (~found.isfinite()).nonzero()[0].tolist()
        value = float(found[row, place])
        raise wrong(
            "logits",
            f"log-probability {value} at row {row}, place {place}",
            "finite log-probability",
        )
    return found


def _pieces(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities `(places,)` of one token each, in float32 at least."""
    if logits.dtype != torch.float64:
        logits = logits.float()
    return logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)
