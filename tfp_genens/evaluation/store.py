"""An evaluation's scored sets on disk, and when they may be used again.

A set's NAME.json is written last. It holds the key of what the scores were made from, and the
SHA-256 of the files: where it is absent or says otherwise, the set is scored again.
"""

import dataclasses
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tfp_genens import __version__
from tfp_genens.config import EvaluateConfig
from tfp_genens.data.sources import Batch, Source
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows
from tfp_genens.files import atomic_path, read_json, sha256_of_file, write_json
from tfp_genens.scoring.columns import ScoreFile, read_scores
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.stream import score_to_file

NUM_FIRST = 12


def safe_name(name: str) -> str:
    """A file name for a set: itself where possible, else its readable part and a hash of it all."""
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60]
    if clean == name and name != results.IN_DISTRIBUTION:
        return name
    return f"{clean}-{_sha256(name)[:8]}"


def fingerprint(source: Source, batch_size: int) -> str:
    """SHA-256 over ids and values of all inputs; the same for any batch size."""
    ids, values, dtype = hashlib.sha256(), hashlib.sha256(), ""
    for batch in source.batches(batch_size):
        for example_id in batch.example_ids:
            ids.update(example_id.encode() + b"\0")
        values.update(np.ascontiguousarray(batch.values).tobytes())
        dtype = str(batch.values.dtype)
    return _sha256(f"{ids.hexdigest()} {values.hexdigest()} {dtype} {source.shape}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Scores sets into an evaluation's output directory, and says so, one line a set."""

    output_dir: Path
    ensemble: Ensemble
    config: EvaluateConfig

    def scores(self, name: str, source: Source, **inputs: Any) -> ScoreFile:
        """The scores of a set, made now unless they were made from the same things before.

        Args:
          name: file name without suffix.
          source: the inputs, at most as many as memory holds: they are kept until the examples
            for the figures are chosen.
          **inputs: stand for the inputs in the key, beside the source's name.

        Raises:
          UserError: an input is not valid; no file of this set is left then.
        """
        scores_path = results.scores_path(self.output_dir, name)
        examples_path = results.examples_path(self.output_dir, name)
        record_path = scores_path.with_suffix(".json")

        def record() -> dict[str, str]:
            about = {"key": self._key(source, inputs), "source": source.name}
            files = {"scores_sha256": scores_path, "examples_sha256": examples_path}
            return about | {name: sha256_of_file(path) for name, path in files.items()}

        how = "scored already"
        if not _holds(record_path, record):
            start = time.monotonic()
            for path in (record_path, scores_path, examples_path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
            self._score(source, scores_path, examples_path)
            write_json(record_path, record())
            how = f"scored in {time.monotonic() - start:.1f} s"
        scores = read_scores(scores_path)
        print(f"{source.name}: {len(scores.frame):,} inputs {how}", file=sys.stderr)
        return scores

    def _key(self, source: Source, inputs: Mapping[str, Any]) -> str:
        """Stands for everything that the scores of a set depend on."""
        ensemble = self.ensemble
        document = {
            "version": __version__,
            "manifests": [ensemble.manifest["weights_sha256"], *ensemble.manifests],
            "num_examples": self.config.num_examples,
            "outputs": self.config.outputs,
            "source": source.name,
            **inputs,
        }
        return _sha256(json.dumps(document, sort_keys=True, default=str))

    def _score(self, source: Source, scores_path: Path, examples_path: Path) -> None:
        seen: list[Batch] = []
        score_to_file(
            self.ensemble,
            _watched(source, seen),
            scores_path,
            batch_size=self.config.batch_size,
            outputs=self.config.outputs,
            argument="--output_dir",
        )
        values = np.concatenate([batch.values for batch in seen])
        arrays = {"first": values[:NUM_FIRST]}
        if "reconstruct" in self.ensemble.functions:
            arrays["reconstructions"] = np.asarray(self.ensemble.reconstruct(values[:NUM_FIRST]))
        scores = read_scores(scores_path)
        score = rows.ranking_score(scores)
        if score is not None:
            ranked = scores.frame[score].to_numpy(np.float64)
            ends = rows.extremes(ranked, scores.ensemble_scores[score].direction)
            for end, chosen in ends.items():
                arrays |= {end: values[chosen], f"{end}_score": ranked[chosen]}
        write_arrays(examples_path, arrays)


def _holds(record_path: Path, record: Callable[[], Mapping[str, str]]) -> bool:
    try:
        return read_json(record_path, "--output_dir") == record()
    except (OSError, UserError):
        return False


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = dict(arrays)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **content)


def _watched(source: Source, seen: list[Batch]) -> Source:
    """The same source; it shows progress on a terminal and adds what is read to `seen`."""

    def read(batch_size: int) -> Iterator[Batch]:
        style: dict[str, Any] = {"unit": " inputs", "leave": False, "disable": None}
        with tqdm(total=source.num_examples, desc=f"scoring {source.name}", **style) as bar:
            for batch in source.batches(batch_size):
                seen.append(batch)
                yield batch
                bar.update(len(batch))

    return dataclasses.replace(source, read=read)
