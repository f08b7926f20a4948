"""Score files: every row once and in order, in row groups whose number stays small."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfp_genens.errors import UserError
from tfp_genens.scoring import writers

SCHEMA = pa.schema([("example_id", pa.string()), ("waic", pa.float64())], metadata={"k": "v"})


def table(start, size):
    rows = range(start, start + size)
    columns = {"example_id": [str(i) for i in rows], "waic": [i / 3 for i in rows]}
    return pa.table(columns, schema=SCHEMA)


def write_file(path, sizes):
    start = 0
    with writers.open_writer(path, SCHEMA, "--output") as write:
        for size in sizes:
            write(table(start, size))
            start += size
    return start


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([100] * 25, [1000, 1000, 500]),
        ([100] * 20, [1000, 1000]),
        ([300] * 5, [1200, 300]),
        ([2500, 1], [2500, 1]),
        ([7], [7]),
    ],
)
def test_batches_share_row_groups(tmp_path, monkeypatch, sizes, groups):
    monkeypatch.setattr(writers, "ROW_GROUP_SIZE", 1000)
    num_rows = write_file(tmp_path / "a.parquet", sizes)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        found = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        read = file.read()
    assert found == groups
    assert read.equals(table(0, num_rows))
    assert read.schema.metadata == SCHEMA.metadata


def test_the_group_size_bounds_the_footer(tmp_path):
    write_file(tmp_path / "a.parquet", [1000] * 120)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3


def test_no_rows(tmp_path):
    write_file(tmp_path / "a.parquet", [])
    assert pq.read_table(tmp_path / "a.parquet").equals(table(0, 0))


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".parquet", pd.read_parquet),
        (".csv", lambda path: pd.read_csv(path, dtype={"example_id": str})),
        (".jsonl", lambda path: pd.read_json(path, lines=True, dtype={"example_id": str})),
    ],
)
def test_every_kind_holds_the_same_rows(tmp_path, ending, read):
    path = tmp_path / f"a{ending}"
    write_file(path, [3, 2])
    pd.testing.assert_frame_equal(
        read(path), table(0, 5).to_pandas(), check_dtype=False, rtol=1e-14
    )


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    def fail():
        with writers.open_writer(tmp_path / "a.parquet", SCHEMA, "--output") as write:
            write(table(0, 3))
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending(tmp_path):
    with pytest.raises(UserError, match=r"--output.*\.parquet, \.csv, \.jsonl"):
        write_file(tmp_path / "a.xlsx", [1])
