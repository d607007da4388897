"""`celeba`: CelebA, faces with 40 binary attributes.

The data are by Liu, Luo, Wang and Tang (2015, arXiv 1411.7766): 202,599 aligned faces. The task
`hidden` is that of concept embedding models (Espinosa Zarlenga et al. 2022, arXiv 2209.09056,
appendix A.1): of the 8 attributes whose frequency is closest to 1/2, the first 6 are concepts and
2 stay hidden; the class is the pattern of all 8, so concepts alone cannot name it. A twelfth of
the faces, 64 x 64 pixels, is split at random: 70 % training, 20 % test, the rest validation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from narrows.data.assemble import assemble
from narrows.data.published.layout import (
    Published,
    Size,
    coded,
    integers,
    pairs,
    picture_settings,
    refuse_repeats,
    rows,
)
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.data.split import check_seed
from narrows.errors import FileRefused, unknown, wrong
from narrows.store import file_digest

CELEBA = Published(
    "CelebA",
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (img_align_celeba.zip and the lists)",
    "for non-commercial research only; the images belong to others",
)
INNER = "celeba"
HIDDEN = "hidden"
_SHOWN, _UNSHOWN = 6, 2


@dataset("celeba")
def celeba(
    folder: str | Path | None = None,
    task: str = "Smiling",
    subsample: int = 1,
    seed: int = 42,
    size: Size = 64,
) -> Dataset:
    """CelebA from the folder torchvision also uses; images are read when needed.

    Args:
        folder: the folder of `list_attr_celeba.txt`, `list_eval_partition.txt` and
            `img_align_celeba`, or the folder in which it lies as `celeba`.
        task: an attribute that becomes the label, the others being the concepts, with the
            official splits; or `hidden`, the task of concept embedding models, for which
            `subsample=12` is theirs. Its labels are patterns of 8 bits, concepts first; patterns
            no kept face has are no class.
        subsample: one in so many faces is kept, at random.
        seed: of what is kept and, for `hidden`, of the split.
        size: images of 178 x 218 are resized, not cropped, to `(height, width)` or one number.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a malformed line, an image twice, another count than the file says.
        UnknownName, InvalidInput: an option that cannot be.

    Example:
        >>> celeba()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    check_seed(seed)
    if isinstance(subsample, bool) or not isinstance(subsample, int) or subsample < 1:
        raise wrong("subsample", repr(subsample), "a whole number of at least 1")
    root = CELEBA.folder(folder, INNER, "list_attr_celeba.txt")
    path = CELEBA.file(root / "list_attr_celeba.txt")
    attributes, ids, bits = read_attributes(path)
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(ids))[: len(ids) // subsample])
    if task == HIDDEN:
        shown, unshown = balanced(bits.mean(0))
        chosen = [attributes[i] for i in shown]
        labels = ["".join(map(str, row)) for row in bits[kept][:, [*shown, *unshown]].tolist()]
        parts = _random_parts(rng.permutation(len(kept)))
    else:
        if task not in attributes:
            raise unknown("task", task, (*attributes, HIDDEN))
        place = attributes.index(task)
        shown, unshown = [i for i in range(len(attributes)) if i != place], [place]
        chosen = [attributes[i] for i in shown]
        labels = [("no", "yes")[bit] for bit in bits[kept, place].tolist()]
        parts = _official_parts(CELEBA.file(root / "list_eval_partition.txt"), ids, kept)
    names = [ids[i] for i in kept.tolist()]
    x = CELEBA.pictures(root / "img_align_celeba", names, size, 3)
    settings = picture_settings(
        "celeba",
        x,
        task=task,
        hidden=[attributes[i] for i in unshown],
        subsample=subsample,
        seed=seed,
        inputs={path.name: file_digest(path)},
    )
    c = bits[kept][:, shown].astype(np.float32)
    return assemble("celeba", x, labels, c, Concepts(tuple(chosen)), parts, names, settings)


def read_attributes(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Names of attributes, names of images, and `(images, attributes)` int8 bits.

    The first line is the number of images, the second names the attributes, each further one is
    an image with -1 or 1 for each attribute.

    Raises:
        FileRefused: a malformed line, a name twice, another number of images.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        count, header = file.readline().split(), file.readline().split()
    if len(count) != 1 or not count[0].isdecimal() or not header:
        raise FileRefused(f"{path}: found no count of images and no names of attributes on top")
    ids = [fields[0] for _, fields in rows(path, 1 + len(header), skip=2)]
    if len(ids) != int(count[0]):
        raise FileRefused(f"{path}: found {len(ids)} images, wanted {count[0]} as its top says")
    refuse_repeats(str(path), ids)
    refuse_repeats(str(path), header)
    signs = integers(path, range(1, 1 + len(header)), skip=2)
    odd = np.argwhere(np.abs(signs) != 1)
    if len(odd):
        row, column = odd[0].tolist()
        raise FileRefused(
            f"{path}: found {signs[row, column]} for {header[column]} of {ids[row]}, wanted -1 or 1"
        )
    return header, ids, (signs > 0).astype(np.int8)


def balanced(frequency: np.ndarray) -> tuple[list[int], list[int]]:
    """The 6 attributes closest to a frequency of 1/2, and the next 2, each in order of place.

    Raises:
        InvalidInput: fewer than 8 attributes.

    Example:
        >>> balanced(np.array([0.1, 0.5, 0.9, 0.4, 0.6, 0.2, 0.55, 0.45, 0.7]))
        ([1, 3, 4, 6, 7, 8], [0, 5])
    """
    if len(frequency) < _SHOWN + _UNSHOWN:
        raise wrong("task", f"{len(frequency)} attributes", f"at least {_SHOWN + _UNSHOWN}")
    order = np.argsort(np.abs(frequency - 0.5), kind="stable")
    return sorted(order[:_SHOWN].tolist()), sorted(order[_SHOWN : _SHOWN + _UNSHOWN].tolist())


def _random_parts(order: np.ndarray) -> dict[str, np.ndarray]:
    train, test = int(0.7 * len(order)), int(0.2 * len(order))
    parts = {"train": order[:train], "test": order[train : train + test]}
    parts["val"] = order[train + test :]
    return {name: np.sort(parts[name]) for name in ("train", "val", "test")}


def _official_parts(path: Path, ids: list[str], kept: np.ndarray) -> dict[str, np.ndarray]:
    flags = list(pairs(path, ids).values())
    place = coded(str(path), flags, {"0": 0, "1": 1, "2": 2})[kept]
    return {name: np.flatnonzero(place == n) for n, name in enumerate(("train", "val", "test"))}
