"""Commands that measure layers: plane and geometry."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import UsageError, usage
from narrows.cli.measure import measure

if TYPE_CHECKING:
    from narrows.measure import SpectrumReport
    from narrows.measure.geometry import Phase

_BATCH = 256  # rows a pass
_TEXTS = 16  # texts a pass
_TOKENS = 512  # of a text, at most


@measure.command()
def plane(
    run: Annotated[Path, typer.Argument(help="The folder of a run; its data must be there.")],
    layers: Annotated[
        str, typer.Option(help="Names or patterns with commas between, or 'all'.")
    ] = "all",
    rows: Annotated[int, typer.Option(min=2, help="Training rows, the first ones.")] = 4096,
    edges: Annotated[int, typer.Option(min=2, help="Edges of the bins, over each range.")] = 30,
    variance: Annotated[float, typer.Option(help="Of the noise of the bounds.")] = 1e-3,
    draws: Annotated[int, typer.Option(min=2, help="Permutations of the labels.")] = 10,
    units: Annotated[str, typer.Option(help="nats or bits.")] = "nats",
    seed: options.Seed = 0,
    page: options.Page = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Place the layers of a trained model in the information plane.

    I(X;T) and I(T;Y) by bins over each layer's range and by noise bounds, and what permuted
    labels would give in place of I(T;Y). For the course of training see InformationPlane.
    """
    import warnings

    import torch

    from narrows.measure import InformationPlane, MixtureBounds, RangeBins

    model, data = _open(run)
    chosen = torch.arange(min(rows, len(data.train)))
    found = usage(
        lambda: InformationPlane(
            model,
            data.train.x[chosen],
            data.train.y[chosen],
            layers if layers == "all" else layers.split(","),
            {"bins": RangeBins(edges), "noise": MixtureBounds(variance)},
            unit=units,
            batch_size=_BATCH,
        )
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*at its ceiling")  # the table says so
        found.snapshot(0)
    chance = found.chance(draws, torch.Generator().manual_seed(seed))
    if page is not None:
        found.save(page)
    table = found.table()
    if as_json:
        console.say_json({**table.to_dict(), "chance": chance, "rows_used": len(chosen)})
        return
    console.say(f"{run}: {len(chosen):,} training rows, in {units}\n")
    lines = []
    for row, null in zip(table, chance, strict=True):
        numbers = (row["I(X;T)"], row["I(T;Y)"], null["chance"])
        lines.append([row["layer"], row["estimator"], *(f"{v:.3f}" for v in numbers)])
    typer.echo(console.table(["layer", "estimator", "I(X;T)", "I(T;Y)", "by chance"], lines))
    for (layer, estimator), text in table.warnings().items():
        console.note(f"note: {estimator}, layer {layer}: {text}")
    if page is not None:
        console.say(f"\npage: {page}")


@measure.command()
def geometry(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            help="In order of training: .npy or .csv features, a saved CovarianceStream, the "
            "folder of a run, or a folder of the Transformers library (with --texts)."
        ),
    ],
    texts: Annotated[
        Path | None, typer.Option(help="A file with one text a line, for language models.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Whose output; of a run the encoder, else what comes last.")
    ] = None,
    ranks: Annotated[
        str | None, typer.Option(help="First and last rank of the power law, as 11,100.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write the page of the last checkpoint, too.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure how many directions representations use: RankMe and alpha-ReQ.

    Of a text the last token's representation is taken. Compare checkpoints at equal numbers of
    rows only. Of three checkpoints or more the phases are told.
    """
    from narrows.measure import find_phases

    span = _span(ranks)
    reports = [usage(partial(_report, path, texts, layer, span)) for path in checkpoints]
    phases: tuple[Phase, ...] = ()
    if len(reports) > 2:
        phases = find_phases(range(len(reports)), [r.rankme for r in reports])
    if page is not None:
        reports[-1].save(page)
    if as_json:
        told = [{"checkpoint": c, **r.to_dict()}
                for c, r in zip(checkpoints, reports, strict=True)]  # fmt: skip
        turns = [{"name": p.name, "from": checkpoints[int(p.start)],
                  "to": checkpoints[int(p.end)]} for p in phases]  # fmt: skip
        console.say_json({"checkpoints": told, "phases": turns})
        return
    lines = [[c, *_cells(r)] for c, r in zip(checkpoints, reports, strict=True)]
    header = ["checkpoint", "rows", "columns", "RankMe", "alpha", "R²", "ranks"]
    typer.echo(console.table(header, lines))
    for phase in phases:
        first, last = checkpoints[int(phase.start)], checkpoints[int(phase.end)]
        console.say(f"{phase.name}: {first} to {last}, {phase.before:.2f} to {phase.after:.2f}")
    for name, report in zip(checkpoints, reports, strict=True):
        for text in report.warnings:
            console.note(f"note: {name}: {text}")
    if page is not None:
        console.say(f"\npage: {page}")


def _cells(report: SpectrumReport) -> list[str]:
    cells = [f"{report.n:,}", str(report.dim), f"{report.rankme:.2f}"]
    law = report.power_law
    if law is None or math.isnan(report.alpha):
        return [*cells, "-", "-", "-"]
    return [*cells, f"{law.alpha:.4f}", f"{law.r2:.4f}", f"{law.range[0]} to {law.range[1]}"]


def _report(
    checkpoint: str, texts: Path | None, layer: str | None, span: tuple[int, int] | None
) -> SpectrumReport:
    """The geometry of one checkpoint, whatever it is."""
    import torch

    from narrows.cli.measure_files import read_sample
    from narrows.measure import CovarianceStream, GeometryMonitor, spectrum_report

    path = Path(checkpoint)
    if path.is_file() and path.suffix == ".safetensors":
        return spectrum_report(CovarianceStream.load(path), range=span)
    if not path.is_dir():
        return spectrum_report(torch.tensor(read_sample(checkpoint)[0]), range=span)
    if (path / "run.json").exists():
        model, data = _open(path)
        batches = [data.test.x[rows] for rows in torch.arange(len(data.test)).split(_BATCH)]
        return GeometryMonitor(model, batches, layer=layer or "encoder", range=span).look()
    if texts is None:
        raise UsageError(f"--texts: found none for {checkpoint}, wanted a file of one text a line")
    model, batches = _language(path, texts)
    return GeometryMonitor(model, batches, layer=layer or "", range=span).look()


def _open(run: Path) -> tuple[Any, Any]:
    """The model of a run, and its data."""
    from narrows.method import from_pretrained
    from narrows.report.run_page import reload_data
    from narrows.runs import read_run

    record = read_run(run)
    return from_pretrained(run).model_, reload_data(record["data"])


def _language(folder: Path, texts: Path) -> tuple[Any, list[dict[str, Any]]]:
    """A model of the Transformers library and a file's texts as its inputs."""
    from narrows.embedding.backbone import load_backbone

    try:
        lines = [t for t in texts.read_text(encoding="utf-8").splitlines() if t.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--texts: found {texts}: {error}, wanted a UTF-8 file") from error
    if len(lines) < 2:
        raise UsageError(f"--texts: found {len(lines)} in {texts}, wanted 2 or more")
    loaded = load_backbone(folder)
    if loaded.sees != "texts":
        raise UsageError(f"{folder}: found a model of {loaded.sees}, wanted one of texts")
    tokens = loaded.processor
    if tokens.pad_token is None:  # the mask hides what is filled in
        tokens.pad_token = tokens.eos_token
    batches = []
    for start in range(0, len(lines), _TEXTS):
        part = lines[start : start + _TEXTS]
        given = tokens(part, padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
        batches.append(dict(given))
    return loaded.model, batches


def _span(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(p.strip().isdigit() for p in parts):
        raise UsageError(f"--ranks: found {text!r}, wanted two ranks as 11,100")
    return int(parts[0]), int(parts[1])
