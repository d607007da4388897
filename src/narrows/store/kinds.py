"""Tell from its first bytes what a file is that we do not open, and what to do with it."""

from __future__ import annotations

HEAD = 512  # bytes `kind` wants to see

_RUNS_CODE = (
    "opening it can run code, so Narrows never does. Convert it once, on a machine you can lose: "
    "open it there with the tool that wrote it and write its tensors with narrows.store.save"
)
UNKNOWN = (
    "it is cut short, or not a safetensors file (an old pickle has no mark of its own): "
    + _RUNS_CODE
)
_ARRAYS = (
    "read it with numpy.load(path, allow_pickle=False) and write its arrays, as tensors, with "
    "narrows.store.save"
)
_OTHER = "read it with the tool that wrote it and write its tensors with narrows.store.save"

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 10))
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_MARKS = (  # where, first bytes, what it is, what to do
    (0, b"PK\x03\x04", "a zip archive (.pt, .pth and .npz files are)", _RUNS_CODE),
    (0, b"PK\x05\x06", "an empty zip archive", _RUNS_CODE),
    (0, b"PK\x07\x08", "a split zip archive", _RUNS_CODE),
    (257, b"ustar", "a tar archive (old .pth.tar files are)", _RUNS_CODE),
    (0, _PICKLES, "a pickle (.pkl, .joblib and old .pth files are)", _RUNS_CODE),
    (0, b"\x1f\x8b", "gzip data (.joblib and .pkl.gz files are)", _RUNS_CODE),
    (0, b"BZh", "bzip2 data (.joblib files can be)", _RUNS_CODE),
    (0, b"\xfd7zXZ\x00", "xz data (.joblib files can be)", _RUNS_CODE),
    (0, b"\x5d\x00\x00", "lzma data (.joblib files can be)", _RUNS_CODE),
    (0, b"\x04\x22\x4d\x18", "lz4 data (.joblib files can be)", _RUNS_CODE),
    (0, _ZLIB, "zlib data (.joblib files can be)", _RUNS_CODE),
    (0, b"ZF", "an old .joblib file", _RUNS_CODE),
    (0, b"\x93NUMPY", "a numpy array file", _ARRAYS),
    (0, b"\x89HDF", "an HDF5 file", _OTHER),
)


def kind(head: bytes) -> str:
    r"""Say what a file that is not safetensors is, from its first `HEAD` bytes.

    Pickles of the first two protocols have no mark of their own, so the advice for anything
    unknown is the careful one.

    Example:
        >>> kind(b"PK\x03\x04...").split(":")[0]
        'it is a zip archive (.pt, .pth and .npz files are)'
    """
    if not head:
        return "it is empty: writing it was cut short"
    for where, mark, what, advice in _MARKS:
        if head.startswith(mark, where):
            return f"it is {what}: {advice}"
    return UNKNOWN
