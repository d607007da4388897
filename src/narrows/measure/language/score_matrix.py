"""Every summary under every context, with each context read once.

`N` contexts and `N M` summaries make `N^2 M` pairs. A loop over pairs reads each context `N M`
times; here its keys and values are kept while all summaries go through, so a context of `a` tokens
and summaries of `b` cost `N a + N^2 M b` token passes in place of `N^2 M (a + b)`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.language.forward import (
    Model,
    device_of,
    is_transformer,
    kept_by,
    log_likelihoods,
    logits_of,
    resting,
    with_kept,
)
from narrows.measure.language.scores import padded
from narrows.measure.language.tokens import Reader

_CONTEXT, _QUERY = "{context}", "{query}"
Pair = tuple[str, str]  # a query and a summary


class Scorer(Protocol):
    """Anything that knows how likely summaries are after a context."""

    def log_likelihoods(self, context: Any, pairs: Sequence[tuple[str, Any]]) -> Tensor:
        """`(len(pairs),)` log-probabilities in nats of summaries, each with its query."""
        ...


class LanguageScorer:
    """A causal language model as the scorer.

    What stands before and after a context is the same for all contexts and summaries, and only
    the summary's own tokens are scored. Parts are turned into tokens apart, so that a summary is
    the same tokens after every context.

    Args:
        model: of the Transformers library; with `reuse=False` any function from tokens to logits.
        tokenizer: with `encode` and `decode`.
        template: with `{context}` once, and `{query}` at most once after it; the summary follows.
        bos: as for `score_text`.
        batch: summaries of one pass.
        reuse: keep the keys and values of a context for all its summaries.

    Attributes:
        passes: tokens that went through the model so far, padding included.

    Memory: keys and values of one context, `batch` times over.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Any,
        template: str = "{context}\n\n{query}\n\nSummary: ",
        *,
        bos: str = "auto",
        batch: int = 16,
        reuse: bool = True,
    ) -> None:
        if not callable(model):
            raise wrong_type("model", type(model).__name__, "a causal language model")
        if reuse and not is_transformer(model):
            raise wrong("reuse", "True for a plain function", "a model of Transformers, or False")
        if template.count(_CONTEXT) != 1 or template.count(_QUERY) > 1:
            raise wrong("template", repr(template), f"{_CONTEXT} once, {_QUERY} at most once")
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise wrong("batch", repr(batch), "a whole number of 1 or more")
        self._before, self._after = template.split(_CONTEXT)
        if _QUERY in self._before:
            raise wrong("template", repr(template), f"{_QUERY} after {_CONTEXT}")
        self.model, self.batch, self.reuse, self.passes = model, batch, reuse, 0
        self._reader = Reader(tokenizer, bos=bos)
        config = getattr(model, "config", None)
        names = ("max_position_embeddings", "n_positions", "n_ctx")
        known = [size for name in names if isinstance(size := getattr(config, name, None), int)]
        self.window: int | None = known[0] if known else None

    def tokens(self, summaries: Sequence[Sequence[str]] | Sequence[str]) -> Tensor:
        """Tokens of each summary, `(N, M)`: the L of a rate I / L."""
        table = _table(summaries)
        return torch.tensor([[len(self._reader.ids(z)) for z in row] for row in table])

    def log_likelihoods(self, context: str, pairs: Sequence[Pair]) -> Tensor:
        """Of summaries after a context, `(len(pairs),)` float64 in nats.

        Raises:
            InvalidInput: a prompt longer than the model's window, a text of no tokens, NaN.
        """
        prefix = self._prefix(context)
        tails = [self._tail(query, summary) for query, summary in pairs]
        self._fits(context, len(prefix) + max(len(ids) for ids, _ in tails))
        order = sorted(range(len(tails)), key=lambda k: -len(tails[k][0]))  # little padding
        found = torch.zeros(len(tails), dtype=torch.float64)
        with resting(self.model):
            kept = self._read(prefix[:-1]) if self.reuse and len(prefix) > 1 else None
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                found[rows] = self._scored(prefix, kept, [tails[k] for k in rows])
        return found

    def _prefix(self, context: str) -> list[int]:
        mark = [] if self._reader.mark is None else [self._reader.mark]
        found = [*mark, *self._reader.ids(self._before), *self._reader.ids(context)]
        if not found:
            raise wrong("contexts", f"no token in {context[:20]!r}", "at least one, or bos='add'")
        return found

    def _tail(self, query: str, summary: str) -> tuple[list[int], int]:
        """Tokens after the context, and how many of them at the end are the summary's."""
        ids = self._reader.ids(summary)
        if not ids:
            raise wrong("summaries", f"no token in {summary[:20]!r}", "at least one")
        return [*self._reader.ids(self._after.replace(_QUERY, query)), *ids], len(ids)

    def _fits(self, context: str, length: int) -> None:
        if self.window is not None and length > self.window:
            found = f"{length} tokens with context {context[:20]!r}"
            raise wrong(
                "contexts", found, f"at most {self.window}, the model's window: a cut context "
                "would enter the mean with less than the others"
            )  # fmt: skip

    def _read(self, ids: list[int]) -> Any:
        """Keys and values of a context."""
        given = torch.tensor([ids], device=device_of(self.model))
        self.passes += given.numel()
        kept = kept_by(logits_of(self.model, given, use_cache=True))
        if kept is None:
            raise wrong("model", "no keys and values in its output", "them, or reuse=False")
        return kept

    def _scored(self, prefix: list[int], kept: Any, tails: list[tuple[list[int], int]]) -> Tensor:
        """Sums of log-probabilities of the summaries' tokens, `(rows,)`."""
        begin = prefix if kept is None else prefix[-1:]
        rows = [(*begin, *ids) for ids, _ in tails]
        ids, known = padded(rows, device_of(self.model))
        ends = torch.tensor([len(row) for row in rows], device=ids.device)
        sizes = torch.tensor([size for _, size in tails], device=ids.device)
        places = torch.arange(1, ids.shape[1], device=ids.device)
        scored = (places >= (ends - sizes)[:, None]) & known[:, 1:]
        more: dict[str, Any] = {}
        if kept is not None:
            cache = copy.deepcopy(kept)
            cache.batch_repeat_interleave(len(rows))
            more = {**with_kept(self.model, cache), "use_cache": True}
        elif is_transformer(self.model):
            more = {"use_cache": False}
        given = ids[:, :-1]
        self.passes += given.numel()
        output = logits_of(self.model, given, None, **more)
        found = log_likelihoods(output, ids[:, 1:], scored, self._reader.size)
        return found.sum(1, dtype=torch.float64).cpu()


