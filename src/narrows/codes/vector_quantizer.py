"""Vector quantisation with a code book of moving averages (van den Oord, Vinyals, Kavukcuoglu).

NeurIPS 2017, arXiv 1711.00937, with the moving averages of its appendix A.1:

    k       = argmin_j |h - e_j|
    z       = h + stop(e_k - h)                     the gradient passes straight through
    penalty = beta mean (h - stop(e_k))^2           commitment, beta = 0.25
    n_j <- g n_j + (1 - g) count_j;   m_j <- g m_j + (1 - g) sum of h;   e_j = m_j / n_j

Differences from the paper's released code: a code hit less than a tenth as often as in an even
division is moved to a random input of the batch (code restarts, Dhariwal et al., 2020); at first
all codes are, so the code book starts among the data. Codes move before they are looked up.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from narrows import distributed
from narrows.codes.keys import first_keys
from narrows.codes.selection import CodeSelection
from narrows.errors import wrong
from narrows.functional.codes import code_sums, ema_update, nearest_code, replace_dead
from narrows.reading import Reading
from narrows.train import stream

_DEAD = 0.1  # share of an even division below which a code is moved


class VectorQuantizer(CodeSelection):
    """Each vector becomes the nearest of a few learnt ones; the reading is its number.

    Ready for any training loop: add `reading.penalty` to the loss. Nothing here has a gradient
    of its own; in training mode `read` moves the code book. With several processes the sums go
    over all ranks, so every rank holds the code book of the joined batch.

    A correction `{"code 17": 1.0}` swaps the code. The rate is `log codes` nats per vector, the
    paper's uniform prior.

    Args:
        dim: width of h.
        codes: size of the code book.
        commitment: beta.
        decay: g.
        seed: of the inputs that dead codes move to.

    Attributes:
        codebook: `(codes, dim)` buffer.
        counts: `(codes,)` buffer, moving averages of how often each was picked.

    Example:
        >>> layer = VectorQuantizer(1, codes=2)
        >>> h = torch.tensor([[0.0], [1.0]], requires_grad=True)
        >>> z = layer.train().write(layer.read(h))
        >>> z.sum().backward()
        >>> z.detach().round(decimals=2).flatten(), h.grad.flatten(), round(layer.perplexity(), 2)
        (tensor([0., 1.]), tensor([1., 1.]), 2.0)
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    steps: Tensor

    def __init__(
        self,
        dim: int,
        codes: int = 512,
        commitment: float = 0.25,
        decay: float = 0.99,
        seed: int = 0,
    ) -> None:
        for name, size in (("dim", dim), ("codes", codes)):
            if size < 1:
                raise wrong(name, size, "at least 1")
        if not 0 <= decay < 1 or not 0 <= commitment < math.inf:
            raise wrong("commitment, decay", f"{commitment}, {decay}", ">= 0 and in [0, 1)")
        super().__init__(1, codes, [f"code {j}" for j in range(codes)], ["code"])
        self.width, self.commitment, self.decay, self.seed = dim, commitment, decay, seed
        self.register_buffer("codebook", torch.zeros(codes, dim))
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, dim))
        self.register_buffer("steps", torch.tensor(0))

    def select(self, numbers: Tensor, speaks: Tensor | None = None, **fields: Any) -> Reading:
        """As for all codes, with the rate of a uniform prior."""
        rate = torch.full(numbers.shape[:-1], math.log(self.codes), device=numbers.device)
        return super().select(numbers, speaks, **{"rate": rate, **fields})

    def read(self, h: Tensor) -> Reading:
        """The nearest code of `(*batch, dim)`, shape `(*batch, 1)`; ties go to the lowest."""
        if h.ndim < 1 or h.shape[-1] != self.width:
            raise wrong("h", f"shape {tuple(h.shape)}", f"shape (*batch, {self.width})")
        if not self.training:
            return self.select(self._nearest(h).unsqueeze(-1))
        self._revive(h)
        index = self._nearest(h)
        self._move(h, index)
        distance = (h - embedding(index, self.codebook)).square()
        return self.select(
            index.unsqueeze(-1),
            # Zeros that carry the gradient of the code's vector on to h.
            context={"straight": h - h.detach()},
            penalty=self.commitment * distributed.mean(distance),
        )

    def write(self, reading: Reading) -> Tensor:
        """The vectors of the codes, `(*batch, dim)`; in training their gradient goes to h."""
        z = embedding(self.numbers(reading).squeeze(-1), self.codebook) * reading.units
        straight = reading.context.get("straight")
        return z if straight is None else z + straight

    def perplexity(self) -> float:
        """How many codes are in use: exp of the entropy of `counts`, 1 to `codes`."""
        share = self.counts.double() / self.counts.double().sum().clamp(min=1e-300)
        return float(torch.special.entr(share).sum().exp())

    @torch.no_grad()
    def _nearest(self, h: Tensor) -> Tensor:
        flat = h.reshape(-1, self.width).to(self.codebook.dtype)
        return nearest_code(flat, self.codebook).view(h.shape[:-1])

    @torch.no_grad()
    def _move(self, h: Tensor, index: Tensor) -> None:
        """One step of the moving averages over the joined batch."""
        flat = h.reshape(-1, self.width).to(self.sums)
        count, total = code_sums(flat, index.flatten(), self.codes)
        found = (distributed.total(count), distributed.total(total))
        self._set(*ema_update(self.codebook, self.counts, self.sums, found, self.decay))
        self.steps += 1

    @torch.no_grad()
    def _revive(self, h: Tensor) -> None:
        """Move dead codes to inputs of this batch, the same ones on every rank."""
        flat = h.reshape(-1, self.width).to(self.sums)
        if not len(flat) or not flat.isfinite().all():
            raise wrong("h", f"shape {tuple(h.shape)}", "finite numbers, at least one vector")
        joined = distributed.total(torch.tensor(float(len(flat)), device=flat.device))
        threshold = _DEAD * float(joined) / self.codes
        dead = int((self.counts < threshold).sum())
        if not dead:
            return
        source = torch.Generator(flat.device).manual_seed(
            stream(self.seed, "dead codes", int(self.steps))
        )
        if distributed.size() > 1:
            # The ranks take turns to offer an input, so that all end with the same code book.
            turn = torch.arange(dead, device=flat.device) % distributed.size()
            own = first_keys(flat[None], dead, "random", source)[0]
            flat = distributed.total(own * (turn == distributed.rank()).unsqueeze(1))
        moved = replace_dead(self.codebook, self.counts, self.sums, flat, threshold, source)
        self._set(*moved[:3])

    def _set(self, codebook: Tensor, counts: Tensor, sums: Tensor) -> None:
        self.codebook.copy_(codebook)
        self.counts.copy_(counts)
        self.sums.copy_(sums)
