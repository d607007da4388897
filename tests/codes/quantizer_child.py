"""One rank of the two-process test of the vector quantiser."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from narrows import distributed
from narrows.codes import VectorQuantizer


def rows(seed: int, n: int) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def main(rank: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    layer = VectorQuantizer(3, 5, decay=0.8).train()
    layer.codebook.copy_(rows(99, 5))
    layer.counts.fill_(4.0)
    layer.sums.copy_(layer.codebook * 4.0)
    for step in range(5):
        layer.read(distributed.shard(rows(step, 40)))
    np.save(folder / f"{rank}.npy", layer.codebook.numpy())
    fresh = VectorQuantizer(3, codes=7).train()
    fresh.read(distributed.shard(rows(0, 40)))
    np.save(folder / f"{rank}-revived.npy", fresh.codebook.numpy())
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
