"""What all shapes share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Cell = str | float | int | bool | None


class Asked(BaseModel):
    """A request: nothing but the named members, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Given(BaseModel):
    """An answer: it may hold more than what is named here."""

    model_config = ConfigDict(extra="allow")
