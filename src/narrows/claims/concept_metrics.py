"""The claims about the metrics of concept importance, on digits anywhere on a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from narrows import measure
from narrows.baselines import BlackBox, Chance
from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.concepts import CBM, CEM, PCBM, ConceptBank
from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.data import Dataset, Examples, load
from narrows.data.generated.scattered_digits import HEIGHT, WIDTH, points, regions
from narrows.explain import attribute, heat
from narrows.method import Method
from narrows.model import NarrowModel
from narrows.train import isolated

PAPER = "Concept-Based XAI: Metrics and Benchmarks (Aysel et al., 2025, arXiv 2501.19271)"

_USUAL = 0.9  # how often the second digit follows from the first, where concepts go together

CLAIMS = (
    Claim(
        "weights",
        "The weights of a post-hoc bottleneck hardly agree with what people annotate in a class.",
        f"mean correlation of weights and frequencies over classes, co-occurrence {_USUAL}",
        "weak, some negative, CUB",
        "at most",
        0.3,
        "what is usually called a weak correlation",
    ),
    Claim(
        "absent",
        "Even the most important concept is often absent.",
        f"share of right decisions whose most important concept is there, co-occurrence {_USUAL}",
        "about half, CUB (from a summary of the paper, not checked)",
        "at most",
        0.75,
        "absent in a quarter of the pictures",
    ),
    Claim(
        "elsewhere",
        "Maps of the most important concept miss its place.",
        f"share of maps whose highest twelfth covers the place, co-occurrence {_USUAL}",
        "52 to 59 % for areas of 1 to 6 parts, CUB (from a summary, not checked)",
        "at most",
        0.59,
        "the upper end of the paper's figures; a quarter would hold both digits whole",
    ),
    Claim(
        "existence_falls",
        "The cause is that concepts go together: existence falls as they do.",
        "points of existence (right decisions) lost from independent concepts to fixed pairs",
        "argued, without a number",
        "at least",
        1.0,
        "a loss one would notice",
    ),
    Claim(
        "location_falls",
        "And so does location.",
        "points of location (a twelfth of the picture) lost, the same way",
        "argued, without a number",
        "at least",
        1.0,
        "a loss one would notice",
    ),
    Claim(
        "existence_falls_apart",
        "The same, where all are judged on pictures whose concepts are independent.",
        "points of existence, all decisions, lost by training on pairs that always meet",
        "not separated in the paper",
        "at least",
        1.0,
        "a loss one would notice",
    ),
    Claim(
        "location_falls_apart",
        "The same of location.",
        "points of location (a twelfth of the picture) lost by training on such pairs",
        "not separated in the paper",
        "at least",
        1.0,
        "a loss one would notice",
    ),
)

_SIZES = (2000, 400, 1000)
_EPOCHS = 8
_TOGETHER = (0.0, 0.5, _USUAL, 1.0)
_ENDS = (0.0, 1.0)  # the two supervised models are trained at the ends alone
_AREAS = {"1/12": 1 / 12, "1/4": 3 / 12, "1/2": 6 / 12}
_TOP = (1, 3, 5)
_WEIGHTS, _PLACED = "agreement 1", "location 1/12"
_THERE, _THERE_ALL = "existence 1", "existence 1, all decisions"
_APART = ", on independent concepts"


class PooledEncoder(nn.Module):
    """Three convolutions, `(n, 1, 16, 32)` to maps `(n, 64, 4, 8)` and their means `(n, 64)`."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for a, b in ((1, 16), (16, 32), (32, 64)):
            parts += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            parts.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """The means of all maps."""
        return self.layers(x).mean((2, 3))


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; only the small size runs without the paper's data."""
    if size != "small":
        why = "CUB-200-2011 with its part points must be brought by the user; it does not run here"
        return untested(CLAIMS, why)
    what = (
        f"scattered_digits, {_SIZES[0]:,} training canvases of two digits, task: their sum; three "
        f"convolutions and average pooling, {_EPOCHS} epochs; labels of the instance"
    )
    return over_seeds(_one_seed, seeds, what)


def _one_seed(seed: int, values: Any, rows: Any) -> None:
    apart = _load(0.0, seed).test
    found = {p: _at(p, seed, apart, rows) for p in _TOGETHER}
    for key, column in (("weights", _WEIGHTS), ("absent", _THERE), ("elsewhere", _PLACED)):
        values[key].append(found[_USUAL][column])
    for key, column in (
        ("existence_falls", _THERE),
        ("location_falls", _PLACED),
        ("existence_falls_apart", _THERE_ALL + _APART),
        ("location_falls_apart", _PLACED + _APART),
    ):
        first, last = (found[p][column] for p in _ENDS)
        values[key].append(100 * (first - last))


