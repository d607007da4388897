"""One vector a word or phrase from a language model, at each of its layers.

A word is put into a template, and the vectors of its own tokens, found by their place in the
text, are averaged: a phrase counts with all its tokens, the template's words do not. Averaging
over the whole sentence instead adds one and the same vector to every item.

Layer 0 is what enters the first block, layer L what leaves the last, as a model of the
Transformers library lists them; `static` are rows of the input embedding, the same tokens without
any context or position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong, wrong_type
from narrows.measure.watching.feeding import in_evaluation

TEMPLATE = "This is a {word}. "
STATIC = "static"
ITEM_POOLS = ("item", "first", "last", "sentence")
_HOLE = "{word}"


def item_embeddings(
    model: nn.Module,
    tokenizer: Any,
    words: Sequence[str],
    *,
    layers: str | Sequence[int | str] = "all",
    template: str = TEMPLATE,
    pool: str = "item",
    batch_size: int = 64,
) -> dict[int | str, Tensor]:
    """Vectors of words at the layers of a Transformers model.

    Memory: the vectors of all words and layers asked for, and one batch of all hidden states.

    Args:
        model: of the Transformers library, with `output_hidden_states`.
        tokenizer: its tokenizer, a fast one, which knows where in the text a token lies.
        words: words and phrases.
        layers: `all` for `static` and each of the model's 0 to L; or some of them, numbers from
            the end below 0 included.
        template: with `{word}` in it once; `This is a {word}. ` in the paper.
        pool: `item` mean of the item's tokens; its `first` or `last` one; `sentence` mean of all
            tokens that are no padding.
        batch_size: words at a time.

    Returns:
        Layer to `(words, d)` float32 on the CPU, in the order asked for.

    Raises:
        InvalidType: words that are no texts, a tokenizer that does not know places.
        InvalidInput: no words, empty ones, or ones of which the tokenizer makes nothing; a
            template without one `{word}`; a layer the model does not have; another pooling.
    """
    texts, spans = _filled(words, template)
    if pool not in ITEM_POOLS:
        raise wrong("pool", repr(pool), f"one of {', '.join(map(repr, ITEM_POOLS))}")
    if not getattr(tokenizer, "is_fast", False):
        raise wrong_type("tokenizer", type(tokenizer).__name__, "a fast tokenizer, with places")
    if batch_size < 1:
        raise wrong("batch_size", batch_size, "at least 1")
    asked = _asked(layers)
    found: dict[int | str, list[Tensor]] = {}
    device = next(model.parameters()).device
    with in_evaluation(model):
        for start in range(0, len(texts), batch_size):
            part = slice(start, start + batch_size)
            inputs, weight = _tokens(tokenizer, texts[part], spans[part], pool, words[start:])
            inputs = {k: v.to(device) for k, v in inputs.items()}
            hidden = _hidden(model, inputs, asked)
            for layer, states in hidden.items():
                share = weight.to(device, torch.float32)
                found.setdefault(layer, []).append(
                    torch.einsum("bt,btd->bd", share, states.float()).cpu()
                )
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def _asked(layers: str | Sequence[int | str]) -> list[int | str] | None:
    """The layers by name and number; None for all of them."""
    if isinstance(layers, str) and layers == "all":
        return None
    asked: list[int | str] = list(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    for layer in asked:
        if layer != STATIC and (isinstance(layer, bool) or not isinstance(layer, int)):
            raise wrong("layers", repr(layer), "'all', 'static' or numbers")
    if not asked:
        raise wrong("layers", "none", "at least one")
    return asked


def _hidden(
    model: nn.Module, inputs: dict[str, Tensor], asked: list[int | str] | None
) -> dict[int | str, Tensor]:
    """The states asked for; a model whose input rows alone are wanted does not run."""
    rows: dict[int | str, Tensor] = {}
    if asked is None or STATIC in asked:
        embed: Any = model.get_input_embeddings  # a method of Transformers models
        rows[STATIC] = embed()(inputs["input_ids"])
    if asked == [STATIC]:
        return rows
    states: Sequence[Tensor] = model(**inputs, output_hidden_states=True).hidden_states
    if asked is None:
        return rows | dict(enumerate(states))
    for layer in asked:
        if isinstance(layer, int):
            if not -len(states) <= layer < len(states):
                raise wrong("layers", layer, f"0 to {len(states) - 1}")
            rows[layer] = states[layer]
    return {layer: rows[layer] for layer in asked}


def _tokens(
    tokenizer: Any,
    texts: Sequence[str],
    spans: Sequence[tuple[int, int]],
    pool: str,
    words: Sequence[str],
) -> tuple[dict[str, Tensor], Tensor]:
    """What the model takes, and `(rows, tokens)` weights that add to 1 in each row."""
    inputs = dict(
        tokenizer(list(texts), padding=True, return_tensors="pt", return_offsets_mapping=True)
    )
    places = inputs.pop("offset_mapping")
    real = inputs["attention_mask"].bool()
    ends = torch.tensor(spans)
    # A special token has the empty place (0, 0), which overlaps nothing.
    inside = (places[..., 0] < ends[:, 1:]) & (places[..., 1] > ends[:, :1]) & real
    lost = torch.nonzero(~inside.any(1)).flatten()
    if len(lost):
        raise wrong("words", f"{words[int(lost[0])]!r}, which has no token", "words with tokens")
    if pool == "sentence":
        inside = real
    elif pool != "item":
        at = torch.arange(inside.shape[1]).expand_as(inside)
        if pool == "first":
            chosen = torch.where(inside, at, inside.shape[1]).amin(1)
        else:
            chosen = torch.where(inside, at, -1).amax(1)
        inside = at == chosen[:, None]
    return inputs, inside / inside.sum(1, keepdim=True)


def _filled(words: Sequence[str], template: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The sentences, and where the word stands in each."""
    if template.count(_HOLE) != 1:
        raise wrong("template", repr(template), "a text with {word} in it once")
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise wrong_type("words", "something else", "a sequence of texts")
    if not len(words) or not all(word.strip() for word in words):
        raise wrong("words", "none, or an empty one", "at least one word, none empty")
    before, after = template.split(_HOLE)
    spans = [(len(before), len(before) + len(word)) for word in words]
    return [f"{before}{word}{after}" for word in words], spans
