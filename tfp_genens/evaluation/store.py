"""An evaluation's scored sets on disk, and when they may be used again.

O/scores/NAME.parquet     scores, as `python -m tfp_genens.score` writes them
O/scores/NAME.json        written last: what the scores were made from (its key), and the
                          SHA-256 of both files. Absent or different: scored again.
O/examples/NAME.npz       a few inputs of the set: the first ones with their reconstructions,
                          and the least and the most normal ones by the ranking score
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tfp_genens import __version__
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.data.sources import Batch, Source
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.evaluation.rows import ranking_score
from tfp_genens.files import atomic_path, read_json, sha256_of_file, write_json
from tfp_genens.scoring.columns import EXAMPLE_ID, ScoreFile, read_scores
from tfp_genens.scoring.stream import score_to_file

NUM_FIRST = 12


def safe_name(name: str) -> str:
    """A file name for a set: itself where possible, else its readable part and a hash of it all."""
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60]
    if clean == name and name != results.IN_DISTRIBUTION:
        return name
    return f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def fingerprint(source: Source, batch_size: int) -> str:
    """SHA-256 over ids and values of all inputs; the same for any batch size."""
    ids, values, dtype = hashlib.sha256(), hashlib.sha256(), ""
    for batch in source.batches(batch_size):
        for example_id in batch.example_ids:
            ids.update(example_id.encode() + b"\0")
        values.update(np.ascontiguousarray(batch.values).tobytes())
        dtype = str(batch.values.dtype)
    text = f"{ids.hexdigest()} {values.hexdigest()} {dtype} {source.shape}"
    return hashlib.sha256(text.encode()).hexdigest()


def make_key(manifests: Sequence[Mapping[str, Any]], **settings: Any) -> str:
    """Stands for everything that the scores of a set depend on."""
    document = {"version": __version__, "manifests": list(manifests), **settings}
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class ScoredSet:
    """A set whose scores are on disk.

    Attributes:
      scores: the score file, read.
      was_reused: the files were there already.
      seconds: spent on scoring.
    """

    scores: ScoreFile
    was_reused: bool
    seconds: float


class Store:
    """The scored sets of one output directory."""

    def __init__(self, output_dir: Path):
        self._output_dir = output_dir

    def scored(
        self,
        name: str,
        key: str,
        ensemble: Any,
        source: Source,
        *,
        batch_size: int,
        outputs: Sequence[str] | None,
    ) -> ScoredSet:
        """Scores a set, unless its files are there and were made from the same things.

        Args:
          name: file name without suffix.
          key: see `make_key`.
          ensemble: the frozen members.
          source: the inputs, at most as many as memory holds: they are kept until the examples
            for the figures are chosen.
          batch_size: inputs scored at once.
          outputs: model outputs to compute; None: all.

        Raises:
          UserError: an input is not valid; no file of this set is left then.
        """
        scores_path = results.scores_path(self._output_dir, name)
        examples_path = results.examples_path(self._output_dir, name)
        record_path = scores_path.with_suffix(".json")
        if _is_current(record_path, key, scores_path, examples_path):
            return ScoredSet(read_scores(scores_path), True, 0.0)
        start = time.monotonic()
        for path in (record_path, scores_path, examples_path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        watched = _Watched(source)
        with watched.progress(f"scoring {source.name}"):
            score_to_file(
                ensemble,
                watched.source,
                scores_path,
                batch_size=batch_size,
                outputs=outputs,
                argument="--output_dir",
            )
        scores = read_scores(scores_path)
        _write_examples(examples_path, scores, ensemble, *watched.inputs())
        write_json(
            record_path,
            {
                "key": key,
                "source": source.name,
                "scores_sha256": sha256_of_file(scores_path),
                "examples_sha256": sha256_of_file(examples_path),
            },
        )
        return ScoredSet(scores, False, time.monotonic() - start)


def _is_current(record_path: Path, key: str, scores_path: Path, examples_path: Path) -> bool:
    try:
        record = read_json(record_path, "--output_dir")
        return (
            record.get("key") == key
            and record.get("scores_sha256") == sha256_of_file(scores_path)
            and record.get("examples_sha256") == sha256_of_file(examples_path)
        )
    except (OSError, UserError):
        return False


def _write_examples(
    path: Path,
    scores: ScoreFile,
    ensemble: Any,
    example_ids: Sequence[str],
    values: np.ndarray,
) -> None:
    if list(scores.frame[EXAMPLE_ID]) != list(example_ids):
        raise ValueError("The scores' example_id must be the inputs', in the same order.")
    arrays = {"first": values[:NUM_FIRST]}
    if "reconstruct" in getattr(ensemble, "functions", ()):
        arrays["reconstructions"] = np.asarray(ensemble.reconstruct(values[:NUM_FIRST]))
    score = ranking_score(scores)
    if score is not None:
        ranked = scores.frame[score].to_numpy(np.float64)
        sign = 1.0 if scores.ensemble_scores[score].direction == HIGHER_IS_NORMAL else -1.0
        # NaN sorts last at both ends: it is neither.
        for end, sign_at_end in (("least", sign), ("most", -sign)):
            chosen = np.argsort(sign_at_end * ranked, kind="stable")[: results.NUM_EXTREME]
            arrays[f"{end}_normal"] = values[chosen]
            arrays[f"{end}_normal_score"] = ranked[chosen]
    write_arrays(path, arrays)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = dict(arrays)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **content)


class _Watched:
    """A source that shows progress and remembers what was read from it."""

    def __init__(self, source: Source):
        self._source = source
        self.source = dataclasses.replace(source, read=self._read)
        self._batches: list[Batch] = []
        self._bar: tqdm | None = None

    def _read(self, batch_size: int) -> Iterator[Batch]:
        self._batches = []
        for batch in self._source.batches(batch_size):
            self._batches.append(batch)
            yield batch
            if self._bar is not None:
                self._bar.update(len(batch.example_ids))

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[None]:
        """A bar on a terminal; nothing elsewhere."""
        with tqdm(
            total=self._source.num_examples, desc=label, unit=" inputs", leave=False, disable=None
        ) as self._bar:
            yield

    def inputs(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Ids and values [num_inputs, *shape] of all that was read."""
        example_ids = tuple(i for batch in self._batches for i in batch.example_ids)
        return example_ids, np.concatenate([batch.values for batch in self._batches])
