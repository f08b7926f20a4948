import dataclasses

import numpy as np
import pytest
import scipy.stats

from tfp_genens.data import DATASETS, OOD_SETS, open_ood, read_all
from tfp_genens.data.noise import gaussian_blocks
from tfp_genens.data.ood import ROWS, parse_ood
from tfp_genens.data.sources import array_source
from tfp_genens.errors import UserError

NOISY = [
    "uniform",
    "gaussian",
    "photo_patches",
    "adversarial_unclipped",
    "adversarial_clipped",
    "adversarial_pgd_clipped",
    "adversarial_waic_clipped",
    "adversarial_unclipped_step",
    "adversarial_image_gradient_clipped",
    "adversarial_as_released",
    "adversarial_lowered_as_released",
]
ATTACKS = NOISY[3:]


@pytest.fixture
def context(make_context):
    return make_context(230)


def values_of(name, context):
    return read_all(open_ood(name, context)[1])[1]


def test_rows_are_whole():
    for name, row in OOD_SETS.items():
        assert row.name == name
        assert row.label
        assert row.description.endswith(".")
        assert row.description[0].isupper()
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert name not in OOD_SETS or dataset.label == OOD_SETS[name].label
        assert set(dataset.ood) <= set(OOD_SETS)
        assert name not in dataset.ood
        assert len(set(dataset.ood)) == len(dataset.ood)


def test_attacks_and_only_they_say_what_they_are_made_with():
    attacks = {name: row.attack for name, row in OOD_SETS.items() if row.attack}
    assert list(attacks) == ATTACKS
    assert len({tuple(attack.items()) for attack in attacks.values()}) == len(ATTACKS)
    assert attacks["adversarial_pgd_clipped"] == {
        "gradient": "member_gradient",
        "gradient_at": "at_noise",
        "noise_clipped": True,
        "result_clipped": True,
        "steps": 10,
        "eps": 0.3,
        "step_size": 0.075,
        "last_step_size": None,
    }


@pytest.mark.parametrize("name", DATASETS["digits"].ood)
def test_digits_sets_have_the_models_shape_and_repeat_exactly(context, name):
    row, source = open_ood(name, context)
    assert row is OOD_SETS[name]
    assert source.name == name
    assert source.shape == (8, 8, 1)
    assert source.num_examples == 230
    ids, values = read_all(source)
    assert len(set(ids)) == 230
    assert values.shape == (230, 8, 8, 1)
    again_ids, again = read_all(open_ood(name, context)[1])
    assert again_ids == ids
    np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize("name", DATASETS["digits"].ood)
@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_batch_size_changes_nothing(context, name, batch_size):
    batches = list(open_ood(name, context)[1].batches(batch_size))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    values = np.concatenate([batch.values for batch in batches])
    np.testing.assert_array_equal(values, values_of(name, context))


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("num_examples", [1, 99, 100, 130])
def test_asking_for_fewer_gives_the_first_of_the_same(context, name, num_examples):
    fewer = dataclasses.replace(context, num_examples=num_examples)
    np.testing.assert_array_equal(values_of(name, fewer), values_of(name, context)[:num_examples])


@pytest.mark.parametrize("name", NOISY)
def test_another_seed_gives_other_noise(context, name):
    other = dataclasses.replace(context, seed=8)
    assert not np.array_equal(values_of(name, other), values_of(name, context))


def test_flips_are_those_of_the_test_images(context):
    test = read_all(context.test)[1]
    np.testing.assert_array_equal(values_of("hflip", context), test[:, :, ::-1])
    np.testing.assert_array_equal(values_of("vflip", context), test[:, ::-1])


def test_the_unclipped_attack_clips_neither_the_noise_nor_the_result(context, ensemble):
    attacked = values_of("adversarial_unclipped", context)
    shape, value_range = context.input_spec.shape, context.input_spec.value_range
    blocks = gaussian_blocks(shape, value_range, context.seed, clipped=False)
    start = np.concatenate([blocks(k) for k in range(3)])[: len(attacked)]
    step = np.float32(0.3 * 255) * np.sign(ensemble.centres[0] - start).astype(np.float32)
    np.testing.assert_array_equal(attacked, start + step)
    outside = (start < 0) | (start > 255)
    expected = 1 - (scipy.stats.norm.cdf(1) - scipy.stats.norm.cdf(0))
    assert outside.mean() == pytest.approx(expected, abs=0.02)


