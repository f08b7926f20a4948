"""An evaluation's files, made by hand: reports must work from these alone."""

import pytest
from support.evaluation_dir import write_evaluation


@pytest.fixture
def make_evaluation(tmp_path):
    def make(name="evaluation", **kwargs):
        return write_evaluation(tmp_path / name, **kwargs)

    return make
