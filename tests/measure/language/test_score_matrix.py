"""Scores with a kept context are those of the whole prompt, with a fraction of the passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import (
    ChannelStream,
    LanguageScorer,
    channel_information,
    score_blocks,
    score_matrix,
)
from tiny_language import TEXTS, Letters, drawn, fast, llama

SUMMARIES = [["sorted", "The array"], ["mean", "each column"], ["one byte", "more"]]
CONTEXTS = TEXTS[:3]


def by_hand(model: Any, tokenizer: Any, context: str, query: str, summary: str) -> float:
    """The summary's log-probability after the whole prompt, in float64."""
    ids = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731  # one expression
    prompt = [tokenizer.bos_token_id, *ids("Read: "), *ids(context), *ids(f" Asked: {query}. ")]
    whole = prompt + ids(summary)
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].double().log_softmax(1)
    return sum(float(logits[i - 1, whole[i]]) for i in range(len(prompt), len(whole)))


@pytest.mark.parametrize("reuse", [True, False])
def test_it_is_the_whole_prompts_score_for_every_pair(reuse: bool) -> None:
    model, tokenizer = llama(), fast(True)
    scorer = LanguageScorer(
        model, tokenizer, "Read: {context} Asked: {query}. ", batch=4, reuse=reuse
    )
    queries = [["what", "who"], ["why", "x"], ["q", "r"]]
    found = score_matrix(scorer, CONTEXTS, SUMMARIES, queries)
    assert found.shape == (3, 2, 3)
    for i, j, place in torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(3)):
        wanted = by_hand(model, tokenizer, CONTEXTS[place], queries[i][j], SUMMARIES[i][j])
        assert float(found[i, j, place]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("family", ["GPT2", "Qwen2", "Mistral"])
def test_other_families_keep_their_contexts_too(family: str) -> None:
    transformers = pytest.importorskip("transformers", reason="makes a model")
    sizes = {
        "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128},
        "Qwen2": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                  "num_key_value_heads": 1, "intermediate_size": 16},
        "Mistral": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "num_key_value_heads": 1, "intermediate_size": 16, "sliding_window": 6},
    }[family]  # fmt: skip
    config = getattr(transformers, f"{family}Config")(vocab_size=330, **sizes)
    model = drawn(type(transformers.AutoModelForCausalLM.from_config(config)), config)
    found, plain = (
        score_matrix(LanguageScorer(model, fast(False), reuse=reuse), CONTEXTS, SUMMARIES)
        for reuse in (True, False)
    )
    assert torch.allclose(found, plain, rtol=1e-4)


def test_a_kept_context_saves_two_thirds_of_the_passes_or_more() -> None:
    """Counted by the module itself, not by what the scorer says of itself."""
    contexts = [" ".join(TEXTS[i:] + TEXTS[:i]) for i in range(3)]
    model, counts = llama(), []
    for reuse in (True, False):
        seen = 0

        def count(module: Any, given: tuple[torch.Tensor, ...], output: Any) -> None:
            nonlocal seen
            seen += given[0].numel()

        handle = model.model.embed_tokens.register_forward_hook(count)
        scorer = LanguageScorer(model, fast(True), reuse=reuse)
        score_matrix(scorer, contexts, SUMMARIES)
        handle.remove()
        assert scorer.passes == seen
        counts.append(seen)
    assert counts[1] >= 3 * counts[0]


def test_a_plain_function_scores_without_keeping() -> None:
    def repeats(ids: torch.Tensor) -> torch.Tensor:
        """Likes what stood right before."""
        return 3 * torch.nn.functional.one_hot(ids, 28).float()

    scorer = LanguageScorer(repeats, Letters(), "{context}", bos="add", reuse=False)
    found = score_matrix(scorer, ["a", "b"], ["a", "b"])
    again, other = 3 - torch.tensor([3.0] + [0.0] * 27).logsumexp(0), torch.tensor(0.0)
    other = other - torch.tensor([3.0] + [0.0] * 27).logsumexp(0)
    wanted = torch.tensor([[again, other], [other, again]])
    assert torch.allclose(found[:, 0].float(), wanted)
    assert channel_information(found).value > 0.5


def test_blocks_into_a_stream_are_the_matrix() -> None:
    scorer = LanguageScorer(llama(), fast(True))
    stream = ChannelStream(3, 2)
    for which, block in score_blocks(scorer, CONTEXTS, SUMMARIES, "what"):
        stream.update(which, block)
    whole = channel_information(score_matrix(scorer, CONTEXTS, SUMMARIES, "what"))
    assert torch.allclose(channel_information(stream).terms, whole.terms)


def test_tokens_of_summaries_are_the_tokenizers() -> None:
    found = LanguageScorer(llama(), fast(True)).tokens(SUMMARIES)
    for row, texts in zip(found.tolist(), SUMMARIES, strict=True):
        assert row == [len(fast(False)(text)["input_ids"]) for text in texts]


def test_a_prompt_longer_than_the_window_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 256, the model's window"):
        score_matrix(LanguageScorer(llama(), fast(True)), ["a", "word " * 300], ["x", "y"])


@pytest.mark.parametrize(
    ("contexts", "summaries", "queries", "said"),
    [
        (["a"], ["x"], "", "contexts: found fewer than 2"),
        ("ab", ["x", "y"], "", "contexts"),
        (["a", "b"], ["x"], "", "summaries: found those of 1"),
        (["a", "b"], [["x"], ["y", "z"]], "", r"summaries: found \[1, 2\]"),
        (["a", "b"], [[], []], "", r"summaries: found \[0\]"),
        (["a", "b"], ["x", ""], "", "summaries: found an empty text"),
        (["a", "b"], "xy", "", "summaries: found none"),
        (["a", "b"], ["x", "y"], ["q"], "queries: found 1 rows"),
    ],
)
def test_wrong_texts_are_refused(contexts: Any, summaries: Any, queries: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        score_matrix(LanguageScorer(llama(), fast(True)), contexts, summaries, queries)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"template": "no place"}, InvalidInput, "template"),
        ({"template": "{query} {context}"}, InvalidInput, "after"),
        ({"template": "{context} {context}"}, InvalidInput, "once"),
        ({"batch": 0}, InvalidInput, "batch: found 0"),
        ({"model": 3}, InvalidType, "model: found int"),
        ({"model": lambda ids: ids}, InvalidInput, "reuse: found True"),
    ],
)
def test_wrong_scorers_are_refused(given: dict[str, Any], error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        LanguageScorer(**({"model": llama(), "tokenizer": fast(True)} | given))


def test_scorers_of_wrong_shape_are_refused() -> None:
    class Bad:
        def log_likelihoods(self, context: str, pairs: Any) -> torch.Tensor:
            return torch.zeros(1)

    with pytest.raises(InvalidInput, match=r"scorer: found shape \(1,\)"):
        score_matrix(Bad(), ["a", "b"], ["x", "y"])