def test_fgsm_sets_start_from_the_gaussian_set(context, ensemble):
    start = values_of("gaussian", context)
    step = np.float32(0.3 * 255) * np.sign(ensemble.centres[0] - start).astype(np.float32)
    np.testing.assert_array_equal(
        values_of("adversarial_clipped", context), (start + step).clip(0, 255)
    )
    towards_waic = np.sign(
        np.mean(
            [
                (1 - 2 * (ensemble.log_prob(start, i) - mean))[:, None, None, None]
                * (ensemble.centres[i] - start.astype(np.float64))
                for mean in [np.mean([ensemble.log_prob(start, i) for i in range(3)], axis=0)]
                for i in range(3)
            ],
            axis=0,
        )
    )
    np.testing.assert_array_equal(
        values_of("adversarial_waic_clipped", context),
        (start + np.float32(0.3 * 255) * towards_waic.astype(np.float32)).clip(0, 255),
    )


def unclipped_noise(context):
    shape, value_range = context.input_spec.shape, context.input_spec.value_range
    blocks = gaussian_blocks(shape, value_range, context.seed, clipped=False)
    return np.concatenate([blocks(k) for k in range(3)])[: context.num_examples]


def step_of_member_0(ensemble, at):
    """0.3 of the range along the sign of the quadratic log_prob's gradient at `at`."""
    return np.float32(0.3 * 255) * np.sign(ensemble.centres[0] - at).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "noise_clipped", "at_images", "result_clipped"),
    [
        ("adversarial_unclipped_step", True, False, False),
        ("adversarial_image_gradient_clipped", True, True, True),
        ("adversarial_as_released", False, True, False),
    ],
)
def test_the_released_codes_mistakes_one_by_one(
    context, ensemble, name, noise_clipped, at_images, result_clipped
):
    start = values_of("gaussian", context) if noise_clipped else unclipped_noise(context)
    at = read_all(context.test)[1].astype(np.float64) if at_images else start
    expected = start + step_of_member_0(ensemble, at)
    if result_clipped:
        expected = expected.clip(0, 255)
    np.testing.assert_array_equal(values_of(name, context), expected)


def test_gradients_at_images_are_taken_in_whole_blocks(context, ensemble):
    """So that an input does not depend on how many are asked for; the rest starts over."""
    seen = []
    plain = ensemble.score_and_gradient

    def watched(values, member):
        seen.append(values)
        return plain(values, member)

    ensemble.score_and_gradient = watched
    values_of("adversarial_as_released", context)
    test = read_all(context.test)[1].astype(np.float32)
    assert [values.dtype for values in seen] == [np.float32] * 3
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([test, test[:70]]))


def test_gradients_at_images_need_as_many_images(context):
    more = dataclasses.replace(context, num_examples=231)
    with pytest.raises(ValueError, match="`test` must have 231 examples; got 230"):
        values_of("adversarial_as_released", more)


def test_tables_of_the_paper_are_in_its_order():
    assert DATASETS["mnist"].ood[:7] == (
        *("omniglot", "not_mnist", "fashion_mnist", "uniform", "gaussian", "hflip", "vflip"),
    )
    assert DATASETS["fashion_mnist"].ood[:7] == (
        *("omniglot", "not_mnist", "mnist", "uniform", "gaussian", "hflip", "vflip"),
    )
    assert DATASETS["cifar10"].ood[:7] == (
        *("celeba", "svhn", "imagenet32", "uniform", "gaussian", "hflip", "vflip"),
    )


def test_what_only_measures_a_choice_is_judged_when_asked_for():
    asked_for = {"omniglot_nearest", "omniglot_bilinear", "omniglot_thick", *ATTACKS[-3:]}
    assert asked_for <= set(OOD_SETS)
    assert all(asked_for.isdisjoint(dataset.ood) for dataset in DATASETS.values())


