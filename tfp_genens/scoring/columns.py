"""How scores are laid out in tables, and what a score file says of itself."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.scoring.combine import available_scores

METADATA_KEY = b"tfp_genens"
SCHEMA_VERSION = 1
EXAMPLE_ID = "example_id"
P_VALUE = "p_value"
IS_OUTLIER = "is_outlier"


def member_column(output: str, member: int) -> str:
    return f"{output}_member_{member}"


def score_schema(
    outputs: dict[str, OutputSpec],
    members: Sequence[int],
    *,
    train_dataset: str,
    source: str,
    decision_score: str | None,
) -> pa.Schema:
    """The columns of a score table: example_id, members' scores, ensemble scores, the verdict."""
    ensemble_scores = available_scores(outputs)
    fields = [pa.field(EXAMPLE_ID, pa.string())]
    for output in outputs:
        fields += [pa.field(member_column(output, i), pa.float64()) for i in members]
    fields += [pa.field(name, pa.float64()) for name in ensemble_scores]
    if decision_score is not None:
        fields += [pa.field(P_VALUE, pa.float64()), pa.field(IS_OUTLIER, pa.bool_())]
    about = {
        "schema_version": SCHEMA_VERSION,
        "num_members": len(members),
        "members": list(members),
        "train_dataset": train_dataset,
        "source": source,
        "decision_score": decision_score,
        "member_scores": {
            name: {"unit": spec.unit, "direction": spec.direction} for name, spec in outputs.items()
        },
        "ensemble_scores": {
            name: {"unit": s.spec.unit, "direction": s.spec.direction, "of": s.of}
            for name, s in ensemble_scores.items()
        },
    }
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(about).encode()})


@dataclasses.dataclass(frozen=True)
class ScoreFile:
    """A score table and what it says of itself.

    Attributes:
      frame: one row an input.
      members: the members' numbers, as in the column names.
      member_scores: output name -> unit and direction.
      ensemble_scores: score name -> unit and direction.
      train_dataset: what the members were trained on.
      source: the SPEC of the inputs.
      about: all of the file's own description.
    """

    frame: pd.DataFrame
    members: tuple[int, ...]
    member_scores: dict[str, OutputSpec]
    ensemble_scores: dict[str, OutputSpec]
    train_dataset: str
    source: str
    about: dict[str, Any]

    @property
    def num_members(self) -> int:
        return len(self.members)


def read_scores(path: str | os.PathLike) -> ScoreFile:
    """Reads a Parquet file that `score` or `evaluate` wrote.

    Raises:
      UserError: it is none.
    """
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except (OSError, pa.ArrowInvalid, KeyError) as e:
        raise UserError(str(path), "a Parquet file of scores", str(e)) from e
    if about["schema_version"] != SCHEMA_VERSION:
        raise UserError(str(path), f"schema_version {SCHEMA_VERSION}", str(about["schema_version"]))
    return ScoreFile(
        frame=table.to_pandas(),
        members=tuple(about["members"]),
        member_scores={k: OutputSpec.from_json(v) for k, v in about["member_scores"].items()},
        ensemble_scores={k: OutputSpec.from_json(v) for k, v in about["ensemble_scores"].items()},
        train_dataset=about["train_dataset"],
        source=about["source"],
        about=about,
    )
