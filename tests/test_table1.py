"""docs/table1.md sorts every registered model and ensemble score, and nothing else.

That the outputs of each model are those it has is asked in test_contracts.py, which makes them.
"""

import numpy as np
import pytest
from support.pages import page_rows

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES
from tfp_genens.models.family import ROWS
from tfp_genens.scoring.scores import available_scores

MODELS = page_rows("docs/table1.md", "model")
SCORES = page_rows("docs/table1.md", "score")


def code(text: str) -> str:
    assert text[0] == text[-1] == "`"
    return text[1:-1]


@pytest.mark.parametrize("line", MODELS + SCORES, ids=lambda line: line[0])
def test_every_line_answers_both_questions(line):
    assert len(line) == 4
    for answer in line[2:]:
        assert answer.split(":")[0] in ("yes", "no", "as the members")


def test_every_model_has_one_line():
    assert sorted(code(line[0]) for line in MODELS) == sorted(FAMILIES)


def test_an_ensemble_of_each_model_has_the_scores_that_the_page_lists_and_no_others():
    listed = {code(line[0]): code(line[1]) for line in SCORES}
    found = {}
    for line in MODELS:
        outputs = [code(name) for name in line[1].split(", ")]
        specs = {name: OutputSpec("nats", HIGHER_IS_NORMAL) for name in outputs}
        for score in available_scores(specs).values():
            (made_of,) = score.inputs
            row = score.name if score.name in listed else score.name.replace(made_of, "NAME")
            assert listed[row] in (made_of, "NAME")
            found[row] = listed[row]
    assert found == listed


@pytest.mark.parametrize("name", [code(line[0]) for line in MODELS if "label" in "".join(line[2:])])
def test_models_said_to_learn_from_labels_do_not_train_without(name):
    shape = (6,) if FAMILIES[name].takes == (ROWS,) else (8, 8, 1)
    inputs = np.zeros((9, *shape), np.float32)
    columns = tuple("abcdef") if len(shape) == 1 else None
    value_range = None if len(shape) == 1 else (0.0, 255.0)
    data = TrainingData(
        name="unlabelled",
        train=inputs,
        validation=inputs,
        validation_ids=tuple(map(str, range(9))),
        input_spec=InputSpec(shape, "float32", value_range, "none", columns),
        fingerprint="",
    )
    family = FAMILIES[name]
    with pytest.raises(UserError, match="labels"):
        family.build(family.config(), data, 0)
