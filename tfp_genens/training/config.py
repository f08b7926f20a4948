"""What is trained, as one value."""

import dataclasses
from typing import Any

from tfp_genens.config import FamilyConfig, RunConfig


@dataclasses.dataclass(frozen=True)
class Run:
    """The common configuration and the model family's own."""

    config: RunConfig
    model_config: FamilyConfig

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary of everything that decides the members' weights."""
        return {**self.config.to_json(), **self.model_config.to_json()}
