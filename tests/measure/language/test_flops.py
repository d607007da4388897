"""The count of operations is what a counter sees while a decoder writes with a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import decoder_flops
from narrows.measure.language.decoder_shape import decoder_shape
from narrows.measure.language.forward import kept_by, with_kept
from tiny_language import drawn

STEPS = 9
SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LATENT = {
    **SMALL,
    "num_key_value_heads": 4,
    "kv_lora_rank": 6,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 4,
    "v_head_dim": 7,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 10,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", SMALL),
    "heads of their own size": ("Llama", {**SMALL, "head_dim": 6}),
    "qwen2": ("Qwen2", SMALL),
    "gpt2": ("GPT2", {"vocab_size": 50, "n_embd": 16, "n_layer": 3, "n_head": 4,
                      "n_positions": 64}),
    "mistral with a window": ("Mistral", {**SMALL, "sliding_window": 4}),
    "mixtral": ("Mixtral", {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2 with experts": (
        "Qwen2Moe",
        {**SMALL, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 10,
         "shared_expert_intermediate_size": 12, "decoder_sparse_step": 2},
    ),
    "deepseek": ("DeepseekV3", {**LATENT, "q_lora_rank": 8}),
    "deepseek, queries in full": ("DeepseekV3", {**LATENT, "q_lora_rank": None}),
}  # fmt: skip


def counted(name: str) -> tuple[Any, dict[str, int]]:
    """Operations of all linear layers and of attention, over steps from an empty cache."""
    transformers = pytest.importorskip("transformers", reason="makes models to count")
    family, sizes = CASES[name]
    config = getattr(transformers, f"{family}Config")(**sizes)
    config._attn_implementation = "eager"  # scores as plain products, which the counter sees
    config._experts_implementation = "eager"
    model = drawn(type(transformers.AutoModelForCausalLM.from_config(config)), config, 1.0)
    cache, seen = None, {"linear": 0, "attention": 0}
    for token in range(STEPS):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            out = model(torch.tensor([[token]]), **with_kept(model, cache), use_cache=True)
        cache = kept_by(out)
        for operation, count in counter.get_flop_counts()["Global"].items():
            seen["attention" if "bmm" in str(operation) else "linear"] += count
    return config, seen


@pytest.mark.parametrize("name", list(CASES))
def test_projections_feed_forward_router_and_output_are_what_a_counter_counts(name: str) -> None:
    config, seen = counted(name)
    parts = dict(decoder_flops(config, STEPS).parts)
    attention = parts.pop("attention")
    again = 0
    if name.startswith("deepseek"):  # its cache holds the narrow place, opened again at each step
        up = 2 * config.kv_lora_rank * 4 * (config.qk_nope_head_dim + config.v_head_dim)
        again = 3 * up * sum(range(STEPS))
    assert sum(parts.values()) * STEPS + again == seen["linear"]
    if name != "mistral with a window":  # its cache may keep one position more than the window
        # The formula leaves the token's attention to itself out, one position a step and layer.
        per_position = attention * 2 / (STEPS - 1)  # of all layers
        assert attention * STEPS + per_position * STEPS == seen["attention"]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 80))
def test_a_window_bounds_what_a_token_looks_back_at(length: int, prompt: int, window: int) -> None:
    sizes = {**SMALL, "model_type": "mistral", "sliding_window": window}
    found = decoder_flops(sizes, length, prompt).parts["attention"]
    seen = [min(prompt + step, window) for step in range(length)]
    assert found == pytest.approx(3 * 4 * 16 * sum(seen) / length)


def test_the_papers_formula_for_a_known_model() -> None:
    """Llama 2 7B by hand, from the formula as printed."""
    d, layers, hidden, vocabulary, length = 4096, 32, 11008, 32000, 1024
    by_hand = layers * (8 * d**2 + 6 * d * hidden + 4 * d * (length - 1) / 2) + 2 * d * vocabulary
    config = {"model_type": "llama", "hidden_size": d, "num_hidden_layers": layers,
              "num_attention_heads": 32, "intermediate_size": hidden,
              "vocab_size": vocabulary}  # fmt: skip
    found = decoder_flops(config)
    assert found.per_token == by_hand
    assert found.total == by_hand * length
    assert found.to_dict()["parts"]["output"] == 2 * d * vocabulary


def test_a_prompt_adds_its_positions() -> None:
    config = {**SMALL, "gated": False}
    more = (
        decoder_flops(config, 5, 7).parts["attention"] - decoder_flops(config, 5).parts["attention"]
    )
    assert more == 3 * 4 * 16 * 7


def test_one_head_of_keys_for_all_queries_is_seen() -> None:
    falcon = {"model_type": "falcon", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 9,
              "num_attention_heads": 4, "multi_query": True}  # fmt: skip
    assert decoder_shape(falcon).key_value_heads == 1
    assert decoder_shape({**falcon, "multi_query": False}).key_value_heads == 4
    assert decoder_shape(
        {**falcon, "new_decoder_architecture": True, "num_kv_heads": 2}
    ).key_value_heads == 2  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, "config: found no hidden_size"),
        ({"hidden_size": -3}, "config.hidden_size: found -3"),
        ({"vocab_size": 2.5}, "config.vocab_size: found 2.5"),
        ({"model_type": "mamba"}, "config.model_type: found 'mamba'"),
        ({"is_encoder_decoder": True}, "an encoder and a decoder"),
        ({"layer_types": ["linear_attention"] * 3}, "'linear_attention'"),
        ({"layer_types": ["full_attention"]}, "1 kinds for 3 layers"),
        ({"hidden_size": 2**40, "intermediate_size": 2**40}, r"more than 2\^63 - 1"),
    ],
)
def test_configurations_of_other_models_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        decoder_flops({**SMALL, "model_type": "llama", **change})


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(InvalidType, match="config: found int"):
        decoder_flops(3)
    for settings in ({"gen_len": 0}, {"gen_len": 1.5}, {"prompt": -1}):
        with pytest.raises(InvalidInput, match=next(iter(settings))):
            decoder_flops({**SMALL, "gated": True}, **settings)  # type: ignore[arg-type]