def test_pgd_stays_near_the_noise_and_beats_one_step(context, ensemble):
    start = values_of("gaussian", context)
    attacked = values_of("adversarial_pgd_clipped", context)
    assert np.abs(attacked - start).max() <= 0.3 * 255 + 1e-4
    assert 0 <= attacked.min() <= attacked.max() <= 255
    one_step = values_of("adversarial_clipped", context)
    assert (ensemble.log_prob(attacked, 0) > ensemble.log_prob(one_step, 0)).all()


def test_attacks_are_lazy_and_paid_for_once(context, ensemble):
    source = open_ood("adversarial_clipped", context)[1]
    assert ensemble.num_calls == 0
    next(source.batches(10))
    assert ensemble.num_calls == 1
    read_all(source)
    read_all(source)
    assert ensemble.num_calls == 3


def test_attacked_members_are_said():
    assert {name: OOD_SETS[name].attacked_members for name in ATTACKS} == {
        "adversarial_unclipped": (0,),
        "adversarial_clipped": (0,),
        "adversarial_pgd_clipped": (0,),
        "adversarial_waic_clipped": None,
        "adversarial_unclipped_step": (0,),
        "adversarial_image_gradient_clipped": (0,),
        "adversarial_as_released": (0,),
        "adversarial_lowered_as_released": (0,),
    }
    assert all(OOD_SETS[n].attacked_members is None for n in OOD_SETS if n not in ATTACKS)


def test_only_attacks_need_an_ensemble(context):
    alone = dataclasses.replace(context, ensemble=None)
    for name in ("hflip", "uniform", "gaussian", "photo_patches"):
        assert len(values_of(name, alone)) == 230
    with pytest.raises(ValueError, match=r"`context.ensemble` must be given"):
        open_ood("adversarial_clipped", alone)


def test_an_attack_needs_a_gradient_and_one_on_waic_that_of_log_prob(context, ensemble):
    assert all(row.suits(ensemble) for row in OOD_SETS.values())
    ensemble.attacked_score = "critic"
    assert [n for n, row in OOD_SETS.items() if not row.suits(ensemble)] == [
        "adversarial_waic_clipped"
    ]
    assert len(values_of("adversarial_clipped", context)) == 230
    with pytest.raises(
        UserError, match="the gradient of log_prob; got one that offers that of cri"
    ):
        open_ood("adversarial_waic_clipped", context)
    ensemble.attacked_score = None
    assert [n for n, row in OOD_SETS.items() if not row.suits(ensemble)] == ATTACKS
    with pytest.raises(
        UserError, match="the gradient of a score; got one that offers that of none"
    ):
        open_ood("adversarial_clipped", context)


def test_an_attack_on_a_broken_member_names_the_set(context, ensemble):
    ensemble.centres[0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="--ood=adversarial_clipped: expected members whose"):
        values_of("adversarial_clipped", context)


def test_an_attack_without_a_gradient_names_the_set(context, ensemble, monkeypatch):
    """As of members that threshold their inputs: the noise would go by as an attack."""

    def flat(values, member):
        return ensemble.log_prob(values, member), np.zeros_like(values)

    monkeypatch.setattr(ensemble, "score_and_gradient", flat)
    for name in ATTACKS:
        with pytest.raises(UserError, match=f"--ood={name}: expected members .* only zeros"):
            values_of(name, context)


def test_any_spec_is_a_set(context, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((300, 8, 8, 1), 9, np.uint8))
    spec = f"npz:{tmp_path / 'a.npz'}"
    row, source = open_ood(spec, context)
    assert row.name == row.label == spec
    assert row.attacked_members is None
    assert spec in row.description
    assert source.num_examples == 230
    assert (read_all(source)[1] == 9).all()


def test_a_spec_can_stand_in_for_a_set_that_is_read(context, tmp_path):
    np.savez(tmp_path / "a=b.npz", x=np.full((300, 8, 8, 1), 9, np.uint8))
    spec = f"npz:{tmp_path / 'a=b.npz'}"
    row, source = open_ood(f"celeba={spec}", context)
    assert (row.name, row.label) == ("celeba", "CelebA")
    assert row.is_stand_in
    assert spec in row.description
    assert "178" not in row.description
    assert source.origin == spec
    assert (read_all(source)[1] == 9).all()
    assert not open_ood(spec, context)[0].is_stand_in
    assert not OOD_SETS["celeba"].is_stand_in