def score_matrix(
    scorer: Scorer,
    contexts: Sequence[Any],
    summaries: Sequence[Any],
    queries: Sequence[Any] | str = "",
) -> Tensor:
    """`(N, M, N)` log-probabilities in nats: summary j of context i under context l.

    Args:
        scorer: a `LanguageScorer`, or anything with its `log_likelihoods`.
        contexts: N of them.
        summaries: for each context M in a list, or one alone.
        queries: one for all, or for each context one, or for each summary its own: under every
            context a summary is scored with its own query.

    Raises:
        InvalidInput: fewer than 2 contexts, other numbers of summaries or queries, empty texts.

    Memory: the result, `8 N^2 M` bytes; `score_blocks` with a `ChannelStream` needs `O(N M)`.

    Example:
        >>> class Same:  # likes what equals the context
        ...     def log_likelihoods(self, context, pairs):
        ...         return torch.tensor([0.0 if z == context else -2.0 for _, z in pairs])
        >>> score_matrix(Same(), ["a", "b"], ["a", "b"])[:, 0]
        tensor([[ 0., -2.],
                [-2.,  0.]], dtype=torch.float64)
    """
    return torch.stack([b[:, :, 0] for _, b in score_blocks(scorer, contexts, summaries, queries)],
                       2)  # fmt: skip


def score_blocks(
    scorer: Scorer,
    contexts: Sequence[Any],
    summaries: Sequence[Any],
    queries: Sequence[Any] | str = "",
) -> Iterator[tuple[list[int], Tensor]]:
    """The same, one context at a time: what `ChannelStream.update` takes."""
    if isinstance(contexts, str) or len(contexts) < 2:
        raise wrong("contexts", "fewer than 2", "a list of 2 or more")
    table = _table(summaries)
    if len(table) != len(contexts):
        raise wrong("summaries", f"those of {len(table)} contexts", f"of {len(contexts)}")
    asked = _queries(queries, len(table), len(table[0]))
    pairs = [pair for row in zip(asked, table, strict=True) for pair in zip(*row, strict=True)]
    return _blocks(scorer, contexts, pairs, len(table))


def _blocks(
    scorer: Scorer, contexts: Sequence[Any], pairs: list[tuple[str, Any]], rows: int
) -> Iterator[tuple[list[int], Tensor]]:
    for place, context in enumerate(contexts):
        found = scorer.log_likelihoods(context, pairs).to(torch.float64)
        if found.shape != (len(pairs),):
            raise wrong("scorer", f"shape {tuple(found.shape)}", f"shape ({len(pairs)},)")
        yield [place], found.reshape(rows, -1, 1)


def _table(summaries: Sequence[Any]) -> list[list[Any]]:
    """Summaries as `N` lists of `M`."""
    if isinstance(summaries, str) or not len(summaries):
        raise wrong("summaries", "none", "for each context one or more")
    table = [list(row) if isinstance(row, (list, tuple)) else [row] for row in summaries]
    sizes = {len(row) for row in table}
    if len(sizes) > 1 or 0 in sizes:
        raise wrong("summaries", f"{sorted(sizes)} of a context", "as many of each, at least one")
    for row in table:
        if any(isinstance(z, str) and not z for z in row):
            raise wrong("summaries", "an empty text", "texts with something in them")
    return table


def _queries(queries: Sequence[Any] | str, rows: int, columns: int) -> list[list[str]]:
    if isinstance(queries, str):
        return [[queries] * columns] * rows
    table = [[row] * columns if isinstance(row, str) else list(row) for row in queries]
    if len(table) != rows or any(len(row) != columns for row in table):
        raise wrong("queries", f"{len(table)} rows", f"one, {rows}, or {rows} lists of {columns}")
    return table
