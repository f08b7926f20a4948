"""Card fraud for tensorflow_datasets: import this, and `tfds.load("card_fraud")` works."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from tfp_genens.data.card_fraud import splits
from tfp_genens.data.card_fraud.splits import FRAUD, NAME, NORMAL
from tfp_genens.seeds import numpy_generator

FILE = "creditcard.csv"
FEATURES = ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")
CLASS = "Class"

_DESCRIPTION = """\
Card payments of two days of September 2013 in Europe, 492 of them frauds: the time since the first
in seconds, 28 principal components of what is not public, and the amount in euros. The splits
`normal` and `fraud` hold each class in a random order, without which slices would be hours.
"""

_CITATION = """\
@inproceedings{dalpozzolo2015calibrating,
  title={Calibrating Probability with Undersampling for Unbalanced Classification},
  author={Dal Pozzolo, Andrea and Caelen, Olivier and Johnson, Reid A. and Bontempi, Gianluca},
  booktitle={IEEE Symposium Series on Computational Intelligence},
  year={2015}
}
"""


class CardFraud(tfds.core.GeneratorBasedBuilder):
    """Kaggle's card payments, from the file that the user has put into the manual directory.

    Features are in raw units, in the file's order; `row` is the row of the file, from 0.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}  # noqa: RUF012 (the base class's own form)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""\
    Make a folder {NAME}/ there and put into it {FILE}, unpacked, from
    https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud (free, with an account).
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "features": tfds.features.Tensor(shape=(len(FEATURES),), dtype=np.float32),
                    "label": tfds.features.ClassLabel(names=[NORMAL, FRAUD]),
                    "row": np.int64,
                }
            ),
            supervised_keys=("features", "label"),
            homepage="https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud",
            citation=_CITATION,
            metadata=tfds.core.MetadataDict(feature_names=list(FEATURES), source=FILE),
            disable_shuffling=True,  # the order is what makes the splits
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        frame = _read(dl_manager.manual_dir / NAME / FILE)
        return {
            name: self._generate_examples(frame[frame[CLASS] == label], label, splits.bounds(name))
            for label, name in enumerate((NORMAL, FRAUD))
        }

    def _generate_examples(
        self, frame: pd.DataFrame, label: int, bounds: tuple[int, ...]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows of one class; keys are positions."""
        features = frame[list(FEATURES)].astype(np.float32)
        groups = features.groupby(list(FEATURES), sort=False).ngroup().to_numpy()
        values = features.to_numpy()
        order = splits.arrange(groups, bounds, numpy_generator(0, NAME, label))
        for i, at in enumerate(order):
            row = int(frame.index[at])
            yield i, {"features": values[at], "label": label, "row": row}


def _read(path) -> pd.DataFrame:
    """The file as it came; raises ValueError where it is not the table that it should be."""
    if not path.exists():
        raise FileNotFoundError(f"{path.parent} must hold {path.name}")
    frame = pd.read_csv(path, float_precision="round_trip")
    if tuple(frame.columns) != (*FEATURES, CLASS):
        raise ValueError(f"{path} must have the columns Time, V1, ..., V28, Amount, Class")
    expected, found = (splits.NUM_ROWS, splits.NUM_FRAUDS), (len(frame), (frame[CLASS] == 1).sum())
    if found != expected:
        raise ValueError(
            f"{path} must have {expected[0]:,} rows, {expected[1]:,} of them frauds; "
            f"it has {found[0]:,} and {found[1]:,}"
        )
    if not np.isfinite(frame.to_numpy(np.float64)).all() or not frame[CLASS].isin((0, 1)).all():
        raise ValueError(f"{path} must hold finite numbers, and 0 or 1 as {CLASS}")
    return frame
