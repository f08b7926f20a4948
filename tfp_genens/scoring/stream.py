"""Scoring a stream of inputs: batch by batch through every member, memory bounded by a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from tfp_genens.data import Source
from tfp_genens.errors import UserError
from tfp_genens.scoring.calibration import DEFAULT_ALPHA
from tfp_genens.scoring.columns import (
    EXAMPLE_ID,
    IS_OUTLIER,
    P_VALUE,
    member_column,
    score_schema,
)
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.writers import open_writer


def chosen_outputs(ensemble: Ensemble, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """The member outputs asked for, or all; raises UserError for one that the model lacks."""
    names = tuple(ensemble.outputs) if outputs is None else tuple(outputs)
    unknown = [name for name in names if name not in ensemble.outputs]
    if unknown or not names:
        raise UserError("--outputs", "some of " + ", ".join(ensemble.outputs), ", ".join(names))
    return names


def table_schema(ensemble: Ensemble, source: Source, outputs: Sequence[str]) -> pa.Schema:
    """The schema of the tables that `score_table` yields.

    Ensemble scores are those of the outputs asked for, and the one that decides.
    """
    decision_score = ensemble.decision_score(outputs)
    scores = {
        name: spec
        for name, spec in ensemble.ensemble_scores.items()
        if name == decision_score or set(ensemble.inputs_of(name)) <= set(outputs)
    }
    return score_schema(
        {name: ensemble.outputs[name] for name in outputs},
        scores,
        ensemble.members,
        inputs_of={name: ensemble.inputs_of(name) for name in scores},
        model=ensemble.model,
        train_dataset=ensemble.train_dataset,
        source=source.name,
        decision_score=decision_score,
    )


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
      ensemble: the frozen ensemble.
      source: the inputs.
      batch_size: inputs scored at once.
      outputs: which member outputs; all where None.
      alpha: is_outlier is p_value <= alpha.

    Yields:
      One table a batch, one row an input; see `columns.score_schema`.
    """
    names = chosen_outputs(ensemble, outputs)
    schema = table_schema(ensemble, source, names)
    for batch in source.batches(batch_size):
        scores = ensemble.score(batch.values, names)
        if P_VALUE in scores:
            scores[IS_OUTLIER] = scores[P_VALUE] <= alpha
        columns = {EXAMPLE_ID: list(batch.example_ids), **scores}
        for name in names:
            for member, values in zip(ensemble.members, scores[name].T, strict=True):
                columns[member_column(name, member)] = values
        yield pa.table({field.name: columns[field.name] for field in schema}, schema=schema)


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
