"""Where inputs come from and what is done to them before they reach a model."""

from tfp_genens.data.datasets import DATASETS, TrainingData, load_training_data
from tfp_genens.data.ood import OOD_SETS, OodContext, open_ood
from tfp_genens.data.sources import Source, read_all, take
from tfp_genens.data.specs import SCHEMES, open_source

__all__ = [
    "DATASETS",
    "OOD_SETS",
    "SCHEMES",
    "OodContext",
    "Source",
    "TrainingData",
    "load_training_data",
    "open_ood",
    "open_source",
    "read_all",
    "take",
]
