"""The lazy image column."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from narrows.data import Column, ImageColumn, check, load, prepare
from narrows.errors import FileRefused, InvalidInput

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, size=(6, 5, 4, 3), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{i}.png" for i in range(len(PIXELS))]
    for file, pixels in zip(files, PIXELS, strict=True):
        Image.fromarray(pixels).save(file)
    return files


def expected(rows: list[int]) -> np.ndarray:
    return PIXELS[rows].transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.mark.parametrize("budget", [0, 2**20])
def test_rows_are_the_pixels_in_0_to_1(paths: list[Path], budget: int) -> None:
    column = ImageColumn(paths, budget=budget)
    assert isinstance(column, Column)
    assert column.shape == (6, 3, 5, 4)
    for rows in ([4, 0, 4], [2], list(range(6)), []):
        found = column[torch.tensor(rows, dtype=torch.int64)]
        assert found.dtype == torch.float32
        assert np.array_equal(found.numpy(), expected(rows).reshape(-1, 3, 5, 4))
    assert np.array_equal(column[1:3].numpy(), expected([1, 2]))
    assert column[torch.tensor([0])].to("meta").device.type == column.to("meta")[:1].device.type


def test_images_are_decoded_once_within_the_budget_and_each_time_beyond(paths: list[Path]) -> None:
    kept, read = ImageColumn(paths), ImageColumn(paths, budget=6 * 60 - 1)
    first = kept[:], read[:]
    paths[2].unlink()
    assert torch.equal(kept[:], first[0])
    with pytest.raises(FileRefused, match=r"2\.png"):
        read[:]


def test_parts_share_what_was_decoded(paths: list[Path]) -> None:
    column = ImageColumn(paths)
    part = column.take(torch.tensor([5, 1, 2])).take(torch.tensor([0, 2]))
    assert part.paths == (paths[5], paths[2])
    assert np.array_equal(part[:].numpy(), expected([5, 2]))
    paths[5].unlink()
    assert np.array_equal(column[torch.tensor([5])].numpy(), expected([5]))


def test_digests_are_of_the_files(paths: list[Path]) -> None:
    part = ImageColumn(paths).take(torch.tensor([3, 0]))
    assert part.digests() == [hashlib.sha256(paths[i].read_bytes()).hexdigest() for i in (3, 0)]


def test_digests_of_a_file_that_is_gone_are_refused(paths: list[Path]) -> None:
    column = ImageColumn(paths)
    paths[3].unlink()
    with pytest.raises(FileRefused, match=r"3\.png: cannot be read"):
        column.digests()


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(FileRefused, match="no stated range"):
        ImageColumn([tmp_path / "float.tiff"])


def test_many_threads_read_one_column_without_mixing_rows(paths: list[Path]) -> None:
    column = ImageColumn(paths)
    rows = [torch.from_numpy(np.random.default_rng(i).permutation(6)) for i in range(64)]
    with ThreadPoolExecutor(16) as pool:
        for which, found in zip(rows, pool.map(column.__getitem__, rows), strict=True):
            assert np.array_equal(found.numpy(), expected(which.tolist()))


def test_a_column_survives_pickling(paths: list[Path]) -> None:
    again = pickle.loads(pickle.dumps(ImageColumn(paths)))  # noqa: S301  # our own bytes
    assert np.array_equal(again[:].numpy(), expected(list(range(6))))


def test_resizing_and_grey_agree_with_pillow(paths: list[Path]) -> None:
    found = ImageColumn(paths, size=(10, 7), channels=1)[:1]
    grey = Image.open(paths[0]).convert("L").resize((7, 10), Image.Resampling.BILINEAR)
    assert np.array_equal(found[0, 0].numpy(), np.asarray(grey, dtype=np.float32) / 255)
    assert ImageColumn(paths, size=8).shape == (6, 3, 8, 8)


def test_every_pixel_format_means_what_one_sees(tmp_path: Path) -> None:
    half = np.zeros((2, 2, 4), dtype=np.uint8)
    half[0, 0] = (255, 0, 0, 255)
    Image.fromarray(half, "RGBA").save(tmp_path / "rgba.png")
    Image.fromarray(np.uint16([[0, 257], [65535, 514]])).save(tmp_path / "deep.png")
    Image.fromarray(np.array([[True, False]] * 2)).save(tmp_path / "bits.png")
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "palette.png", transparency=b"\xff\xff")
    turned = Image.fromarray(np.uint8([[0, 255], [0, 255]]))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    turned.save(tmp_path / "turned.png", exif=exif)

    def read(name: str) -> list[list[int]]:
        column = ImageColumn([tmp_path / f"{name}.png"], channels=3)
        return (255 * column[:]).round().int()[0].permute(1, 2, 0).tolist()

    white, black = [255] * 3, [0] * 3
    assert read("rgba") == [[[255, 0, 0], white], [white, white]]
    assert read("deep") == [[black, [1] * 3], [white, [2] * 3]]
    assert read("bits") == [[white, black]] * 2
    assert read("palette") == [[[0, 255, 0]] * 2] * 2
    assert read("turned") == [[black] * 2, [white] * 2]


def png(width: int, height: int) -> bytes:
    """A valid PNG header that promises many pixels, over no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        png(6_000, 6_000),
        png(10_000, 10_000),
        png(100_000, 100_000),
        png(4, 5),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\nshowpage\n",
    ],
    ids=["empty", "text", "36 MP", "100 MP", "10 GP", "no data", "eps"],
)
def test_broken_files_and_bombs_are_refused_by_name(paths: list[Path], content: bytes) -> None:
    paths[3].write_bytes(content)
    column = ImageColumn(paths)
    with pytest.raises(FileRefused, match=r"3\.png"):
        column[:]
    assert np.array_equal(column[:2].numpy(), expected([0, 1]))