def _at(together: float, seed: int, apart: Examples, rows: Any) -> dict[str, float]:
    """All models where concepts go together this often; returns the post-hoc bottleneck's."""
    data = _load(together, seed)
    where = f", co-occurrence {together:g}"
    common: dict[str, Any] = {"seed": seed, "epochs": _EPOCHS, "batch_size": 32, "lr": 0.01}
    black_box = BlackBox(encoder=_encoder(seed), **common).fit(data)
    rows["black box" + where]["accuracy"].append(black_box.score(data.test))
    rows["chance" + where]["accuracy"].append(Chance().fit(data).score(data.test))
    backbone = black_box.model_.encoder.eval().requires_grad_(False)
    methods: dict[str, Method] = {"PCBM": PCBM(encoder=backbone, seed=seed)}
    if together == 0:
        random = _random_bank(data, seed)
        methods["PCBM, random directions"] = PCBM(random, encoder=backbone, seed=seed)
    if together in _ENDS:
        methods["CBM, joint"] = CBM("joint", encoder=_encoder(seed), **common)
        methods["CEM"] = CEM(encoder=_encoder(seed), **common)
    found = {}
    for name, method in methods.items():
        model = method.fit(data).model_
        found[name], beside = _measured(model, data.train, data.test, seed)
        found[name]["accuracy"] = method.score(data.test)
        if name == "PCBM":
            judged, _ = _measured(model, data.train, apart, seed)
            found[name] |= {k + _APART: judged[k] for k in (_THERE_ALL, _PLACED)}
            for row, columns in beside.items():
                _note(rows[row + where], columns)
        _note(rows[name + where], found[name])
    return found["PCBM"]


def _note(row: dict[str, list[float]], columns: Mapping[str, float]) -> None:
    for column, value in columns.items():
        row[column].append(value)


def _measured(
    model: NarrowModel, train: Examples, test: Examples, seed: int
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The scores of a model, and those of each baseline."""
    report = measure.importance_of(model, train, test, top=_TOP, seed=seed)
    found = {f"agreement {k}": g.mean[1] for k, g in report.agreement.items()}
    found |= {f"cosine {k}": g.mean[0] for k, g in report.agreement.items()}
    # Of pictures whose concepts are independent, those decided rightly by a model that never saw
    # any are the ones whose concepts do go together: all decisions are looked at as well.
    found[_THERE_ALL] = float(report.existence["all"].share[0])
    right, signed = (report.existence[rows] for rows in ("correct", "correct, by polarity"))
    found |= _by_top("existence", right.share) | _by_top("existence by polarity", signed.share)
    beside: dict[str, dict[str, float]] = {
        "any order": _by_top("existence", right.baselines["chance"]),
        "order by frequency in the class": _by_top("existence", right.baselines["frequency"]),
    }
    placed = _location(model, test)
    found |= _by_area([share.share for share in placed.by_area])
    for name, row in (("chance", "any pixels"), ("centre", "middle"), ("object", "both digits")):
        beside[row] = _by_area([share.baselines[name] for share in placed.by_area])
    return found, beside


def _by_top(what: str, values: Tensor) -> dict[str, float]:
    return {f"{what} {n}": float(v) for n, v in zip(_TOP, values, strict=True)}


def _by_area(values: list[Tensor]) -> dict[str, float]:
    return {f"location {name}": float(v[0]) for name, v in zip(_AREAS, values, strict=True)}


def _location(model: NarrowModel, test: Examples) -> measure.Location:
    """Maps of concept logits on the last feature map, gradient x input.

    Of a linear concept that is its activation map, up to a factor and a constant.
    """
    encoder: Any = model.eval().encoder
    x = test.x[torch.arange(len(test))]
    with torch.no_grad():
        explained, features = model.explain(x), encoder.layers(x)
    said = explained.logits.argmax(1)
    shares = explained.contributions[torch.arange(len(test)), :, said]
    maps = heat(
        attribute(
            lambda e: _logits(model, e.mean((2, 3))),
            features,
            range(len(test.concepts)),
            "gradient_x_input",
        )
    )
    return measure.location(
        maps,
        points(test),
        shares,
        (HEIGHT, WIDTH),
        areas=tuple(_AREAS.values()),
        top=(1,),
        objects=regions(test).any(1),
    )


def _load(together: float, seed: int) -> Dataset:
    return load("scattered_digits", seed=seed, sizes=_SIZES, co_occurrence=together)


def _logits(model: NarrowModel, h: Tensor) -> Tensor:
    layer: Any = model.bottleneck
    return layer.logits(layer.embed(h) if isinstance(layer, ConceptEmbeddingLayer) else h)


def _random_bank(data: Dataset, seed: int) -> ConceptBank:
    """Directions that have nothing to do with the concepts whose names they bear."""
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(data.concepts), 64, generator=source)
    return ConceptBank(data.concepts.names, drawn, torch.zeros(len(drawn)))


def _encoder(seed: int) -> PooledEncoder:
    """A fresh one for each method: a module that is handed over is trained in place."""
    with isolated(seed, "claim encoder"):
        return PooledEncoder()
