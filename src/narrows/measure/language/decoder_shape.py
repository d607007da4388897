"""The sizes of a decoder that its compute depends on, read from a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from narrows.errors import wrong, wrong_type

# Of the Transformers library: feed-forward parts with a gate (three matrices) and without (two).
GATED = {
    "llama", "mistral", "mistral3", "ministral", "ministral3", "mixtral", "qwen2", "qwen2_moe",
    "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "olmo", "olmo2", "olmo3", "olmoe",
    "phi3", "phimoe", "cohere", "cohere2", "granite", "granitemoe", "glm", "glm4", "glm4_moe",
    "smollm3", "stablelm", "deepseek_v2", "deepseek_v3", "exaone4", "helium", "seed_oss",
    "dots1", "ernie4_5", "ernie4_5_moe", "hunyuan_v1_dense", "internlm3", "minicpm3", "youtu",
}  # fmt: skip
PLAIN = {
    "gpt2", "gpt_neo", "gpt_neox", "gptj", "gpt_bigcode", "opt", "bloom", "falcon", "mpt",
    "phi", "starcoder2", "codegen", "biogpt", "nemotron", "persimmon", "xglm", "arcee",
}  # fmt: skip
_LATENT = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
_FULL, _SLIDING = "full_attention", "sliding_attention"


@dataclasses.dataclass(frozen=True)
class Latent:
    """Attention whose keys and values pass a narrow place (multi-head latent attention).

    Attributes:
        query: width of the queries' narrow place; 0 where they have none.
        key_value: width of that of keys and values.
        plain: dimensions of a head without a position.
        rotated: dimensions of a head with one, for keys shared by all heads.
        value: dimensions of a head's values.
    """

    query: int
    key_value: int
    plain: int
    rotated: int
    value: int


@dataclasses.dataclass(frozen=True)
class Experts:
    """Feed-forward parts of which each token uses some.

    Attributes:
        count: of routed experts; the router scores each.
        used: of them by one token.
        width: hidden units of one.
        shared: hidden units of those that all tokens use; 0 without.
        gated_shared: whether a number from the token scales the shared ones.
    """

    count: int
    used: int
    width: int
    shared: int = 0
    gated_shared: bool = False


@dataclasses.dataclass(frozen=True)
class DecoderShape:
    """A decoder's sizes.

    Attributes:
        width: of the residual stream.
        vocabulary: rows of the output layer, padding included.
        heads: of the queries.
        key_value_heads: of keys and values.
        head: dimensions of a head.
        hidden: units of a dense feed-forward part.
        gated: whether feed-forward parts have a gate.
        windows: for each layer the most positions it looks back at; None for all.
        sparse: for each layer whether experts stand in it.
        experts: those; None without.
        latent: None where attention is plain.
    """

    width: int
    vocabulary: int
    heads: int
    key_value_heads: int
    head: int
    hidden: int
    gated: bool
    windows: tuple[int | None, ...]
    sparse: tuple[bool, ...]
    experts: Experts | None = None
    latent: Latent | None = None


def decoder_shape(config: Any) -> DecoderShape:
    """Read the sizes from a configuration.

    Args:
        config: of the Transformers library, or a mapping with its names. A mapping may also say
            `gated`: whether feed-forward parts have a gate, where the model type is not known.

    Raises:
        InvalidType: no configuration.
        InvalidInput: a size that is missing or no positive number, or another kind of model.

    Example:
        >>> shape = decoder_shape({"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 50,
        ...     "num_attention_heads": 2, "intermediate_size": 16, "gated": True})
        >>> shape.head, shape.key_value_heads
        (4, 2)
    """
    get = _Reader(config)
    if get.given("is_encoder_decoder"):
        raise wrong("config", "an encoder and a decoder", "a decoder alone")
    width = get.size("hidden_size", "n_embd", "d_model")
    heads = get.size("num_attention_heads", "n_head", "n_heads", "num_heads")
    layers = get.size("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    experts = _experts(get)
    return DecoderShape(
        width=width,
        vocabulary=get.size("vocab_size"),
        heads=heads,
        key_value_heads=_key_value_heads(get, heads),
        head=get.size("head_dim", default=max(width // heads, 1)),
        hidden=get.size("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ffn_size",
                        default=4 * width),
        gated=_gated(get),
        windows=_windows(get, layers),
        sparse=_sparse(get, layers) if experts else (False,) * layers,
        experts=experts,
        latent=_latent(get),
    )  # fmt: skip


class _Reader:
    """Values of a configuration by any of several names."""

    def __init__(self, config: Any) -> None:
        config = getattr(config, "text_config", None) or config
        if not isinstance(config, Mapping) and not hasattr(config, "to_dict"):
            raise wrong_type("config", type(config).__name__, "a configuration or a mapping")
        self.config = config

    def given(self, *names: str) -> Any:
        """The first of the names that has a value other than None."""
        for name in names:
            if isinstance(self.config, Mapping):
                value = self.config.get(name)
            else:
                value = getattr(self.config, name, None)
            if value is not None:
                return value
        return None

    def size(self, *names: str, default: int | None = None, least: int = 1) -> int:
        value = self.given(*names)
        value = default if value is None else value
        if value is None:
            raise wrong("config", f"no {names[0]}", "a decoder's configuration, which has one")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(f"config.{names[0]}", repr(value), f"a whole number of {least} or more")
        return value


def _key_value_heads(get: _Reader, heads: int) -> int:
    if get.given("multi_query") is True and not get.given("new_decoder_architecture"):
        return 1
    return get.size("num_key_value_heads", "num_kv_heads", "n_head_kv", default=heads)


def _gated(get: _Reader) -> bool:
    kind, told = get.given("model_type"), get.given("gated")
    if told is not None:
        return bool(told)
    if kind in GATED or kind in PLAIN:
        return kind in GATED
    raise wrong(
        "config.model_type",
        repr(kind),
        "one whose feed-forward part is known; else a mapping that says gated: True or False",
    )


def _windows(get: _Reader, layers: int) -> tuple[int | None, ...]:
    window = get.given("sliding_window")
    kinds = get.given("layer_types")
    if kinds is None:
        used = window is not None and get.given("use_sliding_window") is not False
        kinds = [_SLIDING if used else _FULL] * layers
    other = sorted(set(kinds) - {_FULL, _SLIDING})
    if other or len(kinds) != layers:
        found = f"{other[0]!r}" if other else f"{len(kinds)} kinds for {layers} layers"
        raise wrong("config.layer_types", found, f"{_FULL!r} or {_SLIDING!r} for each layer")
    return tuple(get.size("sliding_window") if kind == _SLIDING else None for kind in kinds)


def _experts(get: _Reader) -> Experts | None:
    count = get.given("num_local_experts", "n_routed_experts", "num_experts")
    if not count:
        return None
    width = get.size("moe_intermediate_size", "intermediate_size")
    own = get.given("shared_expert_intermediate_size")
    shared = get.size("n_shared_experts", default=0, least=0) * width if own is None else own
    return Experts(
        count=get.size("num_local_experts", "n_routed_experts", "num_experts"),
        used=get.size("num_experts_per_tok", "moe_topk", "num_experts_per_token"),
        width=width,
        shared=shared,
        gated_shared=get.given("model_type") == "qwen2_moe",
    )


def _sparse(get: _Reader, layers: int) -> tuple[bool, ...]:
    kinds = get.given("mlp_layer_types")
    if kinds is not None:
        return tuple(kind == "sparse" for kind in kinds)
    dense = get.size("first_k_dense_replace", default=0, least=0)
    plain = set(get.given("mlp_only_layers") or ())
    step = get.size("decoder_sparse_step", "moe_layer_freq", default=1)
    first = step - 1 if get.given("decoder_sparse_step") else 0
    return tuple(i >= dense and i not in plain and (i - first) % step == 0 for i in range(layers))


def _latent(get: _Reader) -> Latent | None:
    if get.given(_LATENT[0]) is None:
        return None
    return Latent(get.size("q_lora_rank", default=0, least=0), *(get.size(n) for n in _LATENT))
