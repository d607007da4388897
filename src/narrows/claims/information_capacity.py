"""The claims of information capacity, on toy models trained here.

Two series of four Llamas each (24 to 104 units, two layers), one for each tokenizer: byte pairs of
2,048 and of 512 entries. Both read the same megabyte of docstrings once; whole modules are held
out. The bias is fitted to the first series. These are toy models: their losses say nothing of
large ones, only whether the measure behaves as the paper says.

Chance rows: a model that was not trained, and one that knows how often each token occurs. They
show what the measure is made of: between tokenizers C weighs so much that an untrained model with
the better one has a higher capacity than all trained ones with the worse one.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import lzma
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.measure.language import CapacityReport, fit_capacity_bias, information_capacity
from narrows.measure.language.shipped_texts import ShippedText, shipped_texts

PAPER = (
    "Information Capacity: Evaluating the Efficiency of Large Language Models via Text "
    "Compression (Yuan et al., 2025, arXiv 2511.08066)"
)
WIDTHS = (24, 40, 64, 104)
VOCABULARIES = (2048, 512)  # of the good tokenizer, and of the worse one
LENGTH, BATCH, RATE = 128, 4, 3e-3  # tokens of a row, rows of a step, learning rate at 48 units
TRAIN_BYTES, TEST_TEXTS = 900_000, 200
_HELD_OUT = 0.1  # of the modules

CLAIMS = (
    Claim(
        "falls_with_size",
        "Within a series bits a byte fall with size.",
        "smallest fall in bits a byte from one size to the next, good tokenizer",
        "raw bits a byte change with size",
        "at least",
        0.0,
        "every step is a fall",
    ),
    Claim(
        "linear",
        "Within a series the gain is linear in the logarithm of compute.",
        "R² of C - NLL over log2 N, four sizes, good tokenizer",
        "models of one series have nearly the same capacity",
        "at least",
        0.9,
        "nine tenths of the variance on the line",
    ),
    Claim(
        "within_between",
        "Capacities agree within a series and differ between series.",
        "larger spread of IC within a series, as a share of the distance between the two",
        "a figure: consistent within a series",
        "at most",
        0.5,
        "well below: half of it",
    ),
    Claim(
        "worse_tokenizer",
        "A worse tokenizer lowers the capacity at equal compute.",
        "IC of the first series less that of the second, where their computes overlap",
        "tokenizer efficiency explains differences between series",
        "at least",
        0.0,
        "lower is below",
    ),
    Claim(
        "predicts",
        "The capacity of a series predicts the loss of a sibling.",
        "mean error of NLL predicted from the other three, as a share of that of their mean",
        "accurate; no figure found",
        "at most",
        0.5,
        "half the error of a guess without the measure",
    ),
)


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts to train on and to measure on, of different modules."""

    train: list[str]
    test: list[str]


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; the paper's 49 models are not here in any size."""
    if size != "small":
        return untested(CLAIMS, "the paper's models and texts must be brought: "
                                "narrows measure capacity")  # fmt: skip
    if any(importlib.util.find_spec(name) is None for name in ("transformers", "tokenizers")):
        return untested(CLAIMS, "needs transformers and tokenizers: pip install 'narrows[embed]'")
    pool, said = shipped_texts()

    def one_seed(seed: int, values: Any, rows: Any) -> None:
        _measure(draw_texts(pool, seed), seed, values, rows)

    data = (
        f"{said}: {TRAIN_BYTES:,} bytes to train on, once, and {TEST_TEXTS} texts of other "
        f"modules; Llamas of {', '.join(map(str, WIDTHS))} units, {LENGTH} tokens a text"
    )
    return over_seeds(one_seed, seeds, data)


def _measure(texts: Texts, seed: int, values: Any, rows: Any) -> None:
    """One seed: both series and what stands beside them."""
    series: list[list[CapacityReport]] = []
    for vocabulary in VOCABULARIES:
        tokenizer = train_tokenizer(texts.train, vocabulary)
        stream = tokens_of(texts.train, tokenizer)
        models = [untrained(width, vocabulary, seed) for width in WIDTHS]
        chance = [measured(models[-1], tokenizer, texts.test),
                  _by_frequency(stream, models[0], tokenizer, texts.test)]  # fmt: skip
        for model in models:
            train(model, stream, seed)
        series.append([measured(model, tokenizer, texts.test) for model in models])
        names = [
            *(f"{w} units" for w in WIDTHS),
            f"{WIDTHS[-1]} units, untrained",
            "token frequencies",
        ]
        bias = fit_capacity_bias(series[0]).bias
        for name, report in zip(names, [*series[-1], *chance], strict=True):
            row = rows[f"{vocabulary:,} tokens, {name}"]
            for column, value in _columns(report, bias).items():
                row[column].append(value)
    rows["xz of the test texts"]["bits a byte"].append(_xz(texts.test))
    for key, value in judged(*series).items():
        values[key].append(value)


