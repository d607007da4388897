"""A concept bank: a hyperplane a concept, in the feature space of one backbone.

From labelled examples (concept activation vectors), from the text embeddings of an encoder that
has one space for both (the vector is the text's, the hyperplane goes through zero), or random:
the row every table of concepts needs, since at many concepts random vectors do nearly as well.

Differences from the code published with post-hoc concept bottlenecks (arXiv 2205.15480): too few
examples are refused, where it draws with replacement and so validates on training rows; text
banks scale the features to unit length as they do the texts, so that distances do not grow with
a picture's norm (`unit_norm=False` leaves them alone); the file is safetensors, not a pickle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from narrows import store
from narrows.bottleneck import check_units
from narrows.concepts.post_hoc.bank_fit import Fitted, Recipe, fit_bank, fit_sets
from narrows.errors import FileRefused, unknown, wrong
from narrows.functional.cav import signed_distances

_FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ConceptBank:
    """Named hyperplanes.

    Attributes:
        names: one a concept; with their order they are part of the bank.
        vectors: `(k, D)` finite, none zero.
        biases: `(k,)`.
        unit_norm: whether features are scaled to unit length before they are compared.
        facts: `(k,)` each: accuracies and margins of the fit, where there was one.

    Raises:
        InvalidInput: no names or one twice, a vector that is zero or not finite, shapes that
            do not match.

    Example:
        >>> bank = ConceptBank(("furry", "loud"), torch.eye(2), torch.zeros(2))
        >>> bank.distances(torch.tensor([[3.0, -1.0]])).tolist()
        [[3.0, -1.0]]
    """

    names: tuple[str, ...]
    vectors: Tensor
    biases: Tensor
    unit_norm: bool = False
    facts: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        check_units(self.names, ())
        _check_matrix("vectors", self.vectors, len(self.names))
        if self.biases.shape != (len(self),) or not torch.isfinite(self.biases).all():
            found = f"shape {tuple(self.biases.shape)} or a value that is not finite"
            raise wrong("biases", found, f"{len(self)} finite numbers")
        zero = self.vectors.norm(dim=1) == 0
        if zero.any():
            name = self.names[int(zero.nonzero()[0])]
            raise wrong("vectors", f"a vector of length 0 for {name!r}", "directions")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ConceptBank({len(self)} concepts, {self.features} features, {self.digest[:12]})"

    @property
    def features(self) -> int:
        """How wide the backbone's features must be."""
        return self.vectors.shape[1]

    @property
    def digest(self) -> str:
        """SHA-256 of names, numbers and settings."""
        return store.fingerprint(*self._contents())

    def distances(self, h: Tensor) -> Tensor:
        """Signed distance of each row `(*batch, D)` to each concept's hyperplane, `(*batch, k)`."""
        self.check(h.shape[-1])
        h = torch.nn.functional.normalize(h, dim=-1) if self.unit_norm else h
        return signed_distances(h, self.vectors.to(h), self.biases.to(h))

    def check(self, features: int) -> None:
        """Refuse features of another width.

        Raises:
            InvalidInput: they are not this bank's.
        """
        if features != self.features:
            raise wrong(
                "features",
                f"{features} of them from the backbone",
                f"{self.features}: the bank was made in another backbone's space",
            )

    def take(self, names: Sequence[str]) -> Self:
        """Some of the concepts, in this order."""
        place = {name: i for i, name in enumerate(self.names)}
        for name in names:
            if name not in place:
                raise unknown("concept", name, self.names)
        rows = torch.tensor([place[name] for name in names], dtype=torch.long)
        facts = {key: values[rows] for key, values in self.facts.items()}
        vectors, biases = self.vectors[rows], self.biases[rows]
        return dataclasses.replace(
            self, names=tuple(names), vectors=vectors, biases=biases, facts=facts
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file that proves itself by a digest."""
        store.save(path, *self._contents())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a bank that `save` wrote.

        Raises:
            FileRefused: a damaged file, a pickle, or no bank.
        """
        tensors, notes = store.load(path)
        parts = dict(tensors)
        names, facts = notes.get("names"), notes.get("facts")
        if notes.get("bank") != _FORMAT or not isinstance(names, list) or facts is None:
            raise FileRefused(
                f"{path}: found no concept bank, wanted one that ConceptBank.save wrote"
            )
        try:
            vectors, biases = parts.pop("vectors"), parts.pop("biases")
            kept = {name: parts[f"fact {i}"] for i, name in enumerate(facts)}
            return cls(tuple(names), vectors, biases, bool(notes["unit_norm"]), kept)
        except (KeyError, TypeError, ValueError) as error:
            raise FileRefused(f"{path}: a damaged concept bank: {error}") from error

    def _contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"vectors": self.vectors, "biases": self.biases}
        tensors |= {f"fact {i}": values for i, values in enumerate(self.facts.values())}
        notes = {"bank": _FORMAT, "names": list(self.names), "facts": list(self.facts)}
        return tensors, notes | {"unit_norm": self.unit_norm}

    @classmethod
    def from_labels(
        cls,
        h: Tensor,
        c: Tensor,
        names: Sequence[str],
        *,
        kind: str = "svm",
        cost: float | None = None,
        held: tuple[Tensor, Tensor] | None = None,
        unit_norm: bool = False,
    ) -> Self:
        """Fit a direction a concept to labelled rows.

        Args:
            h: `(N, D)` features.
            c: `(N, k)` labels in [0, 1], NaN where unknown.
            names: one a concept.
            kind: see `functional.cav.fit_directions`.
            cost: C of logistic, squared-hinge and svm. None chooses for each concept the one of
                .001, .01, .1, 1 and 10 that is right most often on the held rows (the smaller
                of equals), or takes 0.1 where there are none.
            held: features and labels of further rows.
            unit_norm: whether to scale features to unit length first.

        Raises:
            InvalidInput: fewer than two examples of either kind for a concept, or features that
                do not tell them apart.
        """
        recipe = Recipe(kind, cost, unit_norm)
        return cls._of(tuple(names), fit_bank((h, c), names, recipe, held), unit_norm)

    @classmethod
    def from_examples(
        cls,
        sets: Mapping[str, tuple[Any, Any]],
        embed: Callable[[Any], Tensor] | None = None,
        *,
        kind: str = "svm",
        cost: float | None = None,
        held: float = 0.5,
        unit_norm: bool = False,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Fit each concept to a set of its own: examples that show it, and others.

        Args:
            sets: name to positive and negative examples, `(n, D)` features, or whatever `embed`
                takes.
            embed: the backbone, from examples to features `(n, D)`; None for features.
            kind: see `functional.cav.fit_directions`; `svm` is the paper's.
            cost: see `from_labels`.
            held: the share of each kind set aside to choose C by and to report accuracy on; the
                paper's 50 + 50 of 100 + 100 is a half. 0 fits on all.
            unit_norm: whether to scale features to unit length first.
            generator: draws which are set aside; None takes the last of each kind.

        Raises:
            InvalidInput: too few examples, by concept; widths that differ.

        Example:
            >>> source = torch.Generator().manual_seed(0)
            >>> near = lambda *at: torch.tensor(at) + 0.1 * torch.randn(8, 2, generator=source)
            >>> bank = ConceptBank.from_examples({"right": (near(1.0, 0.0), near(-1.0, 0.0))})
            >>> bank.facts["held accuracy"].tolist()
            [1.0]
        """
        fitted = fit_sets(sets, embed, Recipe(kind, cost, unit_norm), held, generator)
        return cls._of(tuple(sets), fitted, unit_norm)

    @classmethod
    def _of(cls, names: tuple[str, ...], fitted: Fitted, unit_norm: bool) -> Self:
        return cls(names, fitted.vectors, fitted.biases, unit_norm, fitted.facts)

    @classmethod
    def from_text(
        cls,
        names: Sequence[str],
        texts: Tensor | Callable[[list[str]], Tensor],
        *,
        unit_norm: bool = True,
    ) -> Self:
        """Take the concepts' text embeddings as directions, scaled to unit length.

        Args:
            names: the texts.
            texts: their embeddings `(k, D)`, or the encoder that makes them of the names.
            unit_norm: whether features are scaled to unit length too, as cosines want.

        Raises:
            InvalidInput: duplicated names, zero or non-finite embeddings, another number of them.

        Example:
            >>> ConceptBank.from_text(["red"], torch.tensor([[0.0, 5.0]])).vectors
            tensor([[0., 1.]])
        """
        check_units(tuple(names), ())
        vectors = texts if isinstance(texts, Tensor) else torch.as_tensor(texts(list(names)))
        _check_matrix("texts", vectors, len(names))
        vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
        return cls(tuple(names), vectors, vectors.new_zeros(len(vectors)), unit_norm)

    @classmethod
    def random(cls, concepts: int, features: int, generator: torch.Generator) -> Self:
        """Random unit vectors: what any bank must beat.

        Example:
            >>> ConceptBank.random(2, 3, torch.Generator().manual_seed(0)).names
            ('random 0', 'random 1')
        """
        drawn = torch.randn(concepts, features, generator=generator)
        names = tuple(f"random {i}" for i in range(concepts))
        return cls(names, torch.nn.functional.normalize(drawn, dim=1), torch.zeros(concepts))


def _check_matrix(argument: str, vectors: Tensor, rows: int) -> None:
    if vectors.ndim != 2 or len(vectors) != rows or not vectors.shape[1]:
        found = f"shape {tuple(vectors.shape)}"
        raise wrong(argument, found, f"shape ({rows}, features): one row a name")
    if not torch.isfinite(vectors).all():
        raise wrong(argument, "a value that is NaN or infinite", "finite vectors")
