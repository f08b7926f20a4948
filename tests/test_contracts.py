"""What every registered model must keep: a new family is tested by being registered."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_genens import artifacts
from tfp_genens.data import DATASETS, OOD_SETS, TrainingData
from tfp_genens.learner import Examples
from tfp_genens.models import FAMILIES
from tfp_genens.scoring.combine import ENSEMBLE_SCORES
from tfp_genens.scoring.member import Member
from tfp_genens.spec import InputSpec

SPEC = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
LABELS = np.arange(9) % 3
SEED = np.array([1, 2], np.int32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module", params=FAMILIES)
def learner(request, images):
    """The family with its defaults, after two steps of every phase."""
    family = FAMILIES[request.param]
    config = family.config(train_steps=2, batch_size=4)
    data = TrainingData(
        name="test",
        train=images,
        validation=images,
        validation_ids=tuple(map(str, range(9))),
        input_spec=SPEC,
        fingerprint="",
        labels=LABELS,
        validation_labels=LABELS,
    )
    learner = family.build(config, data, 0)
    batch = Examples(tf.constant(images[:4]), tf.constant(LABELS[:4]))
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
def member(learner, tmp_path_factory):
    directory = tmp_path_factory.mktemp("member")
    frozen = learner.freeze()
    artifacts.export_saved_model(frozen, SPEC, directory / artifacts.SAVED_MODEL)
    signatures = artifacts.describe_signatures(frozen, SPEC)
    return Member(directory, {"signatures": signatures, "member": 0})


def test_phase_names_are_unique(learner):
    names = [phase.name for phase in learner.phases()]
    assert len(set(names)) == len(names)


def test_validation_is_finite(learner, images):
    values = learner.validate(Examples(tf.constant(images), tf.constant(LABELS)), tf.constant(SEED))
    assert values
    assert all(np.isfinite(value) for value in values.values())


def test_summary_images_can_be_shown(learner, images):
    for batch in learner.summary_images(tf.constant(images), tf.constant(SEED)).values():
        assert batch.shape.rank == 4
        assert batch.numpy().min() >= 0
        assert batch.numpy().max() <= 1


def test_scores_are_finite_vectors(member, images):
    scores = member.score(images, SEED)
    assert set(scores) == set(member.outputs)
    for values in scores.values():
        assert values.shape == (9,)
        assert np.isfinite(values).all()


def test_scores_repeat_and_do_not_depend_on_the_batch(member, images):
    whole = member.score(images, SEED)
    for first, size in ((0, 1), (2, 5), (0, 9)):
        part = member.score(images[first : first + size], SEED)
        for name, values in part.items():
            np.testing.assert_allclose(
                values, whole[name][first : first + size], rtol=2e-5, atol=2e-5
            )


def test_scores_of_extreme_inputs_are_finite(member):
    for value in (-1e30, -255.0, 0.0, 255.0, 1e4, 1e30):
        for values in member.score(np.full([2, 8, 8, 1], value), SEED).values():
            assert np.isfinite(values).all()


def test_every_score_alone_equals_the_score_among_all(member, images):
    whole = member.score(images, SEED)
    for name in member.outputs:
        alone = member.score(images, SEED, [name])
        np.testing.assert_allclose(alone[name], whole[name], rtol=2e-5, atol=2e-5)


def test_a_flag_that_several_families_have_is_of_one_kind():
    from tfp_genens import cli

    kinds: dict[str, set[type]] = {}
    for family in FAMILIES.values():
        for name, (_, kind) in cli.options_of([family.config]).items():
            kinds.setdefault(name, set()).add(kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_registered_sets_are_known():
    for dataset in DATASETS.values():
        assert set(dataset.ood) <= set(OOD_SETS)


def test_ensemble_scores_have_shape_and_sense():
    scores = np.random.default_rng(0).normal(size=(5, 7))
    for name, row in ENSEMBLE_SCORES.items():
        values = row.function(scores)
        assert values.shape == (7,), name
        np.testing.assert_allclose(row.function(scores[::-1]), values, rtol=1e-9)
