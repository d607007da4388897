"""The only place that reads or writes model files, checkpoints and records.

A file is either whole or not there, proves itself by a digest, and can never run code.
"""

from narrows.store.atomic import FileMissing, WriteFailed, file_digest, write_bytes, write_text
from narrows.store.canonical import JSON, digest, read_json, write_json
from narrows.store.locking import lock
from narrows.store.tensors import check_finite, fingerprint, load, load_mapped, save

__all__ = [
    "JSON",
    "FileMissing",
    "WriteFailed",
    "check_finite",
    "digest",
    "file_digest",
    "fingerprint",
    "load",
    "load_mapped",
    "lock",
    "read_json",
    "save",
    "write_bytes",
    "write_json",
    "write_text",
]
