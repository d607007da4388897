"""Small copies of the layouts in which published data sets come, with made-up contents.

Each builder writes a folder of the published name into a folder and returns it. `NEEDED` says
which files a loader cannot do without, `IMAGES` where the images lie.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FAMILIES = {
    "bill_shape": 9,
    "wing_color": 15,
    "upperparts_color": 15,
    "underparts_color": 15,
    "breast_pattern": 4,
    "back_color": 15,
    "tail_shape": 6,
    "upper_tail_color": 15,
    "head_pattern": 11,
    "breast_color": 15,
    "throat_color": 15,
    "eye_color": 14,
    "bill_length": 3,
    "forehead_color": 15,
    "under_tail_color": 15,
    "nape_color": 15,
    "belly_color": 15,
    "wing_shape": 5,
    "size": 5,
    "shape": 14,
    "back_pattern": 4,
    "tail_pattern": 4,
    "belly_pattern": 4,
    "primary_color": 15,
    "leg_color": 15,
    "bill_color": 15,
    "crown_color": 15,
    "wing_pattern": 4,
}
ATTRIBUTES = [f"has_{name}::value_{i}" for name, count in FAMILIES.items() for i in range(count)]
PARTS = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg"),
    *("left wing", "nape", "right eye", "right leg", "right wing", "tail", "throat"),
)
FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)


def paint(path: Path, seed: int) -> None:
    """A small picture of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size=(7, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(path: Path, lines: Iterable[Sequence[object]], gap: str = " ") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(gap.join(map(str, line)) + "\n" for line in lines))


