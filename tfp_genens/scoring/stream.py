"""Scoring a stream of inputs: batch by batch through every member, memory bounded by a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tfp_genens.data import Source
from tfp_genens.errors import UserError
from tfp_genens.scoring.columns import EXAMPLE_ID, IS_OUTLIER, P_VALUE, member_column, score_schema
from tfp_genens.scoring.combine import combine
from tfp_genens.scoring.ensemble import DEFAULT_ALPHA, Ensemble
from tfp_genens.scoring.writers import open_writer


def table_schema(ensemble: Ensemble, source: Source, outputs: Sequence[str]) -> pa.Schema:
    """The schema of the tables that `score_table` yields."""
    calibration = ensemble.calibration(outputs)
    return score_schema(
        {name: ensemble.outputs[name] for name in outputs},
        [member.manifest["member"] for member in ensemble.members],
        train_dataset=ensemble.train_dataset,
        source=source.name,
        decision_score=calibration.score if calibration else None,
    )


def chosen_outputs(ensemble: Ensemble, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """The member outputs asked for, or all; raises UserError for one that the model lacks."""
    names = tuple(ensemble.outputs) if outputs is None else tuple(outputs)
    unknown = [name for name in names if name not in ensemble.outputs]
    if unknown or not names:
        raise UserError("--outputs", "some of " + ", ".join(ensemble.outputs), ", ".join(names))
    return names


def score_table(
    ensemble: Ensemble,
    source: Source,
    *,
    batch_size: int,
    outputs: Sequence[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
) -> Iterator[pa.Table]:
    """Scores a source; every member sees the same inputs in the same order.

    Args:
      ensemble: the frozen members.
      source: the inputs.
      batch_size: inputs scored at once.
      outputs: which member outputs; all where None.
      alpha: is_outlier is p_value <= alpha.

    Yields:
      One table a batch, one row an input; see `columns.score_schema`.
    """
    names = chosen_outputs(ensemble, outputs)
    schema = table_schema(ensemble, source, names)
    calibration = ensemble.calibration(names)
    for batch in source.batches(batch_size):
        scores = ensemble.score(batch.values, names)
        for name, values in scores.items():
            if values.shape != (ensemble.num_members, len(batch.example_ids)):
                raise ValueError(
                    f"`{name}` must have one score a member and example; got {values.shape} for "
                    f"{ensemble.num_members} members and {len(batch.example_ids)} examples."
                )
        columns: dict[str, object] = {EXAMPLE_ID: list(batch.example_ids)}
        for name, values in scores.items():
            for member, row in zip(ensemble.members, values, strict=True):
                columns[member_column(name, member.manifest["member"])] = row
        combined = combine(scores)
        columns |= combined
        if calibration is not None:
            p_value = calibration.p_value(combined[calibration.score])
            columns |= {P_VALUE: p_value, IS_OUTLIER: np.less_equal(p_value, alpha)}
        yield pa.table(columns, schema=schema)


def score_to_file(
    ensemble: Ensemble,
    source: Source,
    path: str | os.PathLike,
    *,
    batch_size: int,
    outputs: Sequence[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
    argument: str = "--output",
) -> int:
    """Scores a source into a .parquet, .csv or .jsonl file, which appears only when complete.

    Returns:
      The number of inputs scored.
    """
    names = chosen_outputs(ensemble, outputs)
    schema = table_schema(ensemble, source, names)
    num_rows = 0
    with open_writer(path, schema, argument) as write:
        for table in score_table(
            ensemble, source, batch_size=batch_size, outputs=names, alpha=alpha
        ):
            write(table)
            num_rows += table.num_rows
    return num_rows
