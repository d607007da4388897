"""Unseen characters of Omniglot from one drawing each.

Needs the folder `omniglot-small` (Lake, Salakhutdinov, Tenenbaum, 2015) beneath the folder that
the environment variable NARROWS_DATA names; it is not shipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from narrows.prototypes import Conv4, EpisodicSampler, PrototypeMemory, prototypical_loss
from narrows.train import Run, fit_stage

WAY, SHOTS, QUERIES = 20, 1, 4
TRAIN_ALPHABETS = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
HAUSDORFF = 0.3875  # error of the published baseline, modified Hausdorff distance, on these runs


@pytest.fixture(scope="module")
def archive() -> dict[str, np.ndarray]:
    folder = os.environ.get("NARROWS_DATA")
    if folder is None:
        pytest.skip("NARROWS_DATA is not set: the folder that holds omniglot-small")
    path = Path(folder) / "omniglot-small" / "omniglot_small.npz"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _characters(archive, seen: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Drawings and their characters; in training each rotation of a character is a class."""
    names = [str(n) for n in archive["alphabet_names"]]
    known = [i for i, name in enumerate(names) if name in TRAIN_ALPHABETS]
    label = archive["label"].astype(np.int64)
    rows = np.isin(archive["char_alphabet"][label], known) == seen
    x, y = torch.tensor(archive["img28"][rows]).float()[:, None] / 255, torch.tensor(label[rows])
    if not seen:
        return x, y
    turned = [torch.rot90(x, turns, (2, 3)) for turns in range(4)]
    return torch.cat(turned), torch.cat([y + 1000 * turns for turns in range(4)])


def _runs(archive) -> tuple[torch.Tensor, torch.Tensor]:
    """The 20 one-shot runs: one drawing of each of 20 characters, and 20 to name; 28 x 28."""
    parts = []
    for name in ("oneshot_train_packed", "oneshot_test_packed"):
        bits = np.unpackbits(archive[name], axis=-1)[..., : 105 * 105].reshape(400, 1, 105, 105)
        # 28 does not divide 105, but 420 is 4 x 105 and 15 x 28: this average is exact.
        wide = torch.tensor(bits).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
        parts.append(avg_pool2d(wide, 15).view(20, 20, 1, 28, 28))
    return parts[0], parts[1]


def _one_shot_error(embed, archive) -> float:
    given, asked = _runs(archive)
    wrong = 0
    for run in range(20):
        memory = PrototypeMemory(embed(given[:1, 0]).shape[1])
        memory.update(embed(given[run]), torch.arange(20))
        wrong += int(
            (memory.predict(embed(asked[run])).numpy() != archive["oneshot_label"][run]).sum()
        )
    return wrong / 400


def _few_shot_accuracy(h, y, way: int, shots: int, episodes: int = 300) -> float:
    sampler = EpisodicSampler(y, way, shots, queries=5)
    source, hits, asked, epoch = torch.Generator().manual_seed(1), 0, 0, 0
    while asked < episodes * way * 5:
        for rows in sampler(epoch, source):
            table = rows.view(way, -1)
            support, query = table[:, :shots].flatten(), table[:, shots:].flatten()
            memory = PrototypeMemory(h.shape[1]).update(h[support], y[support])
            hits += int((memory.predict(h[query]) == y[query]).sum())
            asked += len(query)
        epoch += 1
    return hits / asked


@pytest.fixture(scope="module")
def encoder(archive) -> Conv4:
    x, y = _characters(archive, seen=True)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        encoder = Conv4((1, 28, 28), channels=32)
    sampler = EpisodicSampler(y, WAY, SHOTS, QUERIES)

    def loss(batch):
        h = encoder(batch["x"]).unflatten(0, (WAY, -1))
        y = batch["y"].view(WAY, -1)
        return prototypical_loss(
            h[:, :SHOTS].flatten(0, 1),
            y[:, :SHOTS].flatten(),
            h[:, SHOTS:].flatten(0, 1),
            y[:, SHOTS:].flatten(),
        )

    fit_stage(
        Run(seed=0),
        "episodes",
        encoder,
        loss,
        {"x": x, "y": y},
        torch.optim.Adam(encoder.parameters(), 1e-3),
        epochs=4,
        draw=sampler,
    )
    return encoder.eval()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_drawing_names_unseen_characters_better_than_the_published_baseline(
    archive, encoder
) -> None:
    with torch.no_grad():
        error = _one_shot_error(encoder, archive)
    assert error < HAUSDORFF
    assert error < _one_shot_error(lambda x: x.flatten(1), archive) - 0.1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_unseen_characters_are_told_apart_far_better_than_by_pixels(archive, encoder) -> None:
    x, y = _characters(archive, seen=False)
    with torch.no_grad():
        h = torch.cat([encoder(part) for part in x.split(500)])
    assert _few_shot_accuracy(h, y, way=5, shots=5) > 0.9
    assert (
        _few_shot_accuracy(h, y, way=20, shots=1)
        > _few_shot_accuracy(x.flatten(1), y, way=20, shots=1) + 0.3
    )