def test_a_truncated_image_is_refused(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[1].read_bytes()[:-30])
    with pytest.raises(FileRefused, match=r"1\.png: not a readable image"):
        ImageColumn(paths)[:]


def test_an_image_of_another_size_is_refused_unless_resized(paths: list[Path]) -> None:
    Image.new("RGB", (9, 9)).save(paths[4])
    with pytest.raises(FileRefused, match=r"4\.png: found 9 x 9 pixels, wanted 5 x 4"):
        ImageColumn(paths)[:]
    assert ImageColumn(paths, size=6)[:].shape == (6, 3, 6, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "channels: found 2"),
        ({"size": 0}, "size"),
        ({"size": (10**6, 10**6)}, "size"),
    ],
)
def test_impossible_options_are_refused(paths: list[Path], options: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ImageColumn(paths, **options)


def test_no_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no image"):
        ImageColumn([])


def folder(tmp_path: Path, count: int = 20) -> Path:
    """A folder with a table of images, each a grey level of its own."""
    (tmp_path / "pictures").mkdir()
    lines = ["image,label,concept:bright"]
    for i in range(count):
        Image.new("L", (4, 4), 10 * i).save(tmp_path / "pictures" / f"{i}.png")
        lines.append(f"pictures/{i}.png,{'ab'[i % 2]},{int(i > 9) if i % 3 else ''}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path


def test_a_folder_of_images_loads_lazily_with_every_row_in_place(tmp_path: Path) -> None:
    data = load(folder(tmp_path), channels=1)
    assert data.train.x.shape == (14, 1, 4, 4)
    for split in data.splits.values():
        assert isinstance(split.x, ImageColumn)
        levels = [10 * int(Path(name).stem) for name in split.ids]
        assert (255 * split.x[:]).round()[:, 0, 0, 0].tolist() == levels
        assert split.labels == ["ab"[level // 10 % 2] for level in levels]
    assert isinstance(data.train.take(slice(3)).x, ImageColumn)
    assert isinstance(data.train[:3].x, torch.Tensor)
    again = prepare(tmp_path / "table.csv", data.settings)
    assert again.x.shape == (20, 1, 4, 4)
    assert len({data.fingerprint, load(tmp_path, channels=1).fingerprint}) == 1


def test_check_names_each_image_that_cannot_be_read(tmp_path: Path) -> None:
    data = load(folder(tmp_path), channels=1)
    for i in (3, 8):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(b"damaged")
    errors = [text for severity, text in check(data).problems if severity == "error"]
    unreadable = sorted(text for text in errors if "not a readable image" in text)
    assert [Path(text.split(":")[0]).name for text in unreadable] == ["3.png", "8.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("../secret.png", "inside"), ("/etc/hostname", "inside"), ("pictures/none.png", "no file")],
)
def test_images_outside_the_folder_or_missing_are_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    table = folder(tmp_path) / "table.csv"
    table.write_text(table.read_text().replace("pictures/7.png", name))
    with pytest.raises(FileRefused, match=f"row 8: found .*{message}"):
        load(tmp_path)


def test_images_beside_other_features_are_refused(tmp_path: Path) -> None:
    table = folder(tmp_path) / "table.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ",age", *(line + ",3" for line in lines[1:])]))
    with pytest.raises(InvalidInput, match=r"drop=\['age'\]"):
        load(tmp_path)
    assert load(tmp_path, drop=["age"]).train.x.shape[1:] == (3, 4, 4)
