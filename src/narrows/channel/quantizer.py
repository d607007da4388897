"""The narrow place of a channel: whole numbers, priced by a learned prior, sent as a bit stream."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from narrows import distributed
from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.channel.factorized import FactorizedPrior
from narrows.errors import FileRefused, wrong
from narrows.functional.coder import FactorizedCode, frequencies
from narrows.reading import Reading

_FAR = 2**20  # of a symbol: whole numbers this large are exact in float32
_KINDS = 128  # of escapes, as the coder defines them
_ESCAPE = 1e-4  # least share of a table kept for symbols outside its window


class QuantizingBottleneck(Bottleneck):
    """Rounded numbers under a learned factorised prior.

    Training adds uniform noise on (-1/2, 1/2) in place of rounding, which has no gradient, and
    charges the density of the noisy numbers; in evaluation units are whole numbers and the rate
    is what the prior says they cost. `update` turns the prior into integer frequency tables, so
    that a stream decodes to the same numbers on every machine.

    Args:
        features: width of `h`.
        units: how many symbols an example is, named `s0`, `s1`, ...
        rate_weight: what a nat costs in the loss.
        reach: a table's window holds the symbols up to this far from its centre; what lies
            outside is escaped, at a price, and never lost.

    Example:
        >>> layer = QuantizingBottleneck(4, units=2).eval()
        >>> reading = layer.read(torch.randn(3, 4))
        >>> layer.update(reading.units)
        >>> torch.equal(layer.unpack(layer.pack(reading)).units, reading.units)
        True
    """

    offset: Tensor
    frequencies: Tensor
    kinds: Tensor

    def __init__(
        self, features: int, units: int = 32, rate_weight: float = 1e-2, reach: int = 127
    ) -> None:
        if units < 1 or reach < 1:
            raise wrong("units, reach", f"{units}, {reach}", "at least 1 each")
        if not 0 <= rate_weight < math.inf:
            raise wrong("rate_weight", rate_weight, "a finite number >= 0")
        super().__init__([f"s{i}" for i in range(units)])
        self.rate_weight, self.reach = rate_weight, reach
        self.linear = nn.Linear(features, units)
        self.gain = nn.Parameter(torch.zeros(units))  # logarithms: symbols a unit of the linear map
        self.prior = FactorizedPrior(units)
        self.register_buffer("offset", torch.zeros(units, dtype=torch.int64))
        self.register_buffer("frequencies", torch.zeros(units, 2 * reach + 2, dtype=torch.int32))
        self.register_buffer("kinds", torch.zeros(_KINDS, dtype=torch.int32))

    def read(self, h: Tensor) -> Reading:
        """Symbols of `(*batch, features)`; the rate is -log p under the prior, in nats."""
        value = (self.linear(h) * self.gain.exp()).clamp(-_FAR, _FAR)
        units = value + torch.rand_like(value) - 0.5 if self.training else value.round()
        rate = self.prior.nats(units).sum(-1)
        return Reading(units, rate=rate, penalty=self.rate_weight * distributed.mean(rate))

    def write(self, reading: Reading) -> Tensor:
        """The symbols on the scale of the features."""
        return reading.units * (-self.gain).exp()

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Replace symbols by whole numbers up to 2^20; the rate is that of the new symbols."""
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        for bad, found in (
            (values != values.round(), "a fraction"),
            (values.abs() > _FAR, "a number beyond 2^20"),
        ):
            if bad.any():
                unit = int(bad.flatten(0, -2).any(0).nonzero()[0])
                raise wrong(f"known[{self.names[unit]!r}]", found, "whole numbers up to 2^20")
        units = torch.where(mask, values, reading.units)
        return reading.replace(units=units, rate=self.prior.nats(units).sum(-1))

    @torch.no_grad()
    def update(self, units: Tensor) -> None:
        """Make the tables from the prior, centred on the mean of symbols `(n, units)`."""
        centre = units.double().mean(0).round().long()
        steps = torch.arange(-self.reach, self.reach + 1, device=units.device)
        grid = (centre + steps[:, None]).to(units.dtype)
        share = (-self.prior.nats(grid)).exp().double().T.cpu()
        escape = (1 - share.sum(1, keepdim=True)).clamp(min=_ESCAPE)
        # Every symbol of the window can be coded, however unlikely the prior calls it.
        counts = torch.cat([escape, share.clamp(min=1e-9)], 1)
        self.offset.copy_(centre - self.reach)
        self.frequencies.copy_(torch.from_numpy(frequencies(counts.numpy())))
        self.kinds.copy_(torch.from_numpy(frequencies(np.ones((1, _KINDS)))[0]))

    def pack(self, reading: Reading) -> Mapping[str, Tensor]:
        """One entropy-coded stream, and the shape of the batch."""
        units = reading.units.detach().cpu()
        if not torch.equal(units, units.round()):
            raise wrong("reading.units", "fractions", "whole numbers: read in evaluation mode")
        stream = self._code().encode(units.flatten(0, -2).long().numpy())
        return {
            "stream": torch.from_numpy(np.frombuffer(stream, np.uint8).copy()),
            "batch": torch.tensor(units.shape[:-1]),
        }

    def unpack(self, sent: Mapping[str, Tensor]) -> Reading:
        """The symbols of a stream; the receiver's prior gives their rate.

        Raises:
            FileRefused: a message of another kind, a damaged stream, or a batch larger than
                a stream of this length can hold.
        """
        stream, batch = _message(sent)
        code, rows = self._code(), math.prod(batch)
        # What the likeliest symbols cost bounds the rows, before memory is taken for them.
        least = 16 - np.log2(code.frequencies.max(1)).sum() / len(self.names)
        if rows * len(self.names) * least > 2 * 8 * len(stream) + 64:
            raise FileRefused(f"message: found {rows} rows in {len(stream)} bytes, wanted fewer")
        units = code.decode(stream, rows).to(self.gain).view(*batch, len(self.names))
        return Reading(units, rate=self.prior.nats(units).sum(-1))

    def _code(self) -> FactorizedCode:
        tables = {"offset": self.offset, "frequencies": self.frequencies, "kinds": self.kinds}
        if not self.kinds.any():
            raise wrong("tables", "none yet", "tables: call update(units) first")
        return FactorizedCode.from_tensors({k: v.cpu() for k, v in tables.items()})


def _message(sent: Mapping[str, Tensor]) -> tuple[bytes, list[int]]:
    """The stream and the shape of the batch, checked."""
    if not {"stream", "batch"} <= sent.keys():
        raise FileRefused(f"message: found {sorted(sent)}, wanted 'stream' and 'batch'")
    for name, most in (("stream", 255), ("batch", 2**40)):
        part = sent[name]
        if part.ndim != 1 or part.dtype not in (torch.uint8, torch.int64):
            found = f"{part.dtype} of shape {tuple(part.shape)}"
            raise FileRefused(f"message: found {name!r} {found}, wanted a list of whole numbers")
        if part.numel() and not (part.min() >= 0 and part.max() <= most):
            raise FileRefused(f"message: found {name!r} out of range, wanted 0 to {most}")
    return sent["stream"].to(torch.uint8).cpu().numpy().tobytes(), sent["batch"].tolist()
