"""The training loop: the same bits after a stop, nothing left on global generators."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import FileRefused, InvalidInput, NarrowsError
from narrows.functional.losses import concept_loss, label_loss
from narrows.train import Run, TrainingStopped, fit_stage, generator, isolated, stream
from narrows.train.checkpoint import Checkpoint

N, D = 60, 4


class Net(nn.Module):
    """A net with dropout: its noise must come back after a resume."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))


def train(folder: Path | None = None, epochs: int = 6, stop_at: int | None = None, **more: Any):
    with isolated(0, "init"):
        net = Net()
    x = torch.randn(N, D, generator=generator(1))
    y = (x[:, 0] > 0).long()
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    steps = 0

    def loss(batch: dict[str, Tensor]) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return label_loss(net.layers(batch["x"]), batch["y"])

    def validate() -> float:
        return float((net.layers(x).argmax(1) == y).float().mean())

    run = Run(seed=3, folder=folder, identity={"method": "test"})
    settings = {"epochs": epochs, "batch_size": 7, "validate": validate, "schedule": schedule}
    fit_stage(run, "only", net, loss, {"x": x, "y": y}, optimizer, **(settings | more))
    return net, run.history, steps


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("stop_at", [1, 5, 9, 10, 31])
def test_a_stopped_run_goes_on_to_the_same_bits_and_the_same_log(
    tmp_path: Path, stop_at: int
) -> None:
    whole, history, _ = train()
    with pytest.raises(TrainingStopped):
        train(tmp_path, stop_at=stop_at)
    again, resumed, steps = train(tmp_path)
    assert same(whole, again)
    assert resumed == history
    assert steps == 6 * 9 - stop_at


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    whole, history, _ = train(tmp_path)
    again, resumed, steps = train(tmp_path)
    assert steps == 0
    assert same(whole, again)
    assert resumed == history


def test_resuming_under_other_settings_is_refused_with_the_difference(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    with pytest.raises(InvalidInput, match="epochs: was 2, now 5"):
        train(tmp_path, epochs=5)


def test_a_damaged_checkpoint_is_refused_not_used(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    path = tmp_path / "0-only.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(FileRefused):
        train(tmp_path, epochs=2)


def test_global_generators_are_as_they_were() -> None:
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_differ_by_purpose_and_repeat() -> None:
    seeds = [stream(s, p, i) for s in (0, 1) for p in ("order", "epoch") for i in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert stream(7, "x", 1) == stream(7, "x", 1)


def test_the_best_validation_epoch_is_kept() -> None:
    scores = iter([0.1, 0.9, 0.5, 0.4])
    states: list[dict[str, Tensor]] = []
    net = nn.Linear(1, 1)

    def validate() -> float:
        states.append({k: v.clone() for k, v in net.state_dict().items()})
        return next(scores)

    fit_stage(
        Run(),
        "s",
        net,
        lambda b: net(b["x"]).square().mean(),
        {"x": torch.ones(4, 1)},
        torch.optim.SGD(net.parameters(), 0.1),
        epochs=9,
        validate=validate,
        patience=2,
    )
    assert len(states) == 4
    assert torch.equal(net.weight, states[1]["weight"])


def test_a_loss_that_is_not_finite_stops_with_the_term_the_epoch_and_a_hint() -> None:
    net = nn.Linear(1, 1)
    with pytest.raises(NarrowsError, match="epoch 1 of stage 's'; a smaller lr"):
        fit_stage(
            Run(),
            "s",
            net,
            lambda b: net(b["x"]).sum() * torch.inf,
            {"x": torch.ones(4, 1)},
            torch.optim.SGD(net.parameters(), 0.1),
            epochs=2,
        )


def test_every_row_is_used_once_an_epoch_in_an_order_of_the_seed_alone() -> None:
    seen: list[list[int]] = []
    for _ in range(2):
        net, rows = nn.Linear(1, 1), []

        def loss(batch: dict[str, Tensor], net: nn.Module = net, rows: list = rows) -> Tensor:
            rows.extend(batch["i"].tolist())
            return net(batch["i"][:, None].float()).sum()

        optimizer = torch.optim.SGD(net.parameters(), 1e-6)
        fit_stage(
            Run(seed=5), "s", net, loss, {"i": torch.arange(20)}, optimizer, epochs=2, batch_size=6
        )
        seen.append(rows)
    assert seen[0] == seen[1]
    assert sorted(seen[0][:20]) == sorted(seen[0][20:]) == list(range(20))
    assert seen[0][:20] != seen[0][20:]


def test_columns_of_different_lengths_are_refused() -> None:
    net = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    columns = {"x": torch.ones(3, 1), "y": torch.ones(4)}
    with pytest.raises(InvalidInput, match="equally long"):
        fit_stage(Run(), "s", net, lambda b: net(b["x"]).sum(), columns, optimizer, epochs=1)


def test_checkpoints_cost_no_more_than_their_share(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    assert checkpoint.due()
    checkpoint._cost, checkpoint._wrote = 10.0, checkpoint._wrote  # a slow disk
    assert not checkpoint.due()


def test_unknown_concepts_give_no_loss_and_exactly_no_gradient() -> None:
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 2, (6, 3)).double()
    targets[::2, 0] = torch.nan
    targets[:, 2] = torch.nan
    losses = concept_loss(logits, targets)
    seen = logits.detach()[1::2, 0]
    wanted = nn.functional.binary_cross_entropy_with_logits(seen, targets[1::2, 0])
    assert torch.allclose(losses[0], wanted, atol=1e-12)
    assert losses[2] == 0
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert (gradient[targets.isnan()] == 0).all()
    assert (gradient[~targets.isnan()] != 0).all()


def test_the_concept_loss_has_the_gradient_of_finite_differences() -> None:
    logits = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1.0, 0.3], [float("nan"), 1.0], [0.0, 0.0], [1.0, float("nan")]])
    weight = torch.tensor([[1.0, 2.0], [3.0, 0.5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: concept_loss(z, targets.double(), weight), (logits,))


_WORKER = """
import sys, torch
from narrows.data import Examples, Concepts
from narrows.concepts import CBM
torch.set_num_threads(1)
g = torch.Generator().manual_seed(0)
x = torch.randn(96, 6, generator=g)
c = (x[:, :3] > 0).float()
c[::3, 1] = torch.nan
y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
rows = Examples(x, y, c, (0, 1, 2), Concepts(("a", "b", "c")))
fitted = CBM("joint", hidden=(8,), epochs=4, batch_size=32, seed=1).fit(rows)
from narrows import distributed
if distributed.rank() == 0:
    fitted.save_pretrained(sys.argv[1])
"""


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(script), str(tmp_path / "one")], check=True, env=environment
    )
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    subprocess.run(
        [*launcher, str(script), str(tmp_path / "two")],
        check=True,
        env=environment,
        timeout=100,
        capture_output=True,
    )
    from narrows import store

    one, _ = store.load(tmp_path / "one" / "model.safetensors")
    two, _ = store.load(tmp_path / "two" / "model.safetensors")
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-5, rtol=1e-5), name
