"""A crash or an error at any call leaves the old or the new file (R02, R03)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from narrows import store
from narrows.errors import FileRefused, InvalidInput, InvalidType, NarrowsError

from .faults import FaultBox, fail, first

pytestmark = pytest.mark.skipif(os.name == "nt", reason="fault injection uses POSIX calls")
OLD = {"w": torch.arange(300.0), "b": torch.ones(3, dtype=torch.bool)}
NEW = {"w": -torch.arange(300.0), "b": torch.zeros(3, dtype=torch.bool)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store.save(tmp_path / "model.safetensors", OLD)
    return tmp_path / "model.safetensors"


def holds(path: Path, tensors: dict[str, torch.Tensor]) -> bool:
    found, _ = store.load(path)
    return found.keys() == tensors.keys() and all(torch.equal(found[k], tensors[k]) for k in found)


def spares(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.startswith(".narrows-")]


def calls_of_a_save(path: Path) -> list[str]:
    with FaultBox() as box:
        store.save(path, NEW)
    store.save(path, OLD)
    return box.log


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    child = Path(__file__).with_name("kill_child.py")
    done = subprocess.run(
        [sys.executable, child, tmp_path_factory.mktemp("kill")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_kill_at_every_call_of_a_save_leaves_the_old_or_the_new_file(killed: list[dict]) -> None:
    rows = [row for row in killed if row.get("save") == "store"]
    for action in ("kill_before", "kill_halfway", "kill_after"):
        ours = [row for row in rows if row["action"] == action]
        found = [row["found"] for row in ours]
        assert [row["k"] for row in ours] == list(range(len(ours)))
        assert {row["code"] for row in ours[:-1]} == {-9}
        assert ours[-1]["code"] == 0, "the last round must run to its end"
        assert len(ours) > 20, "the box does not see the calls"
        assert set(found) == {"old", "new"}
        assert found == sorted(found, reverse=True), "once new, always new"
        assert found[-1] == "new"
        assert ours[-1]["left"] == 0
        assert max(row["left"] for row in ours) == 1, "no round died while the spare existed"


def test_kill_detects_a_writer_that_is_not_atomic(killed: list[dict]) -> None:
    found = {row["found"].split(":")[0] for row in killed if row.get("save") == "naive"}
    assert "broken" in found


def test_lock_sweeps_what_killed_writers_left(killed: list[dict]) -> None:
    swept = [row["swept"] for row in killed if "swept" in row]
    assert len(swept) > 60
    assert set(swept) == {0}


@pytest.mark.parametrize(
    ("label", "number"),
    [("file size limit", errno.EFBIG), ("read-only folder", errno.EACCES)],
)
def test_refusal_by_the_system_itself_keeps_the_old_file(
    killed: list[dict], label: str, number: int
) -> None:
    (row,) = [row for row in killed if row.get("refusal") == label]
    assert row["code"] == 7, "save must raise"
    assert os.strerror(number) in row["message"]
    assert "model.safetensors" in row["message"]
    assert "untouched" in row["message"]
    assert (row["found"], row["left"]) == ("old", 0)


ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO]


@pytest.mark.parametrize("number", ERRORS, ids=[errno.errorcode[n] for n in ERRORS])
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then on"])
def test_error_at_any_call_raises_and_says_truly_what_is_on_disk(
    path: Path, number: int, sticky: bool
) -> None:
    calls = calls_of_a_save(path)
    raised = 0
    for k, call in enumerate(calls):
        store.save(path, OLD)
        message = None
        with FaultBox(k, fail(number), sticky):
            try:
                store.save(path, NEW)
            except store.WriteFailed as error:
                message = str(error)
        raised += message is not None
        if message is None:
            assert call == "lstat", f"save hid a failing {call}"  # realpath looks for links
            assert holds(path, NEW)
        elif "untouched" in message:
            assert holds(path, OLD)
        else:
            assert "in place" in message
            assert holds(path, NEW)
        assert message is None or str(path) in message
        if not sticky:  # a dead disk does not let us clean up either
            assert spares(path.parent) == []
        for spare in spares(path.parent):
            spare.unlink()
    assert raised > 15
    assert {"open", "write", "fsync", "close", "replace", "file.readinto"} <= set(calls)


def test_error_of_the_system_is_kept_as_cause(path: Path) -> None:
    at = calls_of_a_save(path).index("write")
    with FaultBox(at, fail(errno.ENOSPC)), pytest.raises(OSError, match="No space left") as caught:
        store.save(path, NEW)
    assert isinstance(caught.value, NarrowsError)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_folder_removed_before_any_call_up_to_its_flush_raises(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "model.safetensors"
    calls = calls_of_a_save(path)
    last = max(k for k, call in enumerate(calls) if call == "open")
    assert calls.index("replace") < last
    for k in range(last + 1):
        folder.mkdir(exist_ok=True)
        store.save(path, OLD)
        box = FaultBox(k, first(lambda: shutil.rmtree(folder)))
        with box, pytest.raises(store.WriteFailed, match=r"model\.safetensors"):
            store.save(path, NEW)
        assert not path.exists()


def test_interrupt_at_any_call_leaves_no_spare(path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    for k in range(len(calls_of_a_save(path))):
        with FaultBox(k, first(interrupt)), pytest.raises(KeyboardInterrupt):
            store.save(path, NEW)
        assert holds(path, OLD) or holds(path, NEW)
        assert spares(path.parent) == []
        store.save(path, OLD)


def test_bytes_that_the_disk_changes_are_noticed_before_the_old_file_goes(path: Path) -> None:
    def corrupt(call, args, kwargs):  # type: ignore[no-untyped-def]
        data = bytearray(args[1])
        data[len(data) // 2] ^= 1
        return call(args[0], data)

    writes = [k for k, call in enumerate(calls_of_a_save(path)) if call == "write"]
    assert len(writes) == 1 + len(NEW)
    for k in writes:
        with FaultBox(k, corrupt), pytest.raises(store.WriteFailed, match="untouched"):
            store.save(path, NEW)
        assert holds(path, OLD)
        assert spares(path.parent) == []
    note = path.with_name("note.txt")
    store.write_text(note, "old")
    with FaultBox() as box:
        store.write_text(note, "old")
    with FaultBox(box.log.index("write"), corrupt), pytest.raises(store.WriteFailed):
        store.write_text(note, "new")
    assert note.read_text() == "old"


def test_another_valid_file_in_place_of_ours_is_noticed(path: Path) -> None:
    store.save(path.with_name("other"), {"w": torch.zeros(3)})
    other = path.with_name("other").read_bytes()

    def swap() -> None:
        (spare,) = spares(path.parent)
        spare.write_bytes(other)

    _, reading, _ = [k for k, call in enumerate(calls_of_a_save(path)) if call == "open"]
    box = FaultBox(reading, first(swap))
    with box, pytest.raises(store.WriteFailed, match="another file"):
        store.save(path, NEW)
    assert holds(path, OLD)


def test_tensors_that_change_during_a_save_are_noticed(path: Path) -> None:
    moving = {k: v.clone() for k, v in NEW.items()}
    at = calls_of_a_save(path).index("write")
    box = FaultBox(at, first(lambda: moving["w"].add_(1)))
    with box, pytest.raises(store.WriteFailed, match="untouched"):
        store.save(path, moving)
    assert holds(path, OLD)


def test_short_writes_are_completed_and_empty_ones_raise(path: Path) -> None:
    calls = calls_of_a_save(path)

    def short(call, args, kwargs):  # type: ignore[no-untyped-def]
        if len(args) == 2 and isinstance(args[1], memoryview):
            return call(args[0], args[1][:7])
        return call(*args, **kwargs)

    def empty(call, args, kwargs):  # type: ignore[no-untyped-def]
        return 0

    with FaultBox(calls.index("write"), short, sticky=True) as box:
        store.save(path, NEW)
    assert box.log.count("write") > 100
    assert holds(path, NEW)
    with FaultBox(calls.index("write"), empty), pytest.raises(store.WriteFailed, match="no bytes"):
        store.save(path, OLD)
    assert holds(path, NEW)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_only_the_flush_of_a_folder_may_be_unsupported(path: Path, number: int) -> None:
    file_flush, folder_flush = [k for k, c in enumerate(calls_of_a_save(path)) if c == "fsync"]
    with FaultBox(folder_flush, fail(number)):
        store.save(path, NEW)
    assert holds(path, NEW)
    with FaultBox(file_flush, fail(number)), pytest.raises(store.WriteFailed):
        store.save(path, OLD)
    assert holds(path, NEW)


def test_the_file_is_flushed_before_it_takes_its_name_and_the_folder_after(path: Path) -> None:
    calls = calls_of_a_save(path)
    flushes = [k for k, call in enumerate(calls) if call == "fsync"]
    rename = calls.index("replace")
    assert len(flushes) == 2
    assert max(k for k, call in enumerate(calls) if call == "write") < flushes[0] < rename
    assert any(call == "file.readinto" for call in calls[flushes[0] : rename]), "not read back"
    assert rename < flushes[1]


def writers(path: Path) -> list[object]:
    return [
        lambda: store.save(path, NEW),
        lambda: store.write_json(path, {"a": 1}),
        lambda: store.write_text(path, "a"),
        lambda: store.write_bytes(path, b"a"),
    ]


@pytest.mark.parametrize("which", range(4))
def test_what_is_no_file_is_never_replaced(tmp_path: Path, which: int) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    for name in ("folder", "pipe", "no/such/folder/x", "file/below"):
        with pytest.raises(store.WriteFailed, match=f"{name}: not written"):
            writers(tmp_path / name)[which]()
    assert (tmp_path / "folder").is_dir()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert spares(tmp_path) == []
    with pytest.raises(InvalidInput, match="NUL"):
        writers(Path(f"{tmp_path}/a\0b"))[which]()
    with pytest.raises(InvalidType, match="path: found NoneType"):
        writers(None)[which]()  # type: ignore[arg-type]


def test_a_link_is_followed_and_a_loop_of_links_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    store.write_text(tmp_path / "real" / "a.txt", "old")
    (tmp_path / "latest").symlink_to(tmp_path / "real" / "a.txt")
    store.write_text(tmp_path / "latest", "new")
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((store.WriteFailed, FileRefused)):
        store.write_text(tmp_path / "loop", "x")


def test_a_private_file_stays_private_and_a_new_one_obeys_umask(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    old = os.umask(0o027)
    try:
        store.write_text(path, "a")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        store.write_text(path, "b")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_the_longest_file_name_still_fits(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    store.write_text(path, "a")
    assert path.read_text() == "a"


def test_text_and_bytes_come_back_exactly(tmp_path: Path) -> None:
    text = "line\r\nend\n\ttab é 😀 \u202eright to left"
    store.write_text(tmp_path / "a", text)
    assert (tmp_path / "a").read_bytes() == text.encode("utf-8")
    store.write_bytes(tmp_path / "b", bytes(range(256)) * 40_000)
    assert (tmp_path / "b").read_bytes() == bytes(range(256)) * 40_000
    store.write_bytes(tmp_path / "b", b"")
    assert (tmp_path / "b").read_bytes() == b""


def test_file_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert store.file_digest(tmp_path / "a") == known


@pytest.mark.parametrize("read", [store.load, store.read_json, store.file_digest])
def test_reading_what_is_no_file_is_refused_without_waiting(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "loop", ""):
        with pytest.raises(FileRefused):
            read(tmp_path / name)
    with pytest.raises(FileRefused, match="not a regular file"):
        read("/dev/zero")
    with pytest.raises(FileNotFoundError, match="there is no such file") as caught:
        read(tmp_path / "absent")
    assert isinstance(caught.value, store.FileMissing)
    assert isinstance(caught.value, FileRefused)
    with pytest.raises(InvalidType):
        read(3)


def test_a_read_error_is_a_refusal_that_names_the_file(path: Path) -> None:
    with FaultBox() as box:
        store.load(path)
    for k in range(len(box.log)):
        with FaultBox(k, fail(errno.EIO)), pytest.raises(FileRefused, match=r"model\.safetensors"):
            store.load(path)