def write_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def edit(path: Path, line: int, text: str | None) -> None:
    """Put another line in the place of one, or take it out."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")


def cub(tmp: Path) -> Path:
    """12 classes of 7 images; five of seven are for training."""
    root, rng = tmp / "CUB_200_2011", np.random.default_rng(0)
    names = [f"{k:03d}.Bird_{k}/Bird_{k}_{i:04d}.jpg" for k in range(1, 13) for i in range(7)]
    for n, name in enumerate(names):
        paint(root / "images" / name, n)
    numbers = range(1, len(names) + 1)
    write(root / "images.txt", zip(numbers, names, strict=True))
    write(root / "image_class_labels.txt", ((n, (n - 1) // 7 + 1) for n in numbers))
    write(root / "train_test_split.txt", ((n, int(n % 7 < 5)) for n in numbers))
    write(root / "classes.txt", ((k, f"{k:03d}.Bird_{k}") for k in range(1, 13)))
    # The archive has the names of the attributes beside the folder.
    write(tmp / "attributes.txt", enumerate(ATTRIBUTES, 1))
    likely = rng.random((12, len(ATTRIBUTES)))[np.arange(len(names)) // 7]
    present = (rng.random(likely.shape) < likely).astype(int)
    certainty = rng.integers(1, 5, likely.shape)
    for family in ("bill_shape", "size"):  # only one answer was allowed to these questions
        start = ATTRIBUTES.index(f"has_{family}::value_0")
        columns = range(start, start + FAMILIES[family])
        present[:, columns] = np.eye(FAMILIES[family])[np.arange(len(names)) // 7 % 2]
        certainty[:, columns] = 4
    lines = []
    for n in range(len(names)):
        for a in range(len(ATTRIBUTES)):
            extra = (0, 0.0) if rng.random() < 0.01 else ()  # the published file has such lines
            lines.append((n + 1, a + 1, present[n, a], certainty[n, a], 1.5, *extra))
    write(root / "attributes" / "image_attribute_labels.txt", lines)
    write(root / "parts" / "parts.txt", enumerate(PARTS, 1))
    places = rng.uniform(0, 300, (len(names), len(PARTS), 2)).round(1)
    seen = rng.integers(0, 2, (len(names), len(PARTS)))
    write(
        root / "parts" / "part_locs.txt",
        (
            (n + 1, p + 1, *(places[n, p] * seen[n, p]), seen[n, p])
            for n in range(len(names))
            for p in range(len(PARTS))
        ),
    )
    return root


def awa2(tmp: Path) -> Path:
    """5 kinds of 8 images; 6 attributes, one of them unknown for the first kind."""
    root, rng = tmp / "Animals_with_Attributes2", np.random.default_rng(1)
    kinds = ["antelope", "grizzly+bear", "killer+whale", "fox", "cow"]
    for k, kind in enumerate(kinds):
        for i in range(8):
            paint(root / "JPEGImages" / kind / f"{kind}_{10001 + i}.jpg", 100 * k + i)
    table = rng.uniform(0, 100, (5, 6)).round(2)
    write(root / "classes.txt", (("      ", n, kind) for n, kind in enumerate(kinds, 1)), "\t")
    predicates = ["black", "white", "furry", "hooves", "swims", "fast"]
    write(root / "predicates.txt", enumerate(predicates, 1), "\t")
    write(root / "predicate-matrix-binary.txt", (table > 50).astype(int).tolist())
    table[0, 2] = -1
    write(root / "predicate-matrix-continuous.txt", [[f" {v:.2f}" for v in row] for row in table])
    write(root / "testclasses.txt", [["fox"], ["killer+whale"]])
    write(root / "trainclasses.txt", [["antelope"], ["grizzly+bear"], ["cow"]])
    return root


def celeba(tmp: Path) -> Path:
    """60 faces of 10 attributes, whose frequencies differ."""
    root, rng = tmp / "celeba", np.random.default_rng(2)
    names = ["Smiling", "Male", "Young", "Bald", "Hat", "Bangs", "Chubby", "Goatee", "Pale", "Wavy"]
    signs = np.where(rng.random((60, 10)) < np.linspace(0.05, 0.95, 10), 1, -1)
    ids = [f"{n:06d}.jpg" for n in range(1, 61)]
    for n, name in enumerate(ids):
        paint(root / "img_align_celeba" / name, n)
    body = [(name, *row) for name, row in zip(ids, signs.tolist(), strict=True)]
    write(root / "list_attr_celeba.txt", [[60], names, *body])
    flags = [0] * 40 + [1] * 8 + [2] * 12
    write(root / "list_eval_partition.txt", zip(ids, flags, strict=True))
    return root


def derm7pt(tmp: Path) -> Path:
    """40 cases; a criterion of one of them is blank."""
    root, rng = tmp / "derm7pt", np.random.default_rng(3)
    criteria = {
        "pigment_network": ["absent", "typical", "atypical"],
        "streaks": ["absent", "regular", "irregular"],
        "pigmentation": ["absent", "diffuse regular", "localized irregular"],
        "regression_structures": ["absent", "blue areas", "white areas", "combinations"],
        "dots_and_globules": ["absent", "regular", "irregular"],
        "blue_whitish_veil": ["absent", "present"],
        "vascular_structures": ["absent", "comma", "dotted", "linear irregular"],
    }
    diagnoses = ["clark nevus", "melanoma (in situ)", "melanoma", "lentigo", "basal cell carcinoma"]
    lines: list[Sequence[object]] = [
        ["case_num", "diagnosis", *criteria, "clinic", "derm", "notes"]
    ]
    for n in range(40):
        values = [
            "" if (n, name) == (7, "streaks") else rng.choice(criteria[name]) for name in criteria
        ]
        images = f"N/Nal{n:03d}.jpg", f"N/Ndl{n:03d}.jpg"
        lines.append([n + 1, diagnoses[n % 5], *values, *images, "a note, with a comma"])
        for i, image in enumerate(images):
            paint(root / "images" / image, 2 * n + i)
    write_csv(root / "meta" / "meta.csv", lines)
    order = rng.permutation(40).tolist()
    for word, rows in (("train", order[:20]), ("valid", order[20:28]), ("test", order[28:])):
        write_csv(root / "meta" / f"{word}_indexes.csv", [["indexes"], *([row] for row in rows)])
    return root


def ham10000(tmp: Path) -> Path:
    """90 images of 45 lesions of 1, 2 or 3 images, in two folders."""
    root, rng = tmp / "HAM10000", np.random.default_rng(4)
    kinds = ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"]
    lines: list[Sequence[object]] = [
        ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    ]
    for n, lesion in enumerate(np.repeat(np.arange(45), [1, 2, 3] * 15)[rng.permutation(90)]):
        image = f"ISIC_{n:07d}"
        row = [f"HAM_{lesion:07d}", image, kinds[lesion % 7], "histo", "", "unknown", "back"]
        lines.append(row)
        paint(root / f"HAM10000_images_part_{1 + n % 2}" / f"{image}.jpg", n)
    write_csv(root / "HAM10000_metadata.csv", lines)
    return root


def chexpert(tmp: Path) -> Path:
    """60 training radiographs of 30 patients, 8 official validation radiographs of 8 others."""
    root, rng = tmp / "CheXpert-v1.0-small", np.random.default_rng(5)
    head = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS]
    for word, patients, cells in (
        ("train", range(1, 31), ["1.0", "0.0", "-1.0", ""]),
        ("valid", range(90, 98), ["1.0", "0.0"]),
    ):
        lines: list[Sequence[object]] = [head]
        for patient in patients:
            for i, side in enumerate(("Frontal", "Lateral") if word == "train" else ("Frontal",)):
                place = f"{word}/patient{patient:05d}/study1/view{i + 1}_{side.lower()}.jpg"
                values = rng.choice(cells, len(FINDINGS)).tolist()
                lines.append([f"CheXpert-v1.0-small/{place}", "Female", 60, side, "AP", *values])
                paint(root / place, 2 * patient + i)
        write_csv(root / f"{word}.csv", lines)
    return root


def broden(tmp: Path) -> Path:
    """3 concepts of 12 positives and 12 negatives; some negatives are others' positives."""
    root = tmp / "broden_concepts"
    for k, concept in enumerate(("air_conditioner", "beach", "car")):
        for i in range(12):
            paint(root / concept / "positives" / f"p{i}.jpg", 100 * k + i)
            other = 100 * ((k + 1) % 3) + i if i < 4 else 100 * k + 50 + i
            paint(root / concept / "negatives" / f"n{i}.jpg", other)
    return root


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "awa2": awa2,
    "broden": broden,
    "celeba": celeba,
    "chexpert": chexpert,
    "cub": cub,
    "derm7pt": derm7pt,
    "ham10000": ham10000,
}
NEEDED = {
    "awa2": ("classes.txt", "predicates.txt", "predicate-matrix-binary.txt"),
    "broden": (),
    "celeba": ("list_attr_celeba.txt", "list_eval_partition.txt"),
    "chexpert": ("train.csv", "valid.csv"),
    "cub": (
        *("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"),
        *("../attributes.txt", "attributes/image_attribute_labels.txt"),
    ),
    "derm7pt": ("meta/meta.csv", *(f"meta/{s}_indexes.csv" for s in ("train", "valid", "test"))),
    "ham10000": ("HAM10000_metadata.csv",),
}
# Options with which a miniature can be loaded.
OPTIONS = {"cub": {"min_classes": 6}}
