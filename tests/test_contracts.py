"""What every registered model must keep: a new family is tested by being registered.

Each is fed every kind of inputs that its row says it takes, and refuses the others.
"""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.pages import page_rows

from tfp_genens.artifact import export, manifest
from tfp_genens.artifact.member import Member
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import DATASETS, OOD_SETS, TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES
from tfp_genens.models.family import IMAGES, INPUT_KINDS, ROWS
from tfp_genens.models.freezing import with_values_of
from tfp_genens.models.learner import Examples
from tfp_genens.scoring.freeze import CANDIDATES
from tfp_genens.scoring.scores import ENSEMBLE_SCORES

LABELS = np.arange(9) % 3
SEED = np.array([1, 2], np.int32)


def _rows() -> np.ndarray:
    """Columns of very different scales, the last one constant."""
    loc = np.array([0.0, 0.0, 1e5, -7.0, 3.0, 2.5])
    scale = np.array([1.0, 1e-3, 1e5, 30.0, 1.0, 0.0])
    return (loc + scale * np.random.default_rng(0).normal(size=(9, 6))).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Kind:
    """Nine examples of one kind of inputs."""

    spec: InputSpec
    inputs: np.ndarray


KINDS = {
    IMAGES: Kind(
        InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255"),
        np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.uint8),
    ),
    ROWS: Kind(InputSpec((6,), "float32", None, "none", tuple("abcdef")), _rows()),
}


def training_data(kind: Kind) -> TrainingData:
    return TrainingData(
        name="test",
        train=kind.inputs,
        validation=kind.inputs,
        validation_ids=tuple(map(str, range(9))),
        input_spec=kind.spec,
        fingerprint="",
        labels=LABELS,
        validation_labels=LABELS,
    )


def config_of(family):
    """Small; each family takes those of the settings that it has."""
    small = {
        "train_steps": 2,
        "batch_size": 4,
        "num_neighbors": 3,
        "num_trees": 10,
        "num_steps": 2,
        "width": 8,
        "latent_size": 4,
        "train_samples": 2,
        "long_critic_steps": 3,
    }
    own = {field.name for field in dataclasses.fields(family.config)}
    return family.config(**{name: value for name, value in small.items() if name in own})


@pytest.fixture(
    scope="module",
    params=[(name, kind) for name, family in FAMILIES.items() for kind in family.takes],
    ids="-".join,
)
def case(request):
    """A family's name and the kind of inputs it is fed."""
    return request.param


@pytest.fixture(scope="module")
def kind(case):
    return KINDS[case[1]]


@pytest.fixture(scope="module")
def learner(case, kind):
    """The family with its defaults, after two steps of every phase."""
    family = FAMILIES[case[0]]
    learner = family.build(config_of(family), training_data(kind), 0)
    batch = Examples(tf.constant(kind.inputs[:4]), tf.constant(LABELS[:4]))
    for phase in learner.phases():
        assert "loss" in phase.metrics
        for step in range(2):
            values = phase.step(
                tf.constant(step, tf.int64), tf.constant([3, step]), lambda _: batch
            )
            assert set(values) == set(phase.metrics)
            assert all(np.isfinite(value) for value in values.values())
    return learner


@pytest.fixture(scope="module")
def member(learner, kind, tmp_path_factory):
    directory = tmp_path_factory.mktemp("member")
    frozen = learner.freeze()
    export.export_saved_model(frozen, kind.spec, directory / manifest.SAVED_MODEL)
    signatures = export.describe_signatures(frozen, kind.spec)
    return Member(directory, {"signatures": signatures, "member": 0})


def test_members_differ_in_nothing_but_variables(case, learner, kind):
    """So that all members can go through one traced function."""
    family = FAMILIES[case[0]]
    modules = [learner.freeze().module]
    modules.append(family.build(config_of(family), training_data(kind), 1).freeze().module)
    arguments = {"inputs": tf.constant(kind.inputs, tf.float32), "seed": tf.constant(SEED)}
    names = learner.freeze().functions["serving_default"].arguments
    scores = [m.serving_default(*(arguments[name] for name in names)) for m in modules]
    with_values_of(modules[1], modules[0])
    copied = modules[0].serving_default(*(arguments[name] for name in names))
    for name, values in scores[1].items():
        np.testing.assert_array_equal(copied[name], values)


SERVER = """
import json, sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import numpy as np
import tensorflow as tf

for line in sys.stdin:
    directory, inputs, seed = json.loads(line)
    signature = tf.saved_model.load(directory).signatures["serving_default"]
    arguments = {"inputs": tf.constant(np.load(inputs), tf.float32), "seed": tf.constant(seed)}
    taken = {name: arguments[name] for name in signature.structured_input_signature[1]}
    print(json.dumps({k: v.numpy().tolist() for k, v in signature(**taken).items()}), flush=True)
"""


