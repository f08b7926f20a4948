"""What goes into a model and what comes out of it, as plain data that manifests can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

HIGHER_IS_NORMAL = "higher_is_normal"
LOWER_IS_NORMAL = "lower_is_normal"
DIRECTIONS = (HIGHER_IS_NORMAL, LOWER_IS_NORMAL)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input as people have it, before any preprocessing.

    Attributes:
      shape: event shape, without the batch dimension: (height, width, channels) or (features,).
      dtype: the natural dtype of stored inputs, "uint8" or "float32".
      value_range: smallest and largest valid value, or None where any finite value is valid.
      preprocessing: what the frozen graph does first, in words, e.g. "x / 255".
      feature_names: one name a table column, in order; None for images.
    """

    shape: tuple[int, ...]
    dtype: str
    value_range: tuple[float, float] | None
    preprocessing: str
    feature_names: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> InputSpec:
        def as_tuple(value):
            return None if value is None else tuple(value)

        return cls(
            shape=tuple(int(size) for size in fields["shape"]),
            dtype=fields["dtype"],
            value_range=as_tuple(fields["value_range"]),
            preprocessing=fields["preprocessing"],
            feature_names=as_tuple(fields.get("feature_names")),
        )

    def column_names(self) -> tuple[str, ...]:
        """One name a scalar of the flattened event: how CSV and Parquet files spell an input."""
        if self.feature_names is not None:
            return self.feature_names
        shape = self.shape[:-1] if self.shape[-1] == 1 else self.shape
        return tuple("pixel_" + "_".join(map(str, index)) for index in np.ndindex(*shape))


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """One score: a float vector [batch].

    Attributes:
      unit: "nats", "bits/dim", ...
      direction: HIGHER_IS_NORMAL or LOWER_IS_NORMAL; data, never guessed from a name.
      label: what tables and figures call it, e.g. "log p(x)"; "" for its name.
      main: whether it is among the few that tables show first.
      statistic: whether `scoring.dose` judges inputs by it, together with the others that are.
    """

    unit: str
    direction: str
    label: str = ""
    main: bool = False
    statistic: bool = False

    def __post_init__(self):
        if self.direction not in DIRECTIONS:
            raise ValueError(f"`direction` must be one of {DIRECTIONS}; got {self.direction!r}.")

    def to_json(self) -> dict[str, Any]:
        return {"shape": [None], "dtype": "float32", **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> OutputSpec:
        return cls(
            unit=fields["unit"],
            direction=fields["direction"],
            label=fields.get("label", ""),
            main=fields.get("main", False),
            statistic=fields.get("statistic", False),
        )
