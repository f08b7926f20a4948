"""SPECs: how a user names where inputs come from, `SCHEME:LOCATION`."""

import dataclasses
from collections.abc import Callable

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data.arrays import open_digits, open_npz
from tfp_genens.data.checks import checked
from tfp_genens.data.images import open_images
from tfp_genens.data.requests import Request
from tfp_genens.data.sources import Source
from tfp_genens.data.tables import open_csv, open_parquet
from tfp_genens.data.tfds_source import open_tfds
from tfp_genens.errors import UserError


@dataclasses.dataclass(frozen=True)
class Scheme:
    """One kind of SPEC: its reader, which raises UserError, and how it is written."""

    open: Callable[[Request], Source]
    form: str


SCHEMES: dict[str, Scheme] = {
    "tfds": Scheme(open_tfds, "tfds:NAME:SPLIT"),
    "npz": Scheme(open_npz, "npz:PATH"),
    "csv": Scheme(open_csv, "csv:PATH"),
    "parquet": Scheme(open_parquet, "parquet:PATH"),
    "images": Scheme(open_images, "images:FOLDER-OR-GLOB"),
    "digits": Scheme(open_digits, "digits:train|test"),
}


def scheme_of(spec: str) -> str | None:
    """The registered scheme of a SPEC; None where it has none."""
    scheme, colon, _ = spec.partition(":")
    return scheme if colon and scheme in SCHEMES else None


def spec_forms() -> str:
    """All forms of SPECs, for error messages."""
    return ", ".join(scheme.form for scheme in SCHEMES.values())


def open_source(
    spec: str,
    input_spec: InputSpec | None,
    *,
    argument: str = "--input",
    data_dir: str | None = None,
) -> Source:
    """Opens a SPEC; what it yields is never empty, finite and of the expected shape.

    Args:
      spec: "SCHEME:LOCATION", see SCHEMES.
      input_spec: what the inputs must be like; None to take the source's natural shape (all numeric
        columns of a table), as for training data.
      argument: the flag that the SPEC came from, for error messages.
      data_dir: where tensorflow_datasets keeps its sets; None for $TFDS_DATA_DIR, else
        ~/tensorflow_datasets.

    Raises:
      UserError: anything wrong with the SPEC or what it names, at once where it can be known
        without reading everything, else from `batches`.
    """
    scheme = scheme_of(spec)
    location = spec.partition(":")[2]
    if scheme is None or not location:
        raise UserError(argument, f"a SPEC: {spec_forms()}", repr(spec))
    request = Request(spec, location, input_spec, argument, data_dir)
    return checked(SCHEMES[scheme].open(request), request)
