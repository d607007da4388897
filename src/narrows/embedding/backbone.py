"""A pretrained model of the Transformers library as a function from images or texts to features.

Weights are read from safetensors only, code that comes with a model is never run, and nothing is
downloaded unless asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows import store
from narrows.errors import FileRefused, require, wrong

POOLS = ("auto", "cls", "mean", "pooler")
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_PROCESSOR = "preprocessor_config.json"


def find_folder(model: str, download: bool = False) -> Path:
    """The folder of a model: itself, or that of a hub id among what was downloaded earlier.

    Args:
        model: a folder, or an id such as `facebook/dinov2-base`.
        download: fetch it from the hub where it is missing.

    Raises:
        FileRefused: no such folder, and nothing downloaded under this id.
    """
    if Path(model).is_dir():
        return Path(model)
    hub = require("huggingface_hub", "hub")
    try:
        found = hub.snapshot_download(
            model, local_files_only=not download, allow_patterns=list(_FILES)
        )
    except (OSError, ValueError) as error:
        raise FileRefused(
            f"model: found no folder {model!r} and nothing downloaded under this id, wanted a "
            "folder with config.json and safetensors weights; --download fetches an id"
        ) from error
    return Path(found)


def identity_of(folder: str | Path, pool: str = "auto") -> dict[str, Any]:
    """What features depend on: the digest of each file of the model, and the pooling.

    Raises:
        FileRefused: no config.json, or no safetensors weights.
    """
    home = Path(folder)
    if pool not in POOLS:
        raise wrong("pool", repr(pool), "one of " + ", ".join(map(repr, POOLS)))
    files = sorted({path for pattern in _FILES for path in home.glob(pattern) if path.is_file()})
    names = {path.name for path in files}
    if "config.json" not in names or not any(n.endswith(".safetensors") for n in names):
        raise FileRefused(
            f"{home}: found {sorted(names) or 'nothing'}, wanted config.json and safetensors "
            "weights (pickled weights can run code and are not read)"
        )
    return {"files": {path.name: store.file_digest(path) for path in files}, "pool": pool}


class Backbone:
    """A frozen model with its own preparation of inputs.

    Attributes:
        sees: `images` or `texts`.
    """

    def __init__(self, model: Any, processor: Any, sees: str, pool: str, device: str) -> None:
        self.model, self.processor, self.sees, self.pool = model, processor, sees, pool
        self.device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, batch: Sequence[np.ndarray | str]) -> Tensor:
        """`(len(batch), dim)` float32 features, on the CPU.

        Args:
            batch: texts, or pictures `(height, width, 3)` uint8.

        Raises:
            InvalidInput: features that are not finite.
        """
        if self.sees == "images":
            inputs = self.processor(images=list(batch), return_tensors="pt")
        else:
            inputs = self.processor(list(batch), padding=True, truncation=True, return_tensors="pt")
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        # A model of both gives them as points of one space.
        joint = getattr(self.model, f"get_{self.sees.removesuffix('s')}_features", None)
        if joint is not None and self.pool == "auto":
            features = joint(**inputs)
            features = features if isinstance(features, Tensor) else features.pooler_output
        else:
            features = pooled(self.model(**inputs), inputs, self.pool)
        features = features.float().cpu()
        if not features.isfinite().all():
            raise wrong("features", "NaN or infinite values", "a model that gives finite ones")
        return features


def pooled(output: Any, inputs: Mapping[str, Tensor], pool: str) -> Tensor:
    """One vector a row from a model's output.

    Maps `(rows, channels, height, width)` are averaged over places. Of tokens, `cls` is the
    first, `mean` the average over those that are no padding; `auto` takes the mean for texts and
    the first for pictures. `pooler` is the model's own.

    Raises:
        InvalidInput: the model has no pooler.
    """
    if pool == "pooler":
        own = getattr(output, "pooler_output", None)
        if own is None:
            raise wrong("pool", "'pooler' of a model without one", "'auto', 'cls' or 'mean'")
        return own.flatten(1)
    hidden: Tensor = output.last_hidden_state
    if hidden.ndim == 4:
        return hidden.mean((2, 3))
    mask = inputs.get("attention_mask")
    if pool == "cls" or (pool == "auto" and mask is None):
        return hidden[:, 0]
    if mask is None:
        return hidden.mean(1)
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def load_backbone(folder: str | Path, pool: str = "auto", device: str | None = None) -> Backbone:
    """Load a model folder of the Transformers library.

    Args:
        folder: with config.json, safetensors weights, and a preprocessor or tokenizer.
        pool: see `pooled`.
        device: where it runs.

    Raises:
        MissingExtra: transformers is not installed.
        FileRefused: the folder cannot be loaded.
    """
    transformers = require("transformers", "embed")
    home = str(folder)
    local = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(transformers):
        try:
            model = transformers.AutoModel.from_pretrained(home, use_safetensors=True, **local)
            sees = "images" if (Path(folder) / _PROCESSOR).is_file() else "texts"
            kind = "AutoImageProcessor" if sees == "images" else "AutoTokenizer"
            processor = getattr(transformers, kind).from_pretrained(home, **local)
        except (OSError, ValueError, KeyError, ImportError) as error:
            first = " ".join(str(error).split())[:300]
            raise FileRefused(f"{home}: cannot be loaded as a backbone: {first}") from error
    where = device or "cpu"
    return Backbone(model.eval().requires_grad_(False).to(where), processor, sees, pool, where)


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bars and notes while a model loads; errors are told by us."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
