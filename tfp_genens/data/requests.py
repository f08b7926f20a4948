"""What a scheme's reader is told: one SPEC, split into its parts, and what is expected of it."""

import dataclasses
from collections.abc import Iterable

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.errors import UserError


@dataclasses.dataclass(frozen=True)
class Request:
    """One SPEC to open.

    `spec` is "scheme:location", as the user wrote it in the flag `argument`; without an
    `input_spec` the source's own natural shape is taken; tensorflow_datasets keeps its sets in
    `data_dir`.
    """

    spec: str
    location: str
    input_spec: InputSpec | None
    argument: str
    data_dir: str | None

    def error(self, expected: str, got: str) -> UserError:
        return UserError(f"{self.argument}={self.spec}", expected, got)


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Names for an error message, cut short where there are many: "a, b, c, ... (40 in all)"."""
    texts = [str(name) for name in names]
    cut = f", ... ({len(texts)} in all)" if len(texts) > limit else ""
    return (", ".join(texts[:limit]) or "none") + cut
