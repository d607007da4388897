"""Information capacity: what a language model saves, for the compute it takes.

Of texts in tokens, with C bits of text and NLL bits of loss a token, and N operations a token,

    IC = (C - NLL + b) / log2 N

(Yuan et al., "Information Capacity: Evaluating the Efficiency of Large Language Models via Text
Compression", arXiv 2511.08066; -24 is the b of their mixed texts). A tokenizer with long tokens
gains in C and pays in NLL, so it is judged, too. b is fitted so that models of one series have
the same IC: values of other texts, lengths or b must not be compared, and are refused here.

The paper's code differs: it takes C as the mean over documents, rounded to two decimals, and NLL
over tokens (`weighting="reference"`); it drops the first token whether or not it is a mark; it
counts the bytes of decoded tokens, which a cut character changes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from narrows.errors import wrong, wrong_type
from narrows.measure.language.capacity_report import CapacityReport, Sums
from narrows.measure.language.flops import decoder_flops
from narrows.measure.language.forward import Model, is_transformer
from narrows.measure.language.scores import check_texts, documents, score_documents
from narrows.measure.language.tokens import Reader

WEIGHTINGS = ("tokens", "reference")


def information_capacity(
    model: Model,
    tokenizer: Any,
    texts: Iterable[str],
    max_tokens: int = 1024,
    bias: float = -24.0,
    weighting: str = "tokens",
    bos: str = "auto",
    *,
    flops_per_token: float | None = None,
    batch_tokens: int = 4096,
) -> CapacityReport:
    """Measure a language model's information capacity on texts.

    Args:
        model: a causal model of the Transformers library, or any function from tokens
            `(rows, time)` to logits `(rows, time, vocabulary)` that looks back only.
        tokenizer: with `encode` and `decode`.
        texts: gone through once; each is cut to `max_tokens`.
        max_tokens: L, of a text and of what the compute is averaged over.
        bias: b, in bits.
        weighting: `tokens`: each token counts the same, in C as in NLL. `reference`: as the
            paper's code.
        bos: `auto`, `add` or `none`; see `Reader`.
        flops_per_token: N, where the model has no configuration to count it from.
        batch_tokens: of one pass; sets the memory.

    Raises:
        InvalidType: texts that are none; a model or tokenizer of another kind.
        InvalidInput: no texts, an empty one, NaN logits, no way to know N, wrong settings.

    Example:
        >>> class Letters:
        ...     bos_token_id = 0
        ...     def encode(self, text): return [ord(c) - 96 for c in text]
        ...     def decode(self, ids): return "".join(chr(i + 96) for i in ids)
        >>> import torch
        >>> uniform = lambda ids: torch.zeros(*ids.shape, 8)
        >>> information_capacity(uniform, Letters(), ["abca", "bad"], bias=0.0, bos="add",
        ...                      flops_per_token=2**20)
        0.2500 ± 0.0000 information capacity (8.000 bits of text, 3.000 of loss a token; ...)
          note: 2 documents say little of others like them
    """
    if weighting not in WEIGHTINGS:
        raise wrong("weighting", repr(weighting), f"one of {', '.join(map(repr, WEIGHTINGS))}")
    if isinstance(bias, bool) or not isinstance(bias, (int, float)) or not math.isfinite(bias):
        raise wrong("bias", repr(bias), "a finite number")
    reader = Reader(tokenizer, max_tokens, bos)
    flops = _flops(model, flops_per_token, max_tokens)
    digest = hashlib.sha256()
    sums = Sums()
    given = documents(reader, _noted(check_texts(texts), digest))
    for score in score_documents(model, reader, given, batch_tokens):
        sums.add(score)
    if not sums.documents:
        raise wrong("texts", "none", "at least one")
    settings = {
        "max_tokens": max_tokens,
        "bias": float(bias),
        "weighting": weighting,
        "texts": digest.hexdigest(),
    }
    return CapacityReport(flops, sums.groups(), reader.mark is not None, settings)


def _flops(model: Model, given: float | None, length: int) -> float:
    if given is None:
        if not is_transformer(model):
            raise wrong("flops_per_token", None, "a number, for a model without a configuration")
        return decoder_flops(getattr(model, "config", None), length).per_token
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong_type("flops_per_token", type(given).__name__, "a number")
    if not 2 <= given < math.inf:
        raise wrong("flops_per_token", given, "a finite number of 2 or more")
    return float(given)


def _noted(texts: Iterable[str], digest: Any) -> Iterator[str]:
    """The texts, each taken into the digest, so that reports know whether theirs are the same."""
    for text in texts:
        if isinstance(text, str):
            raw = text.encode(errors="surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        yield text
