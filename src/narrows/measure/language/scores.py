"""How likely a language model finds texts: one pass, batch by batch.

Texts are taken a window at a time, put in order of length so that a batch holds little padding,
and scored; results come in the order of the texts. Memory: the window's tokens and one batch's
logits, however many texts follow.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.language.forward import (
    Model,
    device_of,
    is_transformer,
    log_likelihoods,
    logits_of,
    resting,
)
from narrows.measure.language.tokens import Document, Reader

_WINDOW = 256  # texts that are ordered by length


@dataclasses.dataclass(frozen=True)
class TextScore:
    """One text's likelihood.

    Attributes:
        log_likelihood: of the scored tokens, in nats.
        tokens: that were scored.
        bytes: of UTF-8 text behind them.
    """

    log_likelihood: float
    tokens: int
    bytes: int


def score_text(
    model: Model,
    tokenizer: Any,
    texts: Iterable[str],
    *,
    max_tokens: int = 1024,
    bos: str = "auto",
    batch_tokens: int = 4096,
) -> Iterator[TextScore]:
    """The log-likelihood of each text, one after the other.

    Args:
        model: any function from tokens `(rows, time)` to logits `(rows, time, vocabulary)`, a
            module, or a causal model of the Transformers library. It must look back only:
            padding stands on the right.
        tokenizer: with `encode` and `decode`.
        texts: gone through once.
        max_tokens: of a text, the beginning mark included; the rest is not read.
        bos: whether a mark stands first; see `Reader`.
        batch_tokens: of one pass, padding included; a longer text is a pass of its own.

    Raises:
        InvalidType: texts that are none, or a model or tokenizer of another kind.
        InvalidInput: an empty text, NaN logits, tokens without logits, wrong settings.

    Example:
        >>> class Letters:
        ...     bos_token_id = 0
        ...     def encode(self, text): return [ord(c) - 96 for c in text]
        ...     def decode(self, ids): return "".join(chr(i + 96) for i in ids)
        >>> uniform = lambda ids: torch.zeros(*ids.shape, 8)
        >>> one, = score_text(uniform, Letters(), ["abca"], bos="add")
        >>> one.tokens, one.bytes, round(one.log_likelihood, 4)  # -4 log 8
        (4, 4, -8.3178)
    """
    reader = Reader(tokenizer, max_tokens, bos)
    return score_documents(model, reader, documents(reader, texts), batch_tokens)


def documents(reader: Reader, texts: Iterable[str]) -> Iterator[Document]:
    """Texts as tokens; see `score_text`."""
    return (reader.document(text, f"texts[{i}]") for i, text in enumerate(check_texts(texts)))


def check_texts(texts: Iterable[str]) -> Iterable[str]:
    """Refuse what cannot be a set of texts; one text alone is none."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise wrong_type("texts", type(texts).__name__, "a list or another iterable of texts")
    return texts


def score_documents(
    model: Model, reader: Reader, given: Iterable[Document], batch_tokens: int = 4096
) -> Iterator[TextScore]:
    """The same for texts that are tokens already."""
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise wrong("batch_tokens", repr(batch_tokens), "a whole number of 1 or more")
    if not callable(model):
        raise wrong_type("model", type(model).__name__, "a function from tokens to logits")
    return _scores(model, reader, iter(given), batch_tokens)


def _scores(
    model: Model, reader: Reader, given: Iterator[Document], batch_tokens: int
) -> Iterator[TextScore]:
    while window := list(itertools.islice(given, _WINDOW)):
        sums = [0.0] * len(window)
        for rows in _batches([len(d.ids) for d in window], batch_tokens):
            found = _score_batch(model, [window[row].ids for row in rows], reader.size)
            for row, value in zip(rows, found.tolist(), strict=True):
                sums[row] = value
        for document, value in zip(window, sums, strict=True):
            yield TextScore(value, len(document.ids) - 1, document.bytes)


def _batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of similar length, whose number times the longest keeps to the limit."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    while order:
        count = max(batch_tokens // lengths[order[0]], 1)
        yield order[:count]
        order = order[count:]


def _score_batch(model: Model, rows: list[tuple[int, ...]], size: int | None) -> Tensor:
    """Sums of log-probabilities `(rows,)`, float64."""
    ids, known = padded(rows, device_of(model))
    mask = None if bool(known.all()) else known.long()
    more = {"use_cache": False} if is_transformer(model) else {}
    with resting(model):
        output = logits_of(model, ids[:, :-1], None if mask is None else mask[:, :-1], **more)
        found = log_likelihoods(output, ids[:, 1:], known[:, 1:], size)
    return found.sum(1, dtype=torch.float64).cpu()


def padded(rows: list[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens `(rows, longest)`, filled up with 0 on the right, and which of them are real."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    for row, values in zip(ids, rows, strict=True):
        row[: len(values)] = torch.tensor(values)
    known = torch.arange(longest) < torch.tensor([len(values) for values in rows])[:, None]
    return ids.to(device), known.to(device)