@pytest.fixture(scope="module")
def tensorflow_alone():
    """(SavedModel, file of inputs) -> its scores, by a process that can import nothing of ours."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVER], **pipes) as server:

        def score(directory, inputs):
            print(json.dumps([str(directory), str(inputs), SEED.tolist()]), file=server.stdin)
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield score
        server.stdin.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_only_kinds_of_inputs_that_a_family_takes_are_accepted(name):
    family = FAMILIES[name]
    assert family.takes
    assert set(family.takes) <= set(INPUT_KINDS)
    for refused in set(INPUT_KINDS) - set(family.takes):
        with pytest.raises(UserError, match="--dataset"):
            family.build(config_of(family), training_data(KINDS[refused]), 0)


def test_phase_names_are_unique(learner):
    names = [phase.name for phase in learner.phases()]
    assert len(set(names)) == len(names)


def test_validation_is_finite(learner, kind):
    values = learner.validate(
        Examples(tf.constant(kind.inputs), tf.constant(LABELS)), tf.constant(SEED)
    )
    assert values
    assert all(np.isfinite(value) for value in values.values())


def test_summary_images_can_be_shown(learner, kind):
    for batch in learner.summary_images(tf.constant(kind.inputs), tf.constant(SEED)).values():
        assert batch.shape.rank == 4
        assert batch.numpy().min() >= 0
        assert batch.numpy().max() <= 1


def test_table_1_sorts_exactly_the_scores_there_are(case, member):
    listed = [row for row in page_rows("docs/table1.md", "model") if row[0] == f"`{case[0]}`"]
    (row,) = listed
    assert sorted(row[1].split(", ")) == sorted(f"`{name}`" for name in member.outputs)


def test_scores_are_finite_vectors(member, kind):
    scores = member.score(kind.inputs, SEED)
    assert set(scores) == set(member.outputs)
    for values in scores.values():
        assert values.shape == (9,)
        assert np.isfinite(values).all()


def test_scores_repeat_and_do_not_depend_on_the_batch(member, kind):
    whole = member.score(kind.inputs, SEED)
    for first, size in ((0, 1), (2, 5), (0, 9)):
        part = member.score(kind.inputs[first : first + size], SEED)
        for name, values in part.items():
            np.testing.assert_allclose(
                values, whole[name][first : first + size], rtol=2e-5, atol=2e-5
            )


def test_a_member_scores_with_tensorflow_alone(member, kind, tensorflow_alone, tmp_path):
    np.save(tmp_path / "inputs.npy", kind.inputs)
    served = tensorflow_alone(member.directory / manifest.SAVED_MODEL, tmp_path / "inputs.npy")
    for name, values in member.score(kind.inputs, SEED).items():
        np.testing.assert_allclose(served[name], values, rtol=2e-5, atol=2e-5)


def test_scores_of_extreme_inputs_are_finite(member, kind):
    for value in (-1e30, -255.0, 0.0, 255.0, 1e4, 1e30):
        for values in member.score(np.full([2, *kind.spec.shape], value), SEED).values():
            assert np.isfinite(values).all()


def test_a_signature_of_fewer_scores_gives_the_same(member, kind):
    whole = member.score(kind.inputs, SEED)
    for signature, described in member.manifest["signatures"].items():
        if described["outputs"] and not described["gradient_of"] and signature != CANDIDATES:
            found = member.call(signature, inputs=kind.inputs, seed=SEED)
            for name in described["outputs"]:
                np.testing.assert_allclose(found[name], whole[name], rtol=2e-5, atol=2e-5)


def test_a_flag_that_several_families_have_is_of_one_kind():
    from tfp_genens import cli

    kinds: dict[str, set[type]] = {}
    for family in FAMILIES.values():
        for name, (_, kind) in cli.options_of([family.config]).items():
            kinds.setdefault(name, set()).add(kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_choices_of_flags_are_what_there_is():
    """Flags are known without the modules that their values choose from."""
    from tfp_genens.bijectors.coupling import COUPLINGS
    from tfp_genens.models import configs, glow, likelihoods, priors, tables

    for names, registry in (
        (configs.PRIORS, priors.PRIORS),
        (configs.LIKELIHOODS, likelihoods.LIKELIHOODS),
        (configs.PREPROCESSINGS, tables.PREPROCESSINGS),
        (configs.COUPLINGS, COUPLINGS),
        (configs.OPTIMIZERS, glow.OPTIMIZERS),
    ):
        assert set(names) == set(registry)


def test_registered_sets_are_known():
    for dataset in DATASETS.values():
        assert set(dataset.ood) <= set(OOD_SETS)


def test_ensemble_scores_have_shape_and_sense():
    generator = np.random.default_rng(0)
    for name, row in ENSEMBLE_SCORES.items():
        outputs = {output: generator.normal(size=(5, 7)) for output in row.inputs}
        values = row(outputs)
        assert values.shape == (7,), name
        turned = row({output: x[::-1] for output, x in outputs.items()})
        np.testing.assert_allclose(turned, values, rtol=1e-9)


def test_a_new_family_is_one_file_and_one_row(monkeypatch, tmp_path):
    """Trained, frozen as an ensemble, scored and evaluated, with nothing else told of it."""
    from support import new_family

    from tfp_genens.evaluate import evaluate
    from tfp_genens.train import train

    monkeypatch.setitem(FAMILIES, "brightness", new_family.FAMILY)
    run_dir, output_dir = str(tmp_path / "run"), str(tmp_path / "evaluation")
    assert train({"model": "brightness", "dataset": "digits", "run_dir": run_dir}) == 0
    settings = {"run_dir": run_dir, "output_dir": output_dir, "ood": ("uniform",)}
    assert evaluate({**settings, "num_examples": 50, "num_bootstrap": 10, "figures": False}) == 0
    document = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    assert document["labels"]["scores"]["darkness"] == "Darkness"
    assert {"darkness", "darkness_mean"} <= {row["score"] for row in document["rows"]}
