"""Scoring a stream of inputs: batch by batch through every member, memory bounded by a batch."""

import json
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from tfp_genens.data import Source
from tfp_genens.scoring.calibration import DEFAULT_ALPHA
from tfp_genens.scoring.columns import (
    EXAMPLE_ID,
    IS_OUTLIER,
    METADATA_KEY,
    P_VALUE,
    SCHEMA_VERSION,
    member_column,
)
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.writers import open_writer


def chosen_outputs(ensemble: Ensemble, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """The scores asked for, or all member outputs; raises UserError for one that is not there."""
    names = tuple(ensemble.outputs) if outputs is None else tuple(outputs)
    ensemble.signature_for(names)
    return names


def table_schema(ensemble: Ensemble, source: Source, names: Sequence[str]) -> pa.Schema:
    """The columns of a score table: example_id, members' scores, ensemble scores, the verdict.

    Ensemble scores are those asked for, those of the member outputs asked for, and the one that
    decides. What the columns are stands in the schema's metadata, see `columns.ScoreFile`.
    """
    decision_score = ensemble.decision_score(names)
    signature = ensemble.signature_for(names)
    specs = ensemble.specs(signature, "member_scores")
    inputs_of = ensemble.inputs_of(signature)
    outputs = [name for name in names if name in specs]
    scores = {
        name: spec
        for name, spec in ensemble.specs(signature, "ensemble_scores").items()
        if name in (decision_score, *names) or set(inputs_of[name]) <= set(outputs)
    }
    columns = [member_column(output, i) for output in outputs for i in ensemble.members]
    fields = [pa.field(EXAMPLE_ID, pa.string())]
    fields += [pa.field(name, pa.float64()) for name in (*columns, *scores)]
    if decision_score is not None:
        fields += [pa.field(P_VALUE, pa.float64()), pa.field(IS_OUTLIER, pa.bool_())]
    about = {
        "schema_version": SCHEMA_VERSION,
        "model": ensemble.model,
        "num_members": ensemble.num_members,
        "members": list(ensemble.members),
        "train_dataset": ensemble.train_dataset,
        "source": source.name,
        "decision_score": decision_score,
        "member_scores": {name: specs[name].to_json() for name in outputs},
        "ensemble_scores": {
            name: spec.to_json() | {"inputs": list(inputs_of[name])}
            for name, spec in scores.items()
        },
    }
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(about).encode()})


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
      outputs: member outputs or ensemble scores; all where None.
      alpha: is_outlier is p_value <= alpha.

    Yields:
      One table a batch, one row an input; see `table_schema`.
    """
    names = chosen_outputs(ensemble, outputs)
    schema = table_schema(ensemble, source, names)
    of_members = set(names) & set(ensemble.specs(ensemble.signature_for(names), "member_scores"))
    for batch in source.batches(batch_size):
        scores = ensemble.score(batch.values, names)
        if P_VALUE in scores:
            scores[IS_OUTLIER] = scores[P_VALUE] <= alpha
        columns = {EXAMPLE_ID: list(batch.example_ids), **scores}
        for name in of_members:
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
