"""Commands around one run: fit, predict, report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import ARGUMENTS, app

Run = Annotated[Path, typer.Argument(help="The folder of a run.")]


@app.command()
def fit(
    ctx: typer.Context,
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The run folder.")],
    method: Annotated[str, typer.Option(help="See 'narrows list'.")] = "cbm",
    target: options.Target = None,
    concepts: options.Prefix = None,
    load: options.Load = None,
    epochs: options.Epochs = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting; see 'narrows info METHOD'."),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train one method on your data, into a run folder.

    The folder holds the model, the numbers and a report. A first SIGTERM or Ctrl-C finishes the
    step, saves and exits with 0; --resume goes on from there to the same result.
    """
    kind = options.find_method(method)
    texts = options.pairs_of("--set", settings or ())
    given = {"epochs": epochs, "device": options.check_device(device)}
    estimator = options.build(kind, texts, **given, **({} if "seed" in texts else {"seed": seed}))
    loaded, source, loading = options.load_data(data, target, concepts, load or ())
    from narrows.runs import fit_run
    from narrows.train import TrainingStopped

    command = ["narrows", *ctx.find_root().meta[ARGUMENTS]]
    try:
        with console.progress(quiet=as_json) as bar:
            done = fit_run(
                estimator,
                loaded,
                out,
                source=source,
                options=loading,
                command=command,
                resume=resume,
                progress=bar,
            )
    except TrainingStopped as error:
        again = shlex.join(command if resume else [*command, "--resume"])
        if as_json:
            console.say_json({"stopped": str(error), "resume": again})
        else:
            console.say(f"{error}; the state is saved. Go on with:")
            typer.echo(again)  # never wrapped: it is there to be copied
        return
    for text in done.notes:
        console.note(f"note: {text}")
    if as_json:
        console.say_json({"folder": str(out), "metrics": done.metrics, "notes": done.notes})
        return
    sizes = ", ".join(f"{len(s)} {name}" for name, s in loaded.splits.items())
    console.say(f"{method} on {loaded.name}: {sizes}")
    console.say(console.pairs(_told(done.metrics)))
    if (out / "report.html").exists():
        console.say(f"report: {out / 'report.html'}")
    console.say(f"use it: narrows.from_pretrained({str(out)!r})")


def _told(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The numbers of a run as pairs for people."""
    from narrows.report.labels import number, percent

    accuracy, concepts = metrics["accuracy"], metrics.get("concepts") or {}
    told = {
        "test accuracy": percent(accuracy["test"]),
        "validation accuracy": percent(accuracy["val"]),
        "bits per example": number(metrics["bits"]["value"], 1),
        "concept accuracy": percent(concepts.get("accuracy")),
        "concept AUC": number(concepts.get("auc"), 3),
    }
    for curve in metrics.get("interventions", ())[:1]:
        mean = [sum(at) / len(at) for at in zip(*curve["accuracy"], strict=True)]
        told |= {f"after {k} corrected": percent(mean[k]) for k in (1, 2, 5) if k < len(mean)}
    return {key: value for key, value in told.items() if value != "–"}


@app.command()
def report(run: Run, as_json: options.Json = False, debug: options.Debug = False) -> None:
    """Write the report of a finished run again, from its folder."""
    from narrows import store
    from narrows.report import write_run
    from narrows.runs import read_run

    read_run(run)
    with store.lock(run):
        notes = write_run(run)
    if as_json:
        console.say_json({"report": str(run / "report.html"), "notes": notes})
        return
    for text in notes:
        console.note(f"note: {text}")
    console.say(f"report: {run / 'report.html'}")


@app.command()
def predict(
    run: Run,
    data: Annotated[str, typer.Argument(help="New rows: a table with the same columns.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("predictions.csv"),
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Predict the labels of new rows.

    Labels and concepts may be missing from them.
    """
    from narrows.data import prepare
    from narrows.embedding import embed_rows
    from narrows.errors import wrong
    from narrows.method import from_pretrained
    from narrows.report import readings_of, write_csv
    from narrows.runs import read_run

    record = read_run(run)["data"]
    if "classes" not in record["settings"]:
        raise wrong("run", f"one trained on {record['name']}", "a run trained on a table")
    settings = record["settings"]
    embedded = "embedding" in settings
    rows = embed_rows(data, settings) if embedded else prepare(data, settings)
    method = from_pretrained(run)
    columns = readings_of(method, rows)
    labels = columns.pop("label")
    sure = method.predict_proba(rows).max(1).tolist()
    first = {"id": columns.pop("id"), "prediction": columns.pop("prediction")}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(out, {**first, "probability": sure, **columns})
    pairs = list(zip(first["prediction"], labels, strict=True))
    known = [p == label for p, label in pairs if label is not None]
    accuracy = sum(known) / len(known) if known else None
    if as_json:
        console.say_json({"predictions": str(out), "rows": len(pairs), "accuracy": accuracy})
        return
    told = "" if accuracy is None else f"; {100 * accuracy:.1f} % of {len(known)} labels are right"
    console.say(f"{len(pairs)} predictions in {out}{told}")