def test_forms_of_sets():
    assert parse_ood("hflip") == ("hflip", None)
    assert parse_ood("svhn=csv:a.csv?label=y") == ("svhn", "csv:a.csv?label=y")
    assert parse_ood("csv:svhn=a.csv") == ("csv:svhn=a.csv", "csv:svhn=a.csv")


@pytest.mark.parametrize("name", ["uniform", "hflip", "photo_patches", *ATTACKS])
def test_nothing_stands_in_for_what_is_made(name):
    with pytest.raises(UserError, match="NAME=SPEC with a set that is read: mnist, "):
        parse_ood(f"{name}=npz:a.npz")


def test_where_examples_come_from(context):
    for name, origin in (
        ("hflip", "digits:test"),
        ("uniform", "made from the seed"),
        ("adversarial_clipped", "made from the seed"),
    ):
        assert open_ood(name, context)[1].origin == origin


def colour(context, size):
    spec = dataclasses.replace(context.input_spec, shape=(size, size, 3))
    return dataclasses.replace(context, input_spec=spec, num_examples=3)


def test_celeba_is_cropped_in_the_middle_and_shrunk_by_area(context, tmp_path):
    """At 89x89 each pixel is the mean of four."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    faces = np.random.default_rng(0).integers(0, 256, (4, 218, 178, 3), np.uint8)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="celeb_a",
        version=str(tfds.builder_cls("celeb_a").VERSION),
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(218, 178, 3))}),
        split_datasets={"test": tf.data.Dataset.from_tensor_slices({"image": faces})},
        data_dir=str(tmp_path),
        disable_shuffling=True,
    )
    row, source = open_ood("celeba", dataclasses.replace(colour(context, 89), data_dir=tmp_path))
    assert row is OOD_SETS["celeba"]
    means = faces[:3, 20:198].reshape(3, 89, 2, 89, 2, 3).mean(axis=(2, 4))
    values = read_all(source)[1]
    assert values.dtype == np.uint8
    assert np.abs(values - means).max() <= 0.5
    assert source.origin.startswith("tfds:celeb_a:test, version ")


@pytest.mark.parametrize(("name", "folder"), [("svhn", "svhn_cropped"), ("imagenet32", None)])
def test_sets_for_a_cifar_model(context, needs_tfds, name, folder):
    needs_tfds(folder or "downsampled_imagenet/32x32")
    values = read_all(open_ood(name, colour(context, 32))[1])[1]
    assert values.shape == (3, 32, 32, 3)
    assert values.dtype == np.uint8


@pytest.mark.parametrize("name", ["nonsense", "", "foo:bar", "celeba=", "celeba=x", "nope=npz:x"])
def test_unknown_set_lists_what_there_is(context, name):
    with pytest.raises(UserError, match=r"one of hflip, vflip, .* or a SPEC: tfds:") as error:
        open_ood(name, context)
    assert error.value.argument == "--ood"


@pytest.mark.parametrize(
    "name", [n for n, row in OOD_SETS.items() if row.needs and row.needs != ROWS]
)
def test_tables_are_refused_by_what_needs_images_or_a_range(context, table_spec, name):
    rows = array_source("rows", np.zeros((3, 2), np.float32), "rows")
    table = dataclasses.replace(context, test=rows, input_spec=table_spec)
    with pytest.raises(UserError, match=f"--ood={name}: expected a model of"):
        open_ood(name, table)


def test_another_sets_images_must_fit_the_model(context, needs_tfds):
    needs_tfds("fashion_mnist")
    with pytest.raises(UserError, match=r"shape \(8, 8, 1\); got shape \(28, 28, 1\)"):
        open_ood("fashion_mnist", context)


def test_fashion_mnist_for_a_mnist_model(context, image_spec, needs_tfds):
    needs_tfds("fashion_mnist")
    spec = dataclasses.replace(image_spec, shape=(28, 28, 1))
    ids, values = read_all(
        open_ood("fashion_mnist", dataclasses.replace(context, input_spec=spec))[1]
    )
    assert ids[-1] == "fashion_mnist/test/229"
    assert values.shape == (230, 28, 28, 1)
