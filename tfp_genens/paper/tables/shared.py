"""What tables share: scores of all sets as arrays, names, and long frames made wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.evaluation.rows import member_values
from tfp_genens.reporting.evaluation_files import Evaluation


def set_labels(evaluation: Evaluation) -> dict[str, str]:
    """What tables call the sets, in-distribution first."""
    return {s.name: s.label for s in (evaluation.in_distribution, *evaluation.ood)}


def values(evaluation: Evaluation, output: str) -> dict[str, np.ndarray]:
    """A member output of all sets, in-distribution first: float64 [num_members, num_inputs]."""
    sets = (evaluation.in_distribution, *evaluation.ood)
    return {s.name: member_values(s.scores, output) for s in sets}


def identity(evaluation: Evaluation, *keys: str) -> dict[str, Any]:
    """What lines of a CSV file begin with: the directory, and these keys of results.json."""
    directory = {"evaluation_dir": str(evaluation.directory)}
    return directory | {key: evaluation.document[key] for key in keys}


def wide(
    long: pd.DataFrame,
    line: str,
    column: str,
    heading: str,
    labels: Mapping[Any, str],
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """A table of texts: lines and columns in the order in which they appear first.

    Args:
      long: with the column "text", and a row a cell; missing cells are left so.
      line: the column of `long` that becomes lines.
      column: the column of `long` that becomes columns.
      heading: of the first column, in which the lines' labels stand.
      labels: of lines and columns; what has none is its own.
      columns: where there may be more than appear.
    """
    texts = long.pivot(index=line, columns=column, values="text")
    texts = texts.reindex(index=long[line].unique(), columns=list(columns) or long[column].unique())
    texts = texts.rename(index=dict(labels), columns=dict(labels))
    texts.insert(0, heading, texts.index)
    return texts
