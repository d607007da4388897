"""Texts as tokens, and how many bytes of the text the scored ones stand for.

The first token has nothing before it and cannot be scored. It should be a mark that the tokenizer
puts there (BOS); where there is none, the text's own first token is read and not scored, and its
bytes do not count either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from narrows.errors import wrong, wrong_type

BOS = ("auto", "add", "none")
_BROKEN = "\ufffd"  # what a piece of a character decodes to
_WIDEST = 4  # bytes of a character in UTF-8
Spans = list[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Document:
    """One text as a model reads it.

    Attributes:
        ids: tokens; all but the first are scored.
        bytes: of UTF-8 text behind the scored tokens.
    """

    ids: tuple[int, ...]
    bytes: int


class Reader:
    """A tokenizer of any make: the Transformers library's, the Tokenizers library's, or your own.

    Args:
        tokenizer: with `encode(text)` and `decode(ids)`; byte counts come from its offsets where
            it gives any, else from the text that `decode` gives back.
        max_tokens: of a text, the mark at the beginning included. A text is cut at the end of a
            whole character.
        bos: `auto` begins with the tokenizer's mark where the tokenizer puts one there by itself;
            `add` wherever it has one (`bos_token_id`); `none` never.

    Attributes:
        mark: the mark's id; None without.
        size: of the vocabulary; None where the tokenizer does not tell.
    """

    def __init__(self, tokenizer: Any, max_tokens: int = 1024, bos: str = "auto") -> None:
        for name in ("encode", "decode"):
            if not callable(getattr(tokenizer, name, None)):
                raise wrong_type("tokenizer", f"no {name}", "an object with encode and decode")
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 2:
            raise wrong("max_tokens", repr(max_tokens), "a whole number of 2 or more")
        if bos not in BOS:
            raise wrong("bos", repr(bos), f"one of {', '.join(map(repr, BOS))}")
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self._encode = _encoder(tokenizer)
        self.size = _size(tokenizer)
        self.mark = self._mark(bos)

    def ids(self, text: str) -> list[int]:
        """The tokens of a piece of text, without marks."""
        return self._encode(text)[0]

    def document(self, text: str, name: str = "texts") -> Document:
        """A text's tokens, cut to `max_tokens`.

        Raises:
            InvalidInput: no text in it, or not one token that could be scored.
        """
        if not isinstance(text, str):
            raise wrong_type(name, type(text).__name__, "a text (str)")
        if not text:
            raise wrong(name, "an empty text", "texts with something in them")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise wrong(name, f"half a character at {error.start}", "texts of Unicode") from error
        ids, spans = self._encode(text)
        room = self.max_tokens - (self.mark is not None)
        free = int(self.mark is None)  # the first token of the text, which is not scored
        keep = len(ids)
        if keep > room:
            keep = _whole(ids, spans, room, self.tokenizer.decode)
        if keep <= free:
            raise wrong(name, f"{len(ids)} tokens in {text[:20]!r}", "one to score, or more")
        if spans is None:
            first = self.tokenizer.decode(ids[:free]) if free else ""
            # A piece of a character decodes to a sign of three bytes and is taken as one.
            count = len(self.tokenizer.decode(ids[:keep]).encode())
            count -= len(first.replace(_BROKEN, "?").encode())
        else:
            begin = spans[0][1] if free else 0
            count = len(text[begin : spans[keep - 1][1]].encode())
        start = [] if self.mark is None else [self.mark]
        return Document((*start, *ids[:keep]), count)

    def _mark(self, bos: str) -> int | None:
        mark = getattr(self.tokenizer, "bos_token_id", None)
        if bos == "none":
            return None
        if bos == "add":
            if mark is None:
                raise wrong("bos", "'add' for a tokenizer without bos_token_id", "'auto' or 'none'")
            return int(mark)
        begun = self.tokenizer.encode("a")
        first = list(getattr(begun, "ids", begun))[:1]
        return int(mark) if mark is not None and first == [mark] else None


def _encoder(tokenizer: Any) -> Callable[[str], tuple[list[int], Spans | None]]:
    """A function from text to tokens and, where there are any, the characters of each."""
    if getattr(tokenizer, "is_fast", False):

        def fast(text: str) -> tuple[list[int], Spans | None]:
            found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True,
                              truncation=False, verbose=False)  # fmt: skip
            return list(found["input_ids"]), [(int(a), int(b)) for a, b in found["offset_mapping"]]

        return fast
    if hasattr(tokenizer, "get_vocab_size"):  # of the Tokenizers library

        def plain(text: str) -> tuple[list[int], Spans | None]:
            found = tokenizer.encode(text, add_special_tokens=False)
            return list(found.ids), list(found.offsets)

        return plain
    marks = {"add_special_tokens": False} if hasattr(tokenizer, "all_special_ids") else {}
    return lambda text: (list(map(int, tokenizer.encode(text, **marks))), None)


def _size(tokenizer: Any) -> int | None:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") else None


def _whole(ids: list[int], spans: Spans | None, room: int, decode: Callable[[Any], str]) -> int:
    """How many of the first `room` tokens end with a whole character."""
    for keep in range(room, max(room - _WIDEST, 0), -1):
        if spans is not None:
            cut = spans[keep][0] < spans[keep - 1][1]
        else:
            cut = decode(ids[:keep]).endswith(_BROKEN)
        if not cut:
            return keep
    return room
