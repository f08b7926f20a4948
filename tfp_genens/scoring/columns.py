"""How scores are laid out in tables, and what a score file says of itself."""

import dataclasses
import json
import os
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError

METADATA_KEY = b"tfp_genens"
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
EXAMPLE_ID = "example_id"
P_VALUE = "p_value"
IS_OUTLIER = "is_outlier"


def member_column(output: str, member: int) -> str:
    return f"{output}_member_{member}"


@dataclasses.dataclass(frozen=True)
class ScoreFile:
    """A score table and what it says of itself.

    Attributes:
      frame: one row an input.
      members: the members' numbers, as in the column names.
      member_scores: output name -> what it is.
      ensemble_scores: score name -> what it is.
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

    @property
    def decision_score(self) -> str | None:
        """The ensemble score behind p_value; None where there is none."""
        return self.about["decision_score"]

    def inputs_of(self, score: str) -> tuple[str, ...]:
        """The member outputs that an ensemble score is made of."""
        described = self.about["ensemble_scores"][score]
        return tuple(described["inputs"] if "inputs" in described else [described["of"]])


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
    if about["schema_version"] not in READABLE_VERSIONS:
        expected = f"schema_version {' or '.join(map(str, READABLE_VERSIONS))}"
        raise UserError(str(path), expected, str(about["schema_version"]))
    return ScoreFile(
        frame=table.to_pandas(),
        members=tuple(about["members"]),
        member_scores={k: OutputSpec.from_json(v) for k, v in about["member_scores"].items()},
        ensemble_scores={k: OutputSpec.from_json(v) for k, v in about["ensemble_scores"].items()},
        train_dataset=about["train_dataset"],
        source=about["source"],
        about=about,
    )