def judged(good: Sequence[CapacityReport], worse: Sequence[CapacityReport]) -> dict[str, float]:
    """The claims' numbers from two series, each in order of size."""
    line = fit_capacity_bias(good)
    own = line.values
    others = np.array([_capacity(report, line.bias) for report in worse])
    sizes = [[math.log2(r.flops_per_token) for r in one] for one in (good, worse)]
    low, high = max(s[0] for s in sizes), min(s[-1] for s in sizes)
    grid = np.linspace(low, high, 50)
    between = np.interp(grid, sizes[0], own) - np.interp(grid, sizes[1], others)
    losses = np.array([report.nll_bits_per_token for report in good])
    rest = (losses.sum() - losses) / (len(losses) - 1)
    falls = [a.bits_per_byte - b.bits_per_byte for a, b in itertools.pairwise(good)]
    return {
        "falls_with_size": min(falls),
        "linear": line.r2,
        "within_between": float(
            max(own.std(ddof=1), others.std(ddof=1)) / abs(own.mean() - others.mean())
        ),
        "worse_tokenizer": float(between.mean()),
        "predicts": float(np.abs(line.left_out).mean() / np.abs(losses - rest).mean()),
    }


def draw_texts(pool: Sequence[ShippedText], seed: int) -> Texts:
    """Texts in an order of the seed, a tenth of the modules held out."""
    generator = np.random.default_rng(seed)
    modules = sorted({text.module for text in pool})
    held = set(generator.permutation(modules)[: int(_HELD_OUT * len(modules))].tolist())
    order = [pool[i] for i in generator.permutation(len(pool))]
    train: list[str] = []
    size = 0
    for one in (t for t in order if t.module not in held):
        if size >= TRAIN_BYTES:
            break
        train.append(one.text)
        size += len(one.text.encode())
    return Texts(train, [t.text for t in order if t.module in held][:TEST_TEXTS])


def byte_pairs(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level tokenizer of the Tokenizers library, trained on texts."""
    import tokenizers

    plain = tokenizers.Tokenizer(tokenizers.models.BPE())
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(texts, trainer)
    return plain


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Byte pairs with a mark that stands first."""
    import tokenizers
    import transformers

    plain = byte_pairs(texts, vocabulary)
    plain.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", plain.token_to_id("<s>"))]
    )
    wrap: Any = transformers.PreTrainedTokenizerFast
    return wrap(tokenizer_object=plain, bos_token="<s>")  # noqa: S106  # a mark


def tokens_of(texts: Sequence[str], tokenizer: Any) -> Tensor:
    """`(rows, LENGTH)` tokens of all texts, one after the other, each after its mark."""
    ids = itertools.chain.from_iterable(tokenizer(list(texts), verbose=False)["input_ids"])
    stream = torch.tensor(list(ids))
    return stream[: len(stream) // LENGTH * LENGTH].view(-1, LENGTH)


def untrained(width: int, vocabulary: int, seed: int) -> Any:
    """A Llama of two layers; heads of 8 dimensions, gated units as wide as in Llama."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=8 * width // 3 // 8 * 8,
        num_hidden_layers=2,
        num_attention_heads=width // 8,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, config.initializer_range, generator=source)
    return model


def train(model: Any, rows: Tensor, seed: int) -> None:
    """Once through the rows: AdamW, a tenth of the steps to warm up, then straight down."""
    width = model.config.hidden_size
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    batches = [rows[part] for part in order.split(BATCH)]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE * math.sqrt(48 / width), betas=(0.9, 0.95), weight_decay=0.1
    )
    model.train()
    for scale, ids in zip(_schedule(len(batches)), batches, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = scale * RATE * math.sqrt(48 / width)
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def measured(model: Any, tokenizer: Any, texts: Sequence[str]) -> CapacityReport:
    """The report of a model; the bias comes later, from the series."""
    return information_capacity(model, tokenizer, texts, LENGTH, bias=0.0)


def _by_frequency(rows: Tensor, like: Any, tokenizer: Any, texts: Sequence[str]) -> CapacityReport:
    """What knowing the frequencies of tokens is worth, at the compute of the smallest model."""
    counts = rows.flatten().bincount(minlength=len(tokenizer)).double() + 1
    logits = counts.log().float()
    flops = measured(like, tokenizer, texts[:1]).flops_per_token
    return information_capacity(
        lambda ids: logits.expand(*ids.shape, -1), tokenizer, texts, LENGTH, 0.0,
        flops_per_token=flops,
    )  # fmt: skip


def _columns(report: CapacityReport, bias: float) -> dict[str, float]:
    return {
        "log2 N": math.log2(report.flops_per_token),
        "C": report.text_bits_per_token,
        "NLL": report.nll_bits_per_token,
        "gain": report.gain,
        "bits a byte": report.bits_per_byte,
        "IC": _capacity(report, bias),
    }


def _capacity(report: CapacityReport, bias: float) -> float:
    settings = {**report.settings, "bias": bias}
    return dataclasses.replace(report, settings=settings).value


def _schedule(steps: int) -> Iterator[float]:
    for step in range(steps):
        yield min((step + 1) / max(0.1 * steps, 1), 1) * max(1 - step / steps, 0.02)


def _xz(texts: Sequence[str]) -> float:
    """Bits a byte of a general compressor that sees all texts at once, whole."""
    raw = "\n".join(texts).encode()
    return 8 * len(lzma.compress(raw, preset=9)) / len(raw)
