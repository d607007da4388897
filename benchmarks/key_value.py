"""Forward pass of 256 heads of 4096 keys at batch 256, against the bare search.

The bare search is what the lookup cannot do without, for all heads at once: one batched product
of views and keys, `|k|^2 / 2` taken off, arg-max. Compared with `read` and `write` of a
`KeyValueBottleneck` that splits its input in chunks, values of 10 classes looked up. Target:
within 1.3 times. The picked keys must agree wherever the two best scores differ by more than
rounding. Run with the machine otherwise idle:

    python benchmarks/key_value.py [threads]
"""

from __future__ import annotations

import sys

import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor

from narrows.codes import KeyValueBottleneck

HEADS, PAIRS, KEY_DIM, CLASSES, BATCH, REPEATS = 256, 4096, 14, 10, 256, 7
ROUNDING = 1e-4


def bare(views: Tensor, keys: Tensor, halves: Tensor) -> Tensor:
    """`(heads, batch)` numbers of the nearest keys; holds heads x batch x pairs scores."""
    return torch.baddbmm(halves, views, keys.mT, beta=-1).argmax(-1)


def disagreements(found: Tensor, views: Tensor, keys: Tensor) -> int:
    """Picks whose key is farther than the nearest by more than rounding, in double precision."""
    wrong = 0
    for head in range(HEADS):
        gaps = torch.cdist(views[head].double(), keys[head].double()).square()
        picked = gaps.gather(1, found[:, head, None])[:, 0]
        wrong += int((picked > gaps.amin(1) + ROUNDING).sum())
    return wrong


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(HEADS, PAIRS, KEY_DIM, generator=generator)
    h = torch.randn(BATCH, HEADS * KEY_DIM, generator=generator)
    layer = KeyValueBottleneck(HEADS * KEY_DIM, HEADS, PAIRS, KEY_DIM, CLASSES, "chunks")
    layer.set_keys(keys).usage.fill_(1)
    layer.eval()
    views = h.view(BATCH, HEADS, KEY_DIM).transpose(0, 1).contiguous()
    halves = keys.square().sum(-1).unsqueeze(1) / 2
    ours, theirs = layer.numbers(layer.read(h)), bare(views, keys, halves).T
    assert disagreements(ours, views, keys) == 0
    seconds = in_turns(
        {
            "narrows": lambda: layer.write(layer.read(h)),
            "bare": lambda: bare(views, keys, halves),
        },
        REPEATS,
    )
    report(
        "key_value",
        {
            "size": {"heads": HEADS, "pairs": PAIRS, "key_dim": KEY_DIM, "batch": BATCH},
            "runs": REPEATS,
            "picks that are not nearest": 0,
            "share of picks equal to the bare search's": float((ours == theirs).float().mean()),
            "seconds": seconds,
            "times the bare search": times_as_fast(seconds, "bare", "narrows"),
        },
    )


if __name__ == "__main__":
    main()
