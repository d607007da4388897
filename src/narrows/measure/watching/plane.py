"""The information plane: what each layer tells of the input and of the label, over training.

After Shwartz-Ziv and Tishby (2017, arXiv 1703.00810), who saw I(X;T) rise and then fall in each
layer, and Saxe et al. (2018), who found that the fall depends on the estimator and on the units:
tanh units that saturate fall into few cells of a fixed grid, rectified units do not. For
continuous activations the true I(X;T) never changes. So each row of the table names its
estimator, and two of them side by side are the way to use this.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from narrows.errors import wrong, wrong_type
from narrows.measure.watching.estimators import FixedBins, LayerEstimator
from narrows.measure.watching.feeding import call, in_evaluation, pieces, rows_of
from narrows.measure.watching.layers import find_layers
from narrows.measure.watching.plane_table import Compression, PlaneRow, PlaneTable
from narrows.measure.watching.recorder import watch
from narrows.measure.watching.schedules import Schedule, wanted


class InformationPlane:
    """Snapshots of I(X;T) and I(T;Y) of layers.

    Args:
        model: any module; it is not changed. Snapshots are taken in evaluation mode, and each
            part's own mode is set again afterwards.
        x: all inputs, `(P, ...)`, or a mapping of inputs by name. Training and test rows
            together give the whole plane; on few rows I(T;Y) is far too high (see `chance`).
        y: labels `(P,)`, integers or whatever can be sorted.
        layers: names, patterns or `"all"`, see `find_layers`; in order of depth. Of `"all"`,
            layers that the model does not use are left out.
        estimators: name to estimator (`FixedBins`, `RangeBins`, `WidthBins`, `MixtureBounds`
            or anything with their two methods). `FixedBins(30)` by default.
        epochs: which epochs `record` and `callback` take: `"saxe"`, `"all"`, `"log:400"`,
            numbers or a rule. `snapshot` takes any.
        unit: nats or bits, of the table.
        batch_size: rows a pass.
        limit: bytes of activations to keep during a snapshot.

    Memory: for binned estimators about a byte for each activation, for others the activations.

    Raises:
        UnknownName: no such layer.
        InvalidInput: labels that are not one a row, or all alike; no estimator; fewer than 2
            rows.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        >>> x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
        >>> from narrows.measure.watching import MixtureBounds
        >>> noisy = {"kde": MixtureBounds(1.0)}
        >>> plane = InformationPlane(model, x, x[:, 0].long(), ["1", "2"], noisy, unit="bits")
        >>> plane.snapshot(0)
        >>> plane.table()["layer"]
        ['1', '2']
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor | Mapping[str, Any],
        y: Any,
        layers: str | Sequence[str] = "all",
        estimators: Mapping[str, LayerEstimator] | None = None,
        *,
        epochs: Schedule = "saxe",
        unit: str = "nats",
        batch_size: int = 4096,
        limit: int = 2**32,
    ) -> None:
        self.model, self.x, self.y = model, x, _labels(y, rows_of(x))
        self.layers, self._all = tuple(find_layers(model, layers)), layers == "all"
        self.estimators = dict({"bins": FixedBins()} if estimators is None else estimators)
        if not self.estimators:
            raise wrong("estimators", "none", "at least one")
        for name, estimator in self.estimators.items():
            if not (hasattr(estimator, "encode") and hasattr(estimator, "measure")):
                raise wrong_type(f"estimators[{name!r}]", type(estimator).__name__, "an estimator")
        if batch_size < 1:
            raise wrong("batch_size", batch_size, "at least 1")
        PlaneTable((), unit)
        self.unit, self.batch_size, self.limit = unit, batch_size, limit
        self._wanted = wanted(epochs)
        self._rows: list[PlaneRow] = []

    def snapshot(self, epoch: int) -> None:
        """Measure all layers as they are now.

        Warns, once a plane, layer and estimator, where most points are alone in their cell.

        Raises:
            InvalidInput: an epoch not above the last one; activations that are not finite; more
                of them than `limit` bytes.
        """
        if self._rows and epoch <= self._rows[-1].epoch:
            raise wrong("epoch", epoch, f"above {self._rows[-1].epoch}, the last one")
        rows = self._measure(epoch, self.y)
        told = {(row.layer, row.estimator) for row in self._rows if row.warnings}
        for row in rows:
            if row.warnings and (row.layer, row.estimator) not in told:
                note = f"{row.estimator}, layer {row.layer!r}, epoch {epoch}: {row.warnings[0]}"
                warnings.warn(note, UserWarning, stacklevel=2)
        self._rows += rows

    @contextmanager
    def record(self, steps: int = 1) -> Iterator[InformationPlane]:
        """While the block trains, take the plane's epochs; any loop with a torch optimizer does.

        Steps of optimizers that hold a parameter of the model are counted.

        Args:
            steps: optimizer steps an epoch.

        Example:
            >>> model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
            >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
            >>> plane = InformationPlane(model, x, [0, 1], "1", {"bins": FixedBins(3)})
            >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            >>> with warnings.catch_warnings():
            ...     warnings.simplefilter("ignore")  # two points are soon alone
            ...     with plane.record():
            ...         for _ in range(3):
            ...             model(x).sum().backward()
            ...             optimizer.step()
            >>> plane.table()["epoch"]
            [0, 1, 2, 3]
        """
        if steps < 1:
            raise wrong("steps", steps, "at least 1")
        mine = {id(p) for p in self.model.parameters()}
        begun, taken = (self._rows[-1].epoch if self._rows else 0), 0

        def after(optimizer: Optimizer, *_: Any) -> None:
            nonlocal taken
            if any(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
                taken += 1
                epoch = begun + taken // steps
                if taken % steps == 0 and self._wanted(epoch):
                    self.snapshot(epoch)

        if not self._rows and self._wanted(0):
            self.snapshot(0)
        handle = register_optimizer_step_post_hook(after)
        try:
            yield self
        finally:
            handle.remove()

    def callback(self, score: Callable[[], float] | None = None) -> Callable[[], float]:
        """What to hand to `train.fit_stage(validate=...)` to take the plane after each epoch.

        Args:
            score: the validation to run, if any. Without one the number of the epoch is the
                score, so that the last epoch is the one kept, as without validation.
        """
        begun = self._rows[-1].epoch if self._rows else 0
        epoch = begun

        def after() -> float:
            nonlocal epoch
            epoch += 1
            if self._wanted(epoch):
                self.snapshot(epoch)
            return float(epoch) if score is None else score()

        if not self._rows and self._wanted(0):
            self.snapshot(0)
        return after

    def table(self) -> PlaneTable:
        """All snapshots: epoch, layer, estimator, I(X;T), I(T;Y), unit."""
        return PlaneTable(self._rows, self.unit)

    def compression(self) -> tuple[Compression, ...]:
        """For each layer and estimator, how far I(X;T) fell from its maximum."""
        return self.table().compression()

    def chance(self, draws: int, generator: torch.Generator) -> list[dict[str, Any]]:
        """I(T;Y) of the layers as they are now, beside that of permuted labels.

        What permuted labels give is bias: each point in its own cell tells all of any label.

        Returns:
            One mapping a layer and estimator: layer, estimator, I(T;Y), chance, deviation
            (of the permuted), unit.
        """
        if draws < 2:
            raise wrong("draws", draws, "at least 2")
        orders = [torch.randperm(len(self.y), generator=generator) for _ in range(draws)]
        real, *permuted = self._values([self.y, *(self.y[order] for order in orders)])
        found, by = [], 1 / math.log(2) if self.unit == "bits" else 1.0
        for i, row in enumerate(real):
            null = torch.tensor([rows[i].ty for rows in permuted], dtype=torch.float64) * by
            found.append(
                {"layer": row.layer, "estimator": row.estimator, "I(T;Y)": row.ty * by}
                | {"chance": float(null.mean()), "deviation": float(null.std()), "unit": self.unit}
            )
        return found

    def save(self, path: str | Path) -> None:
        """Write the plane as one page that opens offline."""
        from narrows.report.plane_page import write_information_plane

        write_information_plane(self.table(), path)

    def to_png(self, path: str | Path, estimator: str | None = None) -> None:
        """Draw the plane of one estimator, the first by default, into a PNG file."""
        from narrows.report.plane_page import draw_information_plane
        from narrows.report.spectrum_page import save_png

        save_png(draw_information_plane(self.table(), estimator), path)

    def _measure(self, epoch: int, y: Tensor) -> list[PlaneRow]:
        return self._values([y], epoch)[0]

    def _values(self, labels: list[Tensor], epoch: int = 0) -> list[list[PlaneRow]]:
        """For each labelling the rows of the model as it is, from one pass."""
        parts: dict[tuple[str, str], list[Tensor]] = {}
        kept_bytes = 0
        with in_evaluation(self.model):
            for batch in pieces(self.x, self.batch_size):
                with watch(self.model, self.layers, limit=self.limit) as seen:
                    call(self.model, batch)
                if self._all:
                    self.layers = tuple(name for name in self.layers if seen.calls(name))
                for layer in self.layers:
                    t = _flat(layer, seen[layer], rows_of(batch))
                    for key, kept in self._encoded(t).items():
                        parts.setdefault((layer, key), []).append(kept)
                        kept_bytes += kept.numel() * kept.element_size()
                if kept_bytes > self.limit:
                    raise wrong("limit", f"{kept_bytes:,} bytes", f"at most {self.limit:,}")
        whole = {key: torch.cat(part) for key, part in parts.items()}
        return [
            [
                PlaneRow(epoch, layer, name, found.xt, found.ty, found.ceiling, found.warnings)
                for layer in self.layers
                for name, estimator in self.estimators.items()
                for found in [estimator.measure(self._kept(whole, layer, name), y)]
            ]
            for y in labels
        ]

    def _encoded(self, t: Tensor) -> dict[str, Tensor]:
        """What each estimator keeps; the activations themselves once for all that want them."""
        found = {}
        for name, estimator in self.estimators.items():
            kept = estimator.encode(t)
            found["" if kept is t else name] = kept
        return found

    def _kept(self, whole: Mapping[tuple[str, str], Tensor], layer: str, name: str) -> Tensor:
        own = whole.get((layer, name))
        return whole[layer, ""] if own is None else own


def _flat(layer: str, t: Tensor, rows: int) -> Tensor:
    if t.ndim == 0 or len(t) != rows:
        shape = tuple(t.shape)
        raise wrong(f"layer {layer!r}", f"output of shape {shape}", f"one row for each of {rows}")
    t = t.reshape(rows, -1)
    t = t if t.is_floating_point() else t.float()
    t = t.float() if t.itemsize < 4 else t
    if not t.isfinite().all():
        raise wrong(f"layer {layer!r}", "NaN or infinite activations", "finite ones")
    return t


def _labels(y: Any, rows: int) -> Tensor:
    found = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if found.dtype.kind not in "biufUS":
        raise wrong_type("y", f"dtype {found.dtype}", "integers, truth values or texts")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise wrong("y", "NaN or infinite labels", "one label a row")
    if found.shape != (rows,) or rows < 2:
        raise wrong("y", f"shape {found.shape}", f"shape ({rows},), at least 2 rows")
    values, codes = np.unique(found, return_inverse=True)
    if len(values) < 2:
        raise wrong("y", "one label in all rows", "at least two labels")
    return torch.from_numpy(codes.astype(np.int64))
