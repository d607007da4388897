"""A word's vector is that of its own tokens, at each layer, whatever stands around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.partition import item_embeddings

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

PAD, UNKNOWN = "[PAD]", "[UNK]"
WORDS = ["dog", "ice cream", "a"]


def tokenizer(side: str = "right") -> Any:
    """Letters as tokens, with a special token at the start: places are easy to say."""
    letters = [PAD, "[CLS]", UNKNOWN, *"Thisadogcermnf.G"]
    own = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(letters)}, unk_token=UNKNOWN)
    )
    own.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.WhitespaceSplit(),
            tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated"),
        ]
    )
    own.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", None, [("[CLS]", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token=PAD, unk_token=UNKNOWN, padding_side=side
    )


def bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=19,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return transformers.BertModel(config, add_pooling_layer=False)


def gpt() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=19,
        n_embd=16,
        n_layer=3,
        n_head=2,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=1,
    )
    return transformers.GPT2Model(config)


def by_hand(
    model: Any, word: str, template: str, layer: int, tokens: slice | None = None
) -> Tensor:
    """One word alone, its letters counted out."""
    before = template.split("{word}")[0]
    ids = tokenizer()(template.replace("{word}", word), return_tensors="pt")
    first = 1 + len(before.replace(" ", ""))
    own = list(range(first, first + len(word.replace(" ", ""))))
    model.eval()
    with torch.no_grad():
        states = model(**ids, output_hidden_states=True).hidden_states[layer][0]
    return states[own if tokens is None else own[tokens]].mean(0)


@pytest.mark.parametrize("make", [bert, gpt])
@pytest.mark.parametrize("template", ["This is a {word}. ", "{word}", "a {word} is a dog"])
def test_it_is_the_mean_of_the_words_own_states_counted_out(make: Any, template: str) -> None:
    model = make()
    found = item_embeddings(model, tokenizer(), WORDS, template=template, batch_size=2)
    assert list(found) == ["static", 0, 1, 2, 3]
    for layer in range(4):
        for word, vector in zip(WORDS, found[layer], strict=True):
            expected = by_hand(model, word, template, layer)
            torch.testing.assert_close(vector, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", ["first", "last"])
def test_the_first_and_the_last_token_can_stand_for_the_word(pool: str) -> None:
    model = bert()
    found = item_embeddings(model, tokenizer(), WORDS, layers=[-1, 1], pool=pool)
    assert list(found) == [-1, 1]
    chosen = slice(0, 1) if pool == "first" else slice(-1, None)
    for word, vector in zip(WORDS, found[1], strict=True):
        expected = by_hand(model, word, "This is a {word}. ", 1, chosen)
        torch.testing.assert_close(vector, expected, atol=2e-5, rtol=1e-4)


def test_the_whole_sentence_counts_all_tokens_but_padding() -> None:
    model = bert().eval()
    both = item_embeddings(model, tokenizer(), ["dog", "ice cream"], layers=[3], pool="sentence")
    alone = item_embeddings(model, tokenizer(), ["dog"], layers=[3], pool="sentence")
    torch.testing.assert_close(both[3][:1], alone[3], atol=2e-5, rtol=1e-4)
    ids = tokenizer()("This is a dog. ", return_tensors="pt")
    with torch.no_grad():
        states = model(**ids).last_hidden_state[0].mean(0)
    torch.testing.assert_close(alone[3][0], states, atol=2e-5, rtol=1e-4)


def test_static_rows_are_rows_of_the_input_embedding_and_need_no_pass() -> None:
    model = bert()
    model.forward = None  # would fail if it were called
    found = item_embeddings(model, tokenizer(), ["dog", "ice cream"], layers="static")
    table = model.get_input_embeddings().weight
    torch.testing.assert_close(found["static"][0], table[[8, 9, 10]].mean(0).detach())
    letters = [5, 11, 12, 11, 13, 12, 7, 14]  # i c e c r e a m
    torch.testing.assert_close(found["static"][1], table[letters].mean(0).detach())


def test_the_side_of_the_padding_does_not_count_and_the_mode_is_restored() -> None:
    model = bert().train()
    right = item_embeddings(model, tokenizer("right"), WORDS, layers=["static"])
    left = item_embeddings(model, tokenizer("left"), WORDS, layers=["static"])
    torch.testing.assert_close(right["static"], left["static"])
    assert model.training


def test_a_byte_level_token_that_takes_in_the_space_before_belongs_to_the_word() -> None:
    own = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"Ġdog": 0, "is": 1, UNKNOWN: 2}, unk_token=UNKNOWN)
    )
    own.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=own, pad_token=UNKNOWN)
    model = bert()
    found = item_embeddings(model, fast, ["dog"], layers="static", template="is {word}")
    torch.testing.assert_close(found["static"][0], model.get_input_embeddings().weight[0].detach())


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"words": []}, InvalidInput, "words"),
        ({"words": ["dog", " "]}, InvalidInput, "words"),
        ({"words": "dog"}, InvalidType, "words"),
        ({"words": [1]}, InvalidType, "words"),
        ({"template": "This is a dog"}, InvalidInput, "template"),
        ({"template": "{word} {word}"}, InvalidInput, "template"),
        ({"pool": "max"}, InvalidInput, "pool"),
        ({"layers": [4]}, InvalidInput, "layers: found 4, wanted 0 to 3"),
        ({"layers": "last"}, InvalidInput, "layers"),
        ({"layers": []}, InvalidInput, "layers"),
        ({"layers": [True]}, InvalidInput, "layers"),
        ({"batch_size": 0}, InvalidInput, "batch_size"),
        ({"tokenizer": object()}, InvalidType, "tokenizer"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    given = {"model": bert(), "tokenizer": tokenizer(), "words": WORDS, **changes}
    with pytest.raises(error, match=named):
        item_embeddings(**given)


def test_a_word_of_which_the_tokenizer_makes_nothing_is_named() -> None:
    fast = tokenizer()
    fast.backend_tokenizer.normalizer = tokenizers.normalizers.Replace("G", "")
    with pytest.raises(InvalidInput, match="words: found 'G', which has no token"):
        item_embeddings(bert(), fast, ["dog", "G"], template="{word}")
