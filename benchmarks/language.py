"""Scoring texts against a bare forward pass, and scoring pairs with kept contexts.

1. `score_text` on docstrings against the Transformers library's forward pass alone, without any
   softmax, on the same batches of the same tokens: the same order, the same padding, the same mask.
   Losses are checked against the library's own cross-entropy first. Target: at least 0.8 times as
   fast. Our time includes turning texts into tokens.
2. Tokens that pass through the model for a matrix of summaries under contexts, with contexts kept
   and by the loop over pairs, counted at the embedding. Values must agree to 1e-4 first. Target: at
   least 3 times fewer.

    python benchmarks/language.py [threads]
"""

from __future__ import annotations

import importlib.util
import math
import sys
from typing import Any

import torch
from _timing import in_turns, report, times_as_fast

from narrows.claims.information_capacity import train_tokenizer
from narrows.measure import LanguageScorer, score_matrix, score_text
from narrows.measure.language.scores import _batches
from narrows.measure.language.shipped_texts import shipped_texts

VOCABULARY, LENGTH, BATCH_TOKENS, TEXTS = 8192, 256, 4096, 64
CONTEXTS, SUMMARIES = 10, 2
REPEATS = 3


def model_of(width: int, layers: int) -> Any:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=8 * width // 3,
        num_hidden_layers=layers, num_attention_heads=width // 64, max_position_embeddings=2048,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.LlamaForCausalLM(config).eval()


def same_batches(tokenizer: Any, texts: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches that `score_text` makes of these texts."""
    rows = [tokenizer(t, truncation=True, max_length=LENGTH)["input_ids"] for t in texts]
    made = []
    for chosen in _batches([len(r) for r in rows], BATCH_TOKENS):
        longest = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([rows[i] + [0] * (longest - len(rows[i])) for i in chosen])
        mask = torch.tensor([[1] * len(rows[i]) + [0] * (longest - len(rows[i])) for i in chosen])
        made.append((ids, mask))
    return made


def bare(model: Any, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    with torch.inference_mode():
        for ids, mask in batches:
            model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False)


def loss_of(model: Any, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Nats in all, by the library's cross-entropy."""
    total = 0.0
    with torch.inference_mode():
        for ids, mask in batches:
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            wanted = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
            total += float(torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), reduction="sum"
            ))  # fmt: skip
    return total


def scoring(tokenizer: Any, texts: list[str], width: int, layers: int) -> dict[str, Any]:
    model = model_of(width, layers)
    batches = same_batches(tokenizer, texts)

    def ours() -> float:
        scores = score_text(model, tokenizer, texts, max_tokens=LENGTH, batch_tokens=BATCH_TOKENS)
        return -sum(score.log_likelihood for score in scores)

    off = abs(ours() / loss_of(model, batches) - 1)
    assert off < 1e-3, f"losses differ by {off}"
    seconds = in_turns({"narrows": ours, "bare forward": lambda: bare(model, batches)}, REPEATS)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": int(sum(mask.sum() for _, mask in batches)),
        "loss, relative difference": off,
        "seconds": seconds,
        "times as fast as the bare forward": times_as_fast(seconds, "narrows", "bare forward"),
    }


def keeping(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    model = model_of(128, 2)
    long = [t for t in texts if len(tokenizer(t)["input_ids"]) > 200]
    contexts = [tokenizer.decode(tokenizer(t)["input_ids"][1:200]) for t in long[:CONTEXTS]]
    summaries = [[". ".join(c.split(". ")[j : j + 1])[:80] or c[:80] for j in range(SUMMARIES)]
                 for c in contexts]  # fmt: skip
    passes, values, seconds = {}, {}, {}
    for name, reuse in (("kept contexts", True), ("loop over pairs", False)):
        seen = 0

        def count(module: Any, given: tuple[torch.Tensor, ...], output: Any) -> None:
            nonlocal seen
            seen += given[0].numel()

        handle = model.model.embed_tokens.register_forward_hook(count)
        scorer = LanguageScorer(model, tokenizer, reuse=reuse)
        values[name] = score_matrix(scorer, contexts, summaries)
        handle.remove()
        passes[name] = seen
        seconds[name] = lambda reuse=reuse: score_matrix(
            LanguageScorer(model, tokenizer, reuse=reuse), contexts, summaries
        )
    off = float((values["kept contexts"] / values["loop over pairs"] - 1).abs().max())
    assert off < 1e-4, f"scores differ by {off}"
    timed = in_turns(seconds, 1)
    return {
        "contexts": CONTEXTS,
        "summaries of each": SUMMARIES,
        "token passes": passes,
        "times fewer passes": passes["loop over pairs"] / passes["kept contexts"],
        "largest relative difference": off,
        "seconds": timed,
        "times as fast": times_as_fast(timed, "kept contexts", "loop over pairs"),
    }


def main() -> None:
    if importlib.util.find_spec("transformers") is None:
        print("needs transformers: pip install 'narrows[embed]'")
        return
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    pool, said = shipped_texts()
    tokenizer = train_tokenizer([t.text for t in pool[::4]], VOCABULARY)
    step = math.ceil(len(pool) / TEXTS)
    texts = [t.text for t in pool[::step]]
    result: dict[str, Any] = {
        "texts": f"{len(texts)} {said}",
        "target": "0.8 times a bare forward pass; 3 times fewer token passes",
    }
    for width, layers in ((128, 4), (384, 4)):
        name = f"{width} units, {layers} layers, vocabulary of {VOCABULARY:,}"
        result[name] = scoring(tokenizer, texts, width, layers)
    result["summaries under contexts"] = keeping(tokenizer, texts)
    report("language", result)


if __name__ == "__main__":
    main()
