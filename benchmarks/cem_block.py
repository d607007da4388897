"""The concept embedding block at CUB's size, against a loop, and the model against a plain CBM.

112 concepts, vectors of 16, batches of 64, 200 classes.

- `block`: features to mixed vectors and probabilities, forward and backward, against a loop with
  one small linear layer per concept (in the style of the code published with the paper, written
  anew here), for features of 64 numbers (our small encoders) and 512 (a ResNet-34's). Values and
  gradients must agree before anything is timed. Target: at least 2 times as fast.
- `forward`: a whole model's forward pass against a soft concept bottleneck on the same backbone,
  three convolutions on pictures of 64 x 64. Target: at most 1.2 times its time.

Run with the machine otherwise idle:

    python benchmarks/cem_block.py [threads]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor, nn

from narrows.bottleneck import Bottleneck
from narrows.concepts import ConceptEmbeddingLayer, ConceptLayer
from narrows.encoders import ConvEncoder
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.train import isolated

CONCEPTS, WIDTH, BATCH, CLASSES, REPEATS = 112, 16, 64, 200, 41
NAMES = [f"c{j}" for j in range(CONCEPTS)]
PICTURE = (3, 64, 64)


class Loop(nn.Module):
    """One layer per concept, one scoring layer for all, concepts one after the other."""

    def __init__(self, layer: ConceptEmbeddingLayer, features: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList([nn.Linear(features, 2 * WIDTH) for _ in NAMES])
        self.score = nn.Linear(2 * WIDTH, 1)
        with torch.no_grad():
            weights = layer.linear.weight.unflatten(0, (CONCEPTS, -1))
            biases = layer.linear.bias.unflatten(0, (CONCEPTS, -1))
            for embed, weight, bias in zip(self.embed, weights, biases, strict=True):
                embed.weight.copy_(weight)
                embed.bias.copy_(bias)
            self.score.weight.copy_(layer.scorer)
            self.score.bias.copy_(layer.offset)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        chances, vectors = [], []
        for embed in self.embed:
            context = nn.functional.leaky_relu(embed(h))
            p = torch.sigmoid(self.score(context))
            vectors.append(p * context[:, :WIDTH] + (1 - p) * context[:, WIDTH:])
            chances.append(p)
        return torch.cat(chances, 1), torch.cat(vectors, 1)


def ours(layer: ConceptEmbeddingLayer, h: Tensor) -> tuple[Tensor, Tensor]:
    reading = layer.read(h)
    return reading.units, layer.write(reading)


def step(module: nn.Module, forward: Callable[[], tuple[Tensor, Tensor]], h: Tensor) -> Any:
    """Forward and backward, as a training step has them."""
    module.zero_grad(set_to_none=True)
    h.grad = None
    p, z = forward()
    (p.sum() + z.square().sum()).backward()
    return p.detach(), z.detach(), h.grad


def block(features: int) -> dict[str, Any]:
    layer = ConceptEmbeddingLayer(features, NAMES, width=WIDTH)
    loop = Loop(layer, features)
    h = torch.randn(BATCH, features, generator=torch.Generator().manual_seed(0)).requires_grad_()
    calls = {
        "narrows": lambda: step(layer, lambda: ours(layer, h), h),
        "loop over concepts": lambda: step(loop, lambda: loop(h), h),
    }
    found, wanted = (call() for call in calls.values())
    pairs = [*zip(found, wanted, strict=True)]
    pairs += [(layer.linear.weight.grad, torch.cat([e.weight.grad for e in loop.embed]))]
    pairs += [(layer.scorer.grad, loop.score.weight.grad)]
    gap = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    assert gap < 1e-5, f"values or gradients differ by {gap}"
    seconds = in_turns(calls, REPEATS)
    return {
        "largest relative difference of values and gradients": gap,
        "seconds": seconds,
        "times as fast": times_as_fast(seconds, "narrows", "loop over concepts"),
        "target": "at least 2",
    }


def forward() -> dict[str, Any]:
    encoder = ConvEncoder(PICTURE, channels=(32, 64, 128), outputs=512)
    x = torch.randn(BATCH, *PICTURE, generator=torch.Generator().manual_seed(0))

    def model(layer: Bottleneck) -> NarrowModel:
        head = LinearHead(CONCEPTS * layer.width, CLASSES)
        return NarrowModel(encoder, layer, head).eval()

    embedding = model(ConceptEmbeddingLayer(encoder.outputs, NAMES, width=WIDTH))
    plain = model(ConceptLayer(encoder.outputs, NAMES))
    with torch.no_grad():
        h = encoder(x)
        seconds = in_turns(
            {
                "cem": lambda: embedding(x),
                "cbm": lambda: plain(x),
                "cem without backbone": lambda: embedding.decide(embedding.bottleneck.read(h)),
                "cbm without backbone": lambda: plain.decide(plain.bottleneck.read(h)),
            },
            REPEATS // 2,
        )
    ratio = {f: seconds["cem"][f] / seconds["cbm"][f] for f in seconds["cem"] if f != "most"}
    return {"seconds": seconds, "ratio": ratio, "target": "at most 1.2"}


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    with isolated(0, "benchmark"):
        result = {
            "concepts": CONCEPTS,
            "width": WIDTH,
            "batch": BATCH,
            "classes": CLASSES,
            "runs": {"block": REPEATS, "forward": REPEATS // 2},
            "block": {f"{q} features": block(q) for q in (64, 512)},
            "forward": forward(),
        }
    report("cem_block", result)


if __name__ == "__main__":
    main()
