"""Vector quantisation of 8,192 vectors of 64 numbers by 1,024 codes, against the usual library.

vector-quantize-pytorch 1.32.0, `VectorQuantize(dim=64, codebook_size=1024, decay=0.99)`, in
training (search, look-up, straight-through, commitment loss, moving averages) and in evaluation
(search and look-up). Both start from the same codebook and averages; indices must be equal
wherever the two nearest codes differ by more than 1e-5, and the updated codebooks must agree,
before anything is timed. Target: eight times as fast.

    python benchmarks/vq.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor
from torch.nn.functional import mse_loss

from narrows.functional.codes import code_sums, ema_start, ema_update, nearest_code

VECTORS, CODES, DIM, DECAY = 8192, 1024, 64, 0.99
REPEATS = 11


def data() -> tuple[Tensor, Tensor]:
    """Vectors around the codes, and the codes."""
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(CODES, DIM, generator=generator)
    home = torch.randint(CODES, (VECTORS,), generator=generator)
    return codebook[home] + torch.randn(VECTORS, DIM, generator=generator), codebook


def ours(x: Tensor, codebook: Tensor, averages: tuple[Tensor, Tensor], train: bool) -> Any:
    """What the library's forward does, with our functions."""
    indices = nearest_code(x, codebook)
    quantised = codebook[indices]
    if not train:
        return quantised, indices, codebook
    loss = mse_loss(quantised.detach(), x)
    passed = x + (quantised - x).detach()
    batch = code_sums(x, indices, CODES)
    return passed, indices, ema_update(codebook, *averages, batch, DECAY)[0], loss


def library(codebook: Tensor, averages: tuple[Tensor, Tensor], train: bool) -> Any:
    """The library's layer, holding our codebook and averages."""
    from vector_quantize_pytorch import VectorQuantize

    layer = VectorQuantize(dim=DIM, codebook_size=CODES, decay=DECAY).train(train)
    state = layer._codebook
    state.embed.data.copy_(codebook[None])
    state.cluster_size.data.copy_(averages[0][None])
    state.embed_avg.data.copy_(averages[1][None])
    return layer


def unequal(x: Tensor, codebook: Tensor, a: Tensor, b: Tensor) -> int:
    """Indices that differ though the two nearest codes are 1e-5 or more apart."""
    least = torch.cdist(x.double(), codebook.double()).square().topk(2, largest=False).values
    return int(((a != b) & (least[:, 1] - least[:, 0] > 1e-5)).sum())


def calls(train: bool) -> tuple[Callable[[], Any], Callable[[], Any], dict[str, Any]]:
    """Ours and the library's, after the check that they agree."""
    x, codebook = data()
    x.requires_grad_(train)
    averages = ema_start(codebook)
    layer = library(codebook, averages, train)
    mine, theirs = ours(x, codebook, averages, train), layer(x[None])
    agreement = {
        "unequal indices": unequal(x.detach(), codebook, mine[1], theirs[1][0]),
        "share of equal indices": float((mine[1] == theirs[1][0]).float().mean()),
        "codebooks differ by": float((mine[2] - layer._codebook.embed[0]).abs().max()),
    }
    assert agreement["unequal indices"] == 0, agreement
    assert agreement["codebooks differ by"] < 1e-4, agreement
    fresh = library(codebook, averages, train)
    return lambda: ours(x, codebook, averages, train), lambda: fresh(x[None]), agreement


def peak(name: str) -> float:
    """Megabytes by which one training pass raises a process's peak memory."""
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) / 1e6


def memory(name: str) -> None:
    """What the process of `peak` does."""
    x, codebook = data()
    averages = ema_start(codebook)
    layer = library(codebook, averages, True)

    def call(rows: Tensor) -> None:
        ours(rows, codebook, averages, True) if name == "narrows" else layer(rows[None])

    call(x[:2])
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call(x)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)


def main() -> None:
    if len(sys.argv) > 1:
        memory(sys.argv[1])
        return
    result: dict[str, Any] = {
        "vectors": VECTORS,
        "codes": CODES,
        "dim": DIM,
        "runs": REPEATS,
        "target": "8 times as fast",
        "peak megabytes of a training pass": {n: peak(n) for n in ("narrows", "library")},
    }
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, train in (("train", True), ("evaluate", False)):
            mine, theirs, agreement = calls(train)
            seconds = in_turns({"narrows": mine, "library": theirs}, REPEATS)
            result[f"{name}, {threads} threads"] = {
                **agreement,
                "seconds": seconds,
                "times as fast": times_as_fast(seconds, "narrows", "library"),
            }
    report("vq", result)


if __name__ == "__main__":
    main()
