"""The command that measures language models: capacity."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import UsageError, usage
from narrows.cli.measure import measure
from narrows.errors import FileRefused, NarrowsError

if TYPE_CHECKING:
    from narrows.measure import CapacityReport, CapacitySeries

_KINDS = (".txt", ".md", ".rst")


@measure.command()
def capacity(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of causal models of the Transformers library, or downloaded hub ids."
        ),
    ],
    texts: Annotated[
        list[Path],
        typer.Option(help="A UTF-8 file, or a folder of .txt, .md and .rst files; can repeat."),
    ],
    lines: Annotated[
        bool, typer.Option("--lines", help="Each line is a text, not each file.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=2, help="Of a text; the rest is not read.")] = 1024,
    bias: Annotated[float, typer.Option(help="b, in bits; the paper's for mixed texts.")] = -24.0,
    weighting: Annotated[str, typer.Option(help="tokens, or reference: the paper's code.")] = (
        "tokens"
    ),
    bos: Annotated[str, typer.Option(help="A mark before each text: auto, add or none.")] = "auto",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one pass.")] = 4096,
    device: options.Device = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure what language models save of a text, for their compute.

    (C - NLL + b) / log2 N: bits of text and of loss a token, N operations a token. Nothing is
    downloaded and no code of a model is run. Of several models of one tokenizer the bias of the
    series is fitted, too.
    """
    from narrows.measure import information_capacity

    where = options.check_device(device)
    _one_of("--weighting", weighting, ("tokens", "reference"))
    _one_of("--bos", bos, ("auto", "add", "none"))
    paths = [path for given in texts for path in _files(given)]
    reports: list[CapacityReport] = []
    for name in models:
        model, tokenizer = usage(partial(_load, name, where))
        reports.append(
            information_capacity(
                model,
                tokenizer,
                _texts(paths, lines),
                max_tokens,
                bias,
                weighting,
                bos,
                batch_tokens=batch_tokens,
            )
        )
        del model
    series = _series(reports)
    if as_json:
        told = [{"model": m, **r.to_dict()} for m, r in zip(models, reports, strict=True)]
        console.say_json({"models": told, "series": None if series is None else series.to_dict()})
        return
    _say(models, reports, series)


def _say(models: list[str], reports: list[CapacityReport], series: CapacitySeries | None) -> None:
    first = reports[0]
    console.say(
        f"{first.documents:,} texts, cut to {first.settings['max_tokens']:,} tokens; "
        f"bias {first.settings['bias']:g}\n"
    )
    header = ["model", "capacity", "bits of text", "of loss", "bits a byte", "FLOPs a token"]
    rows = []
    for name, one in zip(models, reports, strict=True):
        numbers = (one.text_bits_per_token, one.nll_bits_per_token, one.bits_per_byte)
        cells = [f"{number:.3f}" for number in numbers]
        spread = "" if one.documents < 2 else f" ± {one.stderr:.4f}"
        rows.append([name, f"{one.value:.4f}{spread}", *cells, f"{one.flops_per_token:.4g}"])
    typer.echo(console.table(header, rows))
    if series is not None:
        console.say(f"\nas one series: {series!r}")
    for name, one in zip(models, reports, strict=True):
        for text in one.warnings:
            console.note(f"note: {name}: {text}")


def _series(reports: list[CapacityReport]) -> CapacitySeries | None:
    """The series, where the models can be one: three or more, of one tokenizer and several sizes.

    Two lie on a line whatever they are.
    """
    from narrows.measure import fit_capacity_bias

    if len(reports) < 3:
        return None
    try:
        return fit_capacity_bias(reports)
    except NarrowsError:
        return None


def _load(name: str, device: str | None) -> tuple[Any, Any]:
    """A causal model and its tokenizer, from safetensors in a local folder."""
    from narrows.embedding.backbone import find_folder, identity_of
    from narrows.errors import require

    folder = find_folder(name)
    identity_of(folder)  # refuses weights that are no safetensors, and folders without any
    transformers = require("transformers", "embed")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, **local
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = " ".join(str(error).split())[:300]
        raise FileRefused(f"{folder}: cannot be loaded as a causal model: {first}") from error
    return model.eval().requires_grad_(False).to(device or "cpu"), tokenizer


def _files(given: Path) -> list[Path]:
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise FileRefused(f"{given}: found no such file, wanted a text file or a folder of some")
    found = sorted(p for p in given.rglob("*") if p.suffix.lower() in _KINDS and p.is_file())
    if not found:
        raise FileRefused(f"{given}: found no file, wanted some that end in {', '.join(_KINDS)}")
    return found


def _texts(paths: list[Path], lines: bool) -> Iterator[str]:
    """Texts of files, one file in memory at a time; blank ones are left out."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileRefused(f"{path}: found {error}, wanted a UTF-8 file") from error
        for part in text.splitlines() if lines else [text]:
            if part.strip():
                yield part


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option}: found {value!r}, wanted {', '.join(known)}")
