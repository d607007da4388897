"""The model every method trains: encoder, bottleneck, head."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

import narrows
from narrows import store
from narrows.blueprint import Blueprint, build
from narrows.bottleneck import Bottleneck, Known
from narrows.errors import FileRefused, InvalidInput, require, wrong, wrong_type
from narrows.explanation import Explanation, contributions
from narrows.reading import Output, Reading
from narrows.wire import Receiver, Sender

if TYPE_CHECKING:
    from narrows.explain import WhyNot

FORMAT = 1


class NarrowModel(nn.Module):
    """A model that decides through a narrow place.

    Args:
        encoder: from `(batch, ...)` to `(batch, features)`.
        bottleneck: the narrow place.
        head: from `(batch, n * width)` to `(batch, classes)` logits.
        classes: one label per logit.
        input_shape: the shape of one example, checked on every call when given.

    Example:
        >>> from narrows.bottleneck import IdentityBottleneck
        >>> from narrows.heads import LinearHead
        >>> head = LinearHead(4, 2)
        >>> model = NarrowModel(nn.Flatten(), IdentityBottleneck(4), head, ("no", "yes"))
        >>> model(torch.zeros(3, 2, 2)).prediction.shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        bottleneck: Bottleneck,
        head: nn.Module,
        classes: Sequence[Any] = (),
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.head = encoder, bottleneck, head
        self.classes = tuple(classes)
        self.input_shape = None if input_shape is None else tuple(input_shape)

    def forward(self, x: Tensor) -> Output:
        """Encode, read, write, decide: `(batch, ...)` to logits and what passed."""
        return self.decide(self.read(x))

    def read(self, x: Tensor) -> Reading:
        """The reading of `(batch, ...)` inputs, without deciding."""
        return self.bottleneck.read(self.encoder(self._input(x)))

    def decide(self, reading: Reading) -> Output:
        """Write a reading and decide; the encoder is not run."""
        return Output(self.head(self.bottleneck.write(reading)), reading)

    def correct(self, x_or_reading: Tensor | Reading, known: Known) -> Output:
        """Decide again with some units fixed by a person.

        Corrections belong to this call alone: nothing in the model changes.

        Args:
            x_or_reading: inputs, or a reading (then the encoder is not run again).
            known: `{unit name: number or (batch,) values}`, or `(mask, values)` tensors shaped
                like the units, mask boolean.

        Raises:
            UnknownName: a name no unit has; the message offers the nearest.
            InvalidInput: wrong shapes, values out of range, or two truths in one group.
        """
        reading = x_or_reading if isinstance(x_or_reading, Reading) else self.read(x_or_reading)
        return self.decide(self.bottleneck.condition(reading, known))

    def explain(self, x_or_reading: Tensor | Reading) -> Explanation:
        """Each unit's contribution to each class, exact for affine heads."""
        reading = x_or_reading if isinstance(x_or_reading, Reading) else self.read(x_or_reading)
        if reading.units.ndim != 2:
            raise wrong("reading.units", f"shape {tuple(reading.units.shape)}", "(batch, units)")
        z = self.bottleneck.write(reading)
        units = reading.units.shape[-1]
        if z.flatten(1).shape[1] != units * self.bottleneck.width:
            raise InvalidInput("explain: the label does not pass through this model's units")
        shares, rest, exact = contributions(self.head, z.flatten(1), units)
        with torch.no_grad():
            logits = self.head(z)
        return Explanation(
            names=self.bottleneck.spoken(reading),
            values=self.bottleneck.scores(reading).detach(),
            contributions=shares.detach(),
            rest=rest.detach(),
            logits=logits,
            classes=self.classes or tuple(range(logits.shape[-1])),
            exact=exact,
        )

    def why_not(self, x_or_reading: Tensor | Reading, label: Any) -> WhyNot:
        """The smallest set of concept corrections after which the model says `label`.

        The answer says whether that is proven, as it is for a linear head and few rival classes,
        and otherwise how small a set could still be. A group is corrected as one. See
        `narrows.explain.why_not`, which also takes limits of the search.

        Args:
            x_or_reading: one example, `(1, ...)`, or its reading.
            label: one of the classes.

        Raises:
            UnknownName: a label the model does not know; the message offers the nearest.
            InvalidInput: not one example, or units that cannot be corrected.

        Example:
            >>> from narrows.heads import FixedHead
            >>> layer = Bottleneck(["barks", "purrs"])
            >>> model = NarrowModel(nn.Identity(), layer, FixedHead(2), ("dog", "cat"))
            >>> model.why_not(Reading(torch.tensor([[0.9, 0.3]])), "cat").known
            {'barks': 0.0}
        """
        from narrows import explain

        return explain.why_not(self, x_or_reading, label)

    def split(self) -> tuple[Sender, Receiver]:
        """Cut between read and write; the halves share this model's parameters."""
        return Sender(self.encoder, self.bottleneck), Receiver(self.bottleneck, self.head)

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:
        """Write `model.safetensors`, `config.json` and a model card; never pickle.

        Args:
            folder: made if missing; earlier files are replaced only once the new are verified.
            extra: JSON values kept beside the model's own configuration.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"format": FORMAT, "narrows": narrows.__version__, **self.describe(), **extra}
        # The weights carry the configuration's digest, so a pair that does not belong together
        # is refused on load.
        store.save(
            folder / "model.safetensors", self.state_dict(), {"config": store.digest(config)}
        )
        store.write_json(folder / "config.json", config)
        store.write_text(folder / "README.md", _card(config))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        encoder: nn.Module | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load a saved model onto the CPU.

        Args:
            folder: a local folder, or a hub id when `revision` is given (only then is the
                network used).
            encoder: the user's own encoder, where the model was saved with one.
            revision: the pinned hub revision to download.

        Raises:
            FileRefused: damaged, altered or foreign files.
        """
        model, _ = load_pretrained(folder, encoder=encoder, revision=revision)
        return cls(model.encoder, model.bottleneck, model.head, model.classes, model.input_shape)

    def push_to_hub(self, repo_id: str, *, private: bool = True, token: str | None = None) -> str:
        """Upload the saved model to the Hugging Face hub and return its address."""
        import tempfile

        api = require("huggingface_hub", "hub").HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            api.create_repo(repo_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder))

    def describe(self) -> dict[str, Any]:
        """The JSON description of the three parts, the classes and the input."""
        parts = {
            name: part.describe()
            if isinstance(part, Blueprint)
            else {"type": "external", "class": type(part).__qualname__}
            for name, part in self.named_children()
        }
        shape = None if self.input_shape is None else list(self.input_shape)
        return {**parts, "classes": list(self.classes), "input_shape": shape}

    def _input(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise wrong_type("x", type(x).__name__, "a tensor")
        if x.is_complex():
            raise wrong_type("x", f"dtype {x.dtype}", "real numbers")
        if self.input_shape is not None and tuple(x.shape[1:]) != self.input_shape:
            wanted = ", ".join(("batch", *map(str, self.input_shape)))
            raise wrong("x", f"shape {tuple(x.shape)}", f"shape ({wanted})")
        parameter = next(self.parameters(), None)
        return x.to(torch.get_default_dtype() if parameter is None else parameter.dtype)


def load_pretrained(
    folder: str | Path, *, encoder: nn.Module | None = None, revision: str | None = None
) -> tuple[NarrowModel, Mapping[str, Any]]:
    """Load a model and its whole configuration; see `NarrowModel.from_pretrained`."""
    if revision is not None:
        folder = require("huggingface_hub", "hub").snapshot_download(
            str(folder), revision=revision, allow_patterns=["*.safetensors", "*.json", "README.md"]
        )
    folder = Path(folder)
    if not folder.is_dir():
        raise store.FileMissing(
            f"{folder}: no such folder; to download a hub model, pin it: revision='...'"
        )
    # Types are known once their file is imported; those of the rooms, which stand above this
    # file, are looked up by name.
    importlib.import_module("narrows.registry").methods()
    config = store.read_json(folder / "config.json")
    tensors, metadata = store.load(folder / "model.safetensors")
    _check_config(config, metadata)
    model = NarrowModel(
        build(config["encoder"], encoder),
        build(config["bottleneck"]),  # type: ignore[arg-type]  # checked by its type name
        build(config["head"]),
        config["classes"],
        config["input_shape"],
    )
    _load_state(model, tensors)
    return model.eval(), config


def _check_config(config: Any, metadata: Mapping[str, Any]) -> None:
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise FileRefused("config.json: found no format number, wanted a Narrows configuration")
    if config["format"] > FORMAT:
        raise FileRefused(
            f"config.json: found format {config['format']}, wanted at most {FORMAT}; "
            "it was written by a newer version: pip install --upgrade narrows"
        )
    if metadata.get("config") != store.digest(config):
        raise FileRefused("config.json: it does not belong to model.safetensors or was altered")


def _load_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    if missing := sorted(own.keys() - tensors.keys()):
        raise FileRefused(f"model.safetensors: {missing[0]!r} is missing")
    if extra := sorted(tensors.keys() - own.keys()):
        raise FileRefused(f"model.safetensors: {extra[0]!r} belongs to no part of the model")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            found, wanted = tuple(tensor.shape), tuple(own[name].shape)
            raise FileRefused(f"model.safetensors: {name}: found shape {found}, wanted {wanted}")
    try:
        store.check_finite(tensors)
    except InvalidInput as error:
        raise FileRefused(f"model.safetensors: {error}") from error
    model.load_state_dict(dict(tensors))


def _card(config: Mapping[str, Any]) -> str:
    bottleneck, size = config["bottleneck"], config["input_shape"]
    method = config.get("method", {}).get("name", "a NarrowModel")
    lines = [
        "---",
        "library_name: narrows",
        "---",
        f"# {method}",
        "",
        f"- bottleneck: {bottleneck['type']}",
        f"- classes: {len(config['classes'])}",
    ]
    if size:
        lines.append(f"- input: {' x '.join(map(str, size))} ({math.prod(size)} numbers)")
    for name, value in config.get("metrics", {}).items():
        lines.append(f"- {name}: {value}")
    return "\n".join([*lines, "", "Load it with `narrows.from_pretrained(folder)`.", ""])
