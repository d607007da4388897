"""Small tokenizers and language models, made on the spot, for tests."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from narrows.claims import information_capacity

TEXTS = [
    "The array is sorted along the last axis.",
    "Returns the mean and the standard deviation of each column, in this order.",
    "Naïve café: ünïcödé text costs more than one byte a letter.",
    "Shape (n,).",
    "Raises an error if the matrix is singular, or if its shape is not square at all.",
]


class Letters:
    """One token a letter from a to z and space; the mark is not put first by itself."""

    bos_token_id = 0

    def encode(self, text: str) -> list[int]:
        return [27 if c == " " else ord(c) - 96 for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(" " if i == 27 else chr(i + 96) for i in ids)

    def __len__(self) -> int:
        return 28


class Bytes:
    """One token a byte, and no mark."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def __len__(self) -> int:
        return 256


@functools.cache
def byte_pairs(vocabulary: int = 330) -> Any:
    """A byte-level tokenizer of the Tokenizers library, trained on the texts."""
    pytest.importorskip("tokenizers", reason="trains a tokenizer")
    return information_capacity.byte_pairs(TEXTS, vocabulary)


@functools.cache
def fast(mark: bool) -> Any:
    """The same tokenizer in the Transformers library, which puts a mark first, or none."""
    transformers = pytest.importorskip("transformers", reason="wraps a tokenizer")
    tokenizers = pytest.importorskip("tokenizers")
    copied = tokenizers.Tokenizer.from_str(byte_pairs().to_str())
    if not mark:
        return transformers.PreTrainedTokenizerFast(tokenizer_object=copied)
    copied.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", copied.token_to_id("<s>"))]
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=copied, bos_token="<s>")  # noqa: S106  # a word


@functools.cache
def llama(vocabulary: int = 330, width: int = 16) -> Any:
    """A tiny Llama of random weights, far enough from uniform to tell tokens apart."""
    transformers = pytest.importorskip("transformers", reason="makes a model from a configuration")
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    return drawn(transformers.LlamaForCausalLM, config)


def drawn(kind: Any, config: Any, scale: float = 8.0) -> Any:
    """A model of random weights that do not depend on which test asks first."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter *= scale
    return model.eval()
