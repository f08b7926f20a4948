"""What is trained, as one value."""

import dataclasses
from typing import Any

from tfp_genens.config import FamilyConfig, RunConfig
from tfp_genens.data import TrainingData


@dataclasses.dataclass(frozen=True)
class Run:
    """The common configuration and the model family's own."""

    config: RunConfig
    model_config: FamilyConfig

    def data_of_member(self, data: TrainingData, seed: int) -> TrainingData:
        """What a member trains on, drawn by its seed where it has a sample of its own."""
        return data.bootstrapped(seed) if self.config.bootstrap else data

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary of everything that decides the members' weights."""
        return {**self.config.to_json(), **self.model_config.to_json()}
