"""What a scheme's reader is told: one SPEC, split into its parts, and what is expected of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.errors import UserError


@dataclasses.dataclass(frozen=True)
class Request:
    """One SPEC to open.

    Attributes:
      spec: as the user wrote it, "scheme:location".
      location: what follows the scheme.
      input_spec: what the inputs must be like; None to take the source's own natural shape.
      argument: the flag that the SPEC came from, for error messages.
      data_dir: where tensorflow_datasets keeps its sets; None for its default.
    """

    spec: str
    location: str
    input_spec: InputSpec | None
    argument: str
    data_dir: str | None

    def error(self, expected: str, got: str) -> UserError:
        return UserError(f"{self.argument}={self.spec}", expected, got)

    def check_shape(self, shape: tuple[int, ...], where: str = "") -> None:
        """Raises UserError where `shape` is not the event shape that is expected."""
        if self.input_spec is not None and tuple(shape) != tuple(self.input_spec.shape):
            raise self.error(
                f"inputs of shape {tuple(self.input_spec.shape)}",
                f"shape {tuple(shape)}" + (f" in {where}" if where else ""),
            )


def listed(names: Iterable[object] | Mapping[str, object], limit: int = 12) -> str:
    """Names for an error message, cut short where there are many: "a, b, c, ... (40 in all)"."""
    texts = [str(name) for name in names]
    cut = f", ... ({len(texts)} in all)" if len(texts) > limit else ""
    return (", ".join(texts[:limit]) or "none") + cut
