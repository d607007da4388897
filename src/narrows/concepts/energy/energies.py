"""The three energies of an energy-based concept bottleneck (Xu, Qin, Mi, Wang, Li; ICLR 2024).

arXiv 2401.14142. Low energy means that input x, concepts c and label y go together. With features
z of x, class embeddings u_l, concept embeddings v_k^(0), v_k^(1) and unit vectors under a hat:

    class     E_class(x, y)    = w_a . ReLU(a * u^_y + a),          a = dropout(A z)
    concept   E_k(x, c_k)      = w_k . ReLU(h * v^_k^(c_k) + h),    h = dropout(B z)
    global    E_glob(c, y)     = w_g . ReLU(p * u^_y + p),          p = sum_k D_k v_k^(c_k)

No entry of a unit vector is below -1, so `1 + u^` is never negative and
`ReLU(a * u^ + a) = (1 + u^) * ReLU(a)`: each energy is linear in the embedding. All classes,
concepts and both values of each concept then cost one matrix product. The parts
`w_a . ReLU(a)` and `w_k . ReLU(h)` are the same for every class or value and are left out.

D has no bias: some embedding of each concept is always present, so D can hold any constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

_NUMBERS = 2**22  # numbers in one piece: 16 MiB of float32


@dataclass(frozen=True)
class InputEnergies:
    """What the input alone says.

    Attributes:
        classes: `(n, classes)` energy of each class.
        concepts: `(n, concepts, 2)` energy of each concept being absent, and present.
    """

    classes: Tensor
    concepts: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Tensor) -> Self:
        return type(self)(self.classes[rows], self.concepts[rows])

    @property
    def logits(self) -> Tensor:
        """`(n, concepts)` log odds of each concept given the input: E_k(0) - E_k(1)."""
        return self.concepts[..., 0] - self.concepts[..., 1]


class Energies(nn.Module):
    """The energy networks; `concept_embedding[k, v]` stands for `c_k = v` in all of them.

    Args:
        features: width of the encoder's features.
        concepts: how many.
        classes: how many.
        dims: width of the embeddings.
        dropout: on `a` and `h` while training.

    Example:
        >>> energies = Energies(4, concepts=3, classes=2, dims=8)
        >>> energies.of_input(torch.zeros(5, 4)).concepts.shape
        torch.Size([5, 3, 2])
        >>> energies.joint(torch.ones(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, features: int, concepts: int, classes: int, dims: int, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.class_map = nn.Linear(features, dims)
        self.concept_map = nn.Linear(features, dims)
        self.dropout = nn.Dropout(dropout)
        self.class_embedding = nn.Parameter(torch.randn(classes, dims))
        self.concept_embedding = nn.Parameter(torch.randn(concepts, 2, dims))
        self.class_weight = nn.Parameter(_uniform(dims, fan=dims))
        self.concept_weight = nn.Parameter(_uniform(concepts, dims, fan=dims))
        self.joint_weight = nn.Parameter(_uniform(dims, fan=dims))
        self.mixer = nn.Parameter(_uniform(concepts, dims, dims, fan=concepts * dims))

    def of_input(self, z: Tensor) -> InputEnergies:
        """The class and the concept energies of features `(n, features)`."""
        a, h = (self.dropout(part(z)).relu() for part in (self.class_map, self.concept_map))
        towards = self.concept_weight[:, None] * normalize(self.concept_embedding, dim=-1)
        return InputEnergies(
            (self.class_weight * a) @ self._directions().T,
            (h @ towards.flatten(0, 1).T).unflatten(-1, (-1, 2)),
        )

    def joint(self, c: Tensor) -> Tensor:
        """E_glob of every class `(n, classes)`, for concepts `(n, concepts)` in [0, 1].

        A value between 0 and 1 mixes the two embeddings.
        """
        return self._hidden(c) @ (1 + self._directions()).T

    def joint_of(self, c: Tensor, label: Tensor) -> Tensor:
        """E_glob `(n,)` of one class each, `label` `(n,)` class ids."""
        return (self._hidden(c) * (1 + self._directions())[label]).sum(-1)

    def odds(self, c: Tensor, label: Tensor) -> Tensor:
        """E_glob with each concept absent minus the same with it present, `(n, concepts)`.

        Memory: pieces of 16 MiB.

        Args:
            c: `(n, concepts)`, where the other concepts stand.
            label: `(n,)` class ids.
        """
        absent, present = self.placed()
        change = present - absent
        start = absent.sum(0) + c @ change
        weight = self.joint_weight * (1 + self._directions())[label]
        rows = max(1, _NUMBERS // max(change.numel(), 1))
        pieces = []
        for p, t, at in zip(start.split(rows), weight.split(rows), c.split(rows), strict=True):
            without = p[:, None] - at[..., None] * change
            gap = without.relu() - (without + change).relu()
            pieces.append((gap * t[:, None]).sum(-1))
        return torch.cat(pieces)

    def shares(self, c: Tensor) -> Tensor:
        """How -E_glob of each class is made of the concepts, `(n, concepts, classes)`.

        `ReLU(p)` is homogeneous, so the part of `p` that a concept puts where `p > 0` is its
        exact share (integrated gradients from embeddings of zero). The sum over concepts is
        -E_glob up to a number that all classes have in common, which decides nothing.
        """
        absent, present = self.placed()
        change = present - absent
        towards = self._directions()
        weight = self.joint_weight * (towards.mean(0) - towards)
        on = (absent.sum(0) + c @ change > 0).to(c.dtype)
        at_rest, moved = (
            (on @ (part[:, None] * weight).flatten(0, 1).T).unflatten(-1, (len(part), -1))
            for part in (absent, change)
        )
        shares: Tensor = at_rest + c[..., None] * moved
        return shares

    def placed(self) -> tuple[Tensor, Tensor]:
        """What each concept adds to `p`, absent and present: `(concepts, dims)` twice."""
        placed = torch.einsum("kvi,kij->vkj", self.concept_embedding, self.mixer)
        return placed[0], placed[1]

    def _directions(self) -> Tensor:
        directions: Tensor = normalize(self.class_embedding, dim=-1)
        return directions

    def _hidden(self, c: Tensor) -> Tensor:
        absent, present = self.placed()
        return self.joint_weight * (absent.sum(0) + c @ (present - absent)).relu()


def _uniform(*shape: int, fan: int) -> Tensor:
    return (2 * torch.rand(*shape) - 1) / math.sqrt(fan)
