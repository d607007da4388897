"""Cut a model in two: a Sender and a Receiver that exchange bytes.

A message is a magic word, a CRC-32 and a safetensors body; nothing in it can run. Numbers are
sent without loss, integers in the smallest type that holds them, and a bottleneck with an
entropy coder packs its own stream, so the receiver's answer equals the whole model's.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from narrows.bottleneck import Bottleneck
from narrows.errors import FileRefused, wrong_type
from narrows.reading import Output

_MAGIC = b"NRW1"
_HEADER = struct.Struct("<4sI")
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32)


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Frame named tensors as one message.

    Example:
        >>> from_bytes(to_bytes({"units": torch.tensor([1, 2])}))
        {'units': tensor([1, 2])}
    """
    body = save({name: _small(t.detach().cpu()).contiguous() for name, t in tensors.items()})
    return _HEADER.pack(_MAGIC, zlib.crc32(body)) + body


def from_bytes(message: bytes) -> dict[str, Tensor]:
    """Open a message; integers come back as int64.

    Raises:
        FileRefused: the message is truncated, altered or not one of ours.
    """
    if not isinstance(message, (bytes, bytearray, memoryview)):
        raise wrong_type("message", type(message).__name__, "bytes")
    message = bytes(message)
    if len(message) < _HEADER.size or not message.startswith(_MAGIC):
        raise FileRefused(f"message: found {len(message)} bytes, wanted a Narrows message")
    _, checksum = _HEADER.unpack_from(message)
    body = message[_HEADER.size :]
    if zlib.crc32(body) != checksum:
        raise FileRefused("message: its checksum does not match, it was truncated or altered")
    try:
        tensors = load(body)
    except SafetensorError as error:
        raise FileRefused(f"message: {error}") from error
    return {name: t.long() if _is_integer(t) else t for name, t in tensors.items()}


def _is_integer(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and tensor.dtype != torch.bool


def _small(tensor: Tensor) -> Tensor:
    if not _is_integer(tensor) or tensor.numel() == 0:
        return tensor
    low, high = int(tensor.min()), int(tensor.max())
    for dtype in _INTEGERS:
        limits = torch.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return tensor.to(dtype)
    return tensor


class Sender(nn.Module):
    """The half that sees the input: encoder and `read`.

    Calling it on `(batch, ...)` inputs gives one message.
    """

    def __init__(self, encoder: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.encoder, self.bottleneck = encoder, bottleneck

    @torch.no_grad()
    def forward(self, x: Tensor) -> bytes:
        """Read the input and pack what passes."""
        return to_bytes(self.bottleneck.pack(self.bottleneck.read(self.encoder(x))))


class Receiver(nn.Module):
    """The half that decides: `write` and head.

    Calling it on a message gives an `Output` whose reading holds what was sent.
    """

    def __init__(self, bottleneck: Bottleneck, head: nn.Module) -> None:
        super().__init__()
        self.bottleneck, self.head = bottleneck, head

    @torch.no_grad()
    def forward(self, message: bytes) -> Output:
        """Unpack a message and decide."""
        reading = self.bottleneck.unpack(from_bytes(message))
        return Output(self.head(self.bottleneck.write(reading)), reading)
