"""The 216 nets of the study on blobs: all nets of a shape at once, against one after the other.

Four widths, three decays, with and without the constraint, three data sets and three seeds. The
loop trains each net as one would by itself: the module, `torch.optim.SGD`, SWAG after each epoch.
Both draw the same chance, so weights and SWAG's means must agree, net by net, before anything is
timed. 20 of the 300 epochs, weights collected in the last 10; a step costs the same in all epochs,
but for collecting, which the whole study does in a third of them.

Target: 5 times as fast over all nets.

    python benchmarks/gap_study.py [threads]
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import Any

import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor, nn

from narrows.claims.ib_generalization import BLOBS, blobs
from narrows.measure.generalization import (
    SWAG,
    MIConstraint,
    StochasticMLP,
    TrainedNets,
    local_information,
    train_nets,
)
from narrows.measure.generalization.chance import stream

REPEATS = 2
RECIPE = dataclasses.replace(BLOBS.recipe, epochs=20, collect=10)
TOLERANCE = 1e-3  # of weights of size 1, in float32
Net = tuple[nn.Module, SWAG]


def alone(
    widths: tuple[int, ...], x: Tensor, y: Tensor, decay: float, rate: float, seed: int
) -> Net:
    net = StochasticMLP(widths, 0, seed)
    optimizer = torch.optim.SGD(net.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=decay)
    source, swag = stream(seed + 1), SWAG(RECIPE.columns, RECIPE.floor)
    hold = MIConstraint(RECIPE.target, rate)
    for epoch in range(RECIPE.epochs):
        if epoch >= RECIPE.collect:
            swag.collect(net)
        for rows in torch.randperm(len(x), generator=source).split(RECIPE.batch):
            noise = torch.randn(len(rows), widths[-2], generator=source)
            loss = nn.functional.cross_entropy(net(x[rows], noise)[0], y[rows])
            if rate:
                order = torch.randperm(len(x), generator=source)
                noise = torch.randn(len(x), widths[-2], generator=source)
                _, mean, std = net(x[order], noise)
                told = local_information(mean, std, noise).mean()
                loss = loss + hold(told).float()
                hold.step(told)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net, swag


def cells() -> tuple[list[float], list[int], list[int]]:
    every = list(itertools.product(BLOBS.decays, range(BLOBS.seeds), range(BLOBS.sets)))
    decay, seeds, data = zip(*every, strict=True)
    return list(decay), list(seeds), list(data)


def one_by_one(widths: tuple[int, ...], rate: float, x: Tensor, y: Tensor) -> list[Net]:
    decay, seeds, data = cells()
    return [
        alone(widths, x[j], y[j], d, rate, s) for d, s, j in zip(decay, seeds, data, strict=True)
    ]


def at_once(widths: tuple[int, ...], rate: float, x: Tensor, y: Tensor) -> TrainedNets:
    decay, seeds, data = cells()
    return train_nets(widths, x[data], y[data], decay=decay, rate=rate, seeds=seeds, recipe=RECIPE)


def difference(nets: TrainedNets, loop: list[Net]) -> float:
    """The largest of any weight and any mean of SWAG."""
    found = 0.0
    for i, (net, swag) in enumerate(loop):
        for name, weight in net.named_parameters():
            found = max(found, float((weight.detach() - nets.state[name][i]).abs().max()))
            found = max(found, float((swag.mean[name] - nets.swags[i].mean[name]).abs().max()))
    return found


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    x, y = blobs(0, BLOBS.sets).train
    off: dict[str, float] = {}
    seconds: dict[str, Any] = {}
    total = {"at once": 0.0, "one by one": 0.0}
    for widths in BLOBS.widths:
        for rate in BLOBS.rates:
            name = f"width {widths[1]}, " + ("constraint" if rate else "no constraint")
            off[name] = difference(at_once(widths, rate, x, y), one_by_one(widths, rate, x, y))
            assert off[name] < TOLERANCE, f"{name}: nets differ by {off[name]}"
            seconds[name] = in_turns(
                {
                    "at once": lambda w=widths, r=rate: at_once(w, r, x, y),
                    "one by one": lambda w=widths, r=rate: one_by_one(w, r, x, y),
                },
                REPEATS,
            )
            for who in total:
                total[who] += seconds[name][who]["processor median"]
    report(
        "gap_study",
        {
            "nets": 27 * len(seconds),
            "epochs": RECIPE.epochs,
            "repeats": REPEATS,
            "largest difference": off,
            "seconds": seconds,
            "times as fast": {
                name: times_as_fast(one, "at once", "one by one") for name, one in seconds.items()
            },
            "processor seconds of all nets": total,
            "all nets, times as fast": total["one by one"] / total["at once"],
            "target": "5 times as fast",
        },
    )


if __name__ == "__main__":
    main()
