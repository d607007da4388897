"""How much a summary tells of the text it was made from.

N contexts x_i, M summaries z_ij of each drawn from p(z | x_i), and the log-probability of every
summary under every context (He et al., "An Information Theoretic Perspective on Agentic System
Design", arXiv 2512.21720):

    I(X; Z) = mean over i, j of  log p(z_ij | x_i) - log mean over l of p(z_ij | x_l)

The mean over l holds x_i itself, so no term passes log N, and the estimate is low where the truth
is near log N: never compare runs of different N. With `leave_one_out` the mean is over the other
contexts, and the estimate is high, without a ceiling. Both surround the truth in expectation
where p is what drew the summaries. Where another model scores them (`proxy=True`) it is neither
bound, and may be below 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.language.channel_stream import ChannelStream
from narrows.measure.mi.result import MIResult

MARGINALS = ("include_self", "leave_one_out")
_CHUNK = 2**22  # log-probabilities a block
_NEAR = 0.9  # of the ceiling, above which N is too small


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ChannelInformation(MIResult):
    """An information of a channel.

    Attributes:
        terms: `(N, M)`, one a summary, in `units`; their mean is `unclipped`.
        unclipped: the mean, which noise can bring below 0.
    """

    terms: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, 0))
    unclipped: float = math.nan

    @property
    def cap(self) -> float:
        """The largest value there could be: the entropy of the contexts, log N where all differ."""
        return self.ceiling

    @property
    def contexts(self) -> int:
        """N."""
        return self.terms.shape[0]

    def to(self, units: str) -> ChannelInformation:
        """The same result in nats or bits."""
        plain = super().to(units)
        by = {"nats": 1.0, "bits": 1 / math.log(2)}
        rate = by[units] / by[self.units]
        return dataclasses.replace(
            self,
            value=plain.value,
            stderr=plain.stderr,
            ceiling=plain.ceiling,
            units=units,
            terms=self.terms * rate,
            unclipped=self.unclipped * rate,
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n  cap {self.cap:.3f} {self.units} (N = {self.contexts:,})"

    def to_dict(self) -> dict[str, Any]:
        """JSON values, terms as lists."""
        bare = dataclasses.replace(self, terms=torch.zeros(0, 0))
        told = MIResult.to_dict(bare)
        terms = [[v if math.isfinite(v) else None for v in row] for row in self.terms.tolist()]
        return told | {"terms": terms, "contexts": self.contexts}


def channel_information(
    ll: Tensor | ChannelStream,
    unit: str = "bits",
    marginal: str = "include_self",
    clip: bool = True,
    *,
    contexts: Sequence[Hashable] | None = None,
    proxy: bool = False,
) -> ChannelInformation:
    """Information between contexts and their summaries.

    Args:
        ll: `(N, M, N)` or `(N, N)` log-probabilities in nats, `ll[i, j, l]` of summary j of
            context i under context l, or a `ChannelStream` that has seen all contexts.
        unit: bits or nats.
        marginal: `include_self` as in the paper, or `leave_one_out`.
        clip: report 0 for less than 0.
        contexts: the N contexts themselves. Some may be equal, which lowers the ceiling from
            log N to the entropy of which is which.
        proxy: whether another model than the summaries' own scored them.

    Raises:
        InvalidType: no numbers.
        InvalidInput: another shape, NaN, +inf, a summary impossible under its own context, a
            stream that has not seen all contexts, an unknown unit or marginal.

    Example:
        >>> flip = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()  # each came out as it went in
        >>> channel_information(flip, unit="bits")
        0.848 ± 0.000 bits (channel, lower, 2 samples)
          cap 1.000 bits (N = 2)
    """
    if marginal not in MARGINALS:
        raise wrong("marginal", repr(marginal), f"one of {', '.join(map(repr, MARGINALS))}")
    if unit not in ("bits", "nats"):
        raise wrong("unit", repr(unit), "'bits' or 'nats'")
    stream = ll if isinstance(ll, ChannelStream) else _streamed(ll)
    if not stream.complete:
        raise wrong("ll", "a stream that has not seen all contexts", "all of them")
    count, drawn = stream.own.shape
    alone = marginal == "leave_one_out"
    sums, members = (stream.others, count - 1) if alone else (stream.all, count)
    terms = stream.own - (sums - math.log(members))
    means = terms.mean(1)
    value = float(means.mean())
    cap = math.inf if alone else _entropy(contexts, count)
    result = ChannelInformation(
        value=max(value, 0.0) if clip else value,
        stderr=float(means.std()) / math.sqrt(count),
        kind=_kind(marginal, proxy),
        method="channel",
        samples=count * drawn,
        units="nats",
        ceiling=cap,
        warnings=_notes(stream, value, cap, contexts is not None, proxy),
        settings={"marginal": marginal, "clip": clip, "proxy": proxy, "contexts": count,
                  "summaries": drawn, "distinct": _distinct(contexts, count)},
        terms=terms,
        unclipped=value,
    )  # fmt: skip
    return result.to(unit)


def conditional_channel_information(
    lls: Mapping[Hashable, Tensor | ChannelStream] | Sequence[Tensor | ChannelStream],
    unit: str = "bits",
    marginal: str = "include_self",
    clip: bool = True,
    *,
    contexts: Sequence[Hashable] | None = None,
    proxy: bool = False,
) -> ChannelInformation:
    """The same given a query: the mean over queries of the information under each.

    Args:
        lls: for each query what `channel_information` takes, all contexts scored with that query
            in the prompt. N and M are the same for all.
        unit: as there, and so are the others; clipped is the mean.
        marginal: see there.
        clip: see there.
        contexts: see there.
        proxy: see there.

    Returns:
        Terms `(N, queries * M)`, so that the error counts contexts, which queries share.

    Raises:
        InvalidInput: as `channel_information`; no queries; other N or M for some.
    """
    given = list(lls.values()) if isinstance(lls, Mapping) else list(lls)
    if not given:
        raise wrong("lls", "no queries", "at least one")
    each = [
        channel_information(ll, "nats", marginal, False, contexts=contexts, proxy=proxy)
        for ll in given
    ]
    shapes = {tuple(one.terms.shape) for one in each}
    if len(shapes) > 1:
        raise wrong("lls", f"shapes {sorted(shapes)}", "as many contexts and summaries a query")
    terms = torch.cat([one.terms for one in each], 1)
    value = float(terms.mean())
    notes = tuple(dict.fromkeys(note for one in each for note in one.warnings))
    result = dataclasses.replace(
        each[0],
        value=max(value, 0.0) if clip else value,
        stderr=float(terms.mean(1).std()) / math.sqrt(len(terms)),
        method="channel, given the query",
        samples=terms.numel(),
        warnings=notes,
        settings={**each[0].settings, "clip": clip, "queries": len(each)},
        terms=terms,
        unclipped=value,
    )
    return result.to(unit)


def _streamed(ll: Any) -> ChannelStream:
    if not isinstance(ll, Tensor):
        ll = torch.as_tensor(ll)
    if not ll.is_floating_point():
        raise wrong_type("ll", ll.dtype, "a float tensor")
    if ll.ndim == 2:
        ll = ll[:, None]
    if ll.ndim != 3 or ll.shape[0] != ll.shape[2] or ll.shape[0] < 2 or not ll.shape[1]:
        raise wrong("ll", f"shape {tuple(ll.shape)}", "shape (N, M, N) or (N, N), N of 2 or more")
    stream = ChannelStream(ll.shape[0], ll.shape[1])
    step = max(_CHUNK // (ll.shape[0] * ll.shape[1]), 1)
    for which in torch.arange(ll.shape[0]).split(step):
        stream.update(which, ll[:, :, which])
    return stream


def _entropy(contexts: Sequence[Hashable] | None, count: int) -> float:
    """Of which context it is, where equal ones cannot be told apart, in nats."""
    if contexts is None:
        return math.log(count)
    if len(contexts) != count:
        raise wrong("contexts", f"{len(contexts)}", f"as many as ll has, {count}")
    shares: dict[Hashable, int] = {}
    for context in contexts:
        shares[context] = shares.get(context, 0) + 1
    return math.log(count) - math.fsum(n * math.log(n) for n in shares.values()) / count


def _distinct(contexts: Sequence[Hashable] | None, count: int) -> int:
    return count if contexts is None else len(set(contexts))


def _kind(marginal: str, proxy: bool) -> str:
    if proxy:
        return "estimate"
    return "lower" if marginal == "include_self" else "upper"


def _notes(
    stream: ChannelStream, value: float, cap: float, told: bool, proxy: bool
) -> tuple[str, ...]:
    notes = []
    if proxy:
        notes.append(
            "proxy-scored: another model's likelihoods stand for the channel's, so this is no "
            "bound of its information and can be below 0"
        )
    if math.isinf(value):
        notes.append("infinite: some summaries are impossible under all other contexts")
    elif value > _NEAR * cap:
        notes.append(
            f"above {100 * _NEAR:.0f} % of the ceiling: what lies near it is told too low; take "
            "more contexts"
        )
    if stream.alike and not told:
        notes.append(
            f"{stream.alike} contexts give all summaries the likelihoods of an earlier one: if "
            "contexts repeat, name them in contexts=, which lowers the ceiling"
        )
    return tuple(notes)
