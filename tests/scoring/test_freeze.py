"""Members frozen into one graph: what is verified, and that the numbers are the members' own."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfp_genens import export as export_main
from tfp_genens.artifact import held_out, linking
from tfp_genens.artifact.manifest import read_manifest
from tfp_genens.artifact.member import Member, scoring_seed
from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.data import load_training_data, open_source
from tfp_genens.errors import UserError
from tfp_genens.scoring import Ensemble, dose, scores
from tfp_genens.scoring.freeze import ensure_frozen, freeze_ensemble
from tfp_genens.scoring.scores import EnsembleScore


def edit_manifest(directory, **changes):
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def images(trained_ensemble):
    spec = trained_ensemble.input_spec
    return next(open_source("digits:test", spec).batches(100)).values


class TestVerification:
    def test_missing_run(self, tmp_path):
        with pytest.raises(UserError, match="--run_dir"):
            freeze_ensemble(tmp_path / "none")

    def test_unfinished_member(self, run_copy):
        (run_copy / "member_1" / "manifest.json").unlink()
        with pytest.raises(UserError, match=r"finished member.*member_1"):
            freeze_ensemble(run_copy)
        assert freeze_ensemble(run_copy, [0]) == run_copy / "ensemble_0"
        assert Ensemble.load(run_copy, [0]).members == (0,)

    def test_some_members_are_frozen_beside_the_whole(self, run_copy):
        freeze_ensemble(run_copy, [1])
        assert Ensemble.load(run_copy, [1]).members == (1,)
        assert Ensemble.load(run_copy).members == (0, 1)

    @pytest.mark.parametrize("digests", [None, {}])
    def test_a_manifest_without_digests_is_refused(self, run_copy, digests):
        path = run_copy / "ensemble" / "manifest.json"
        manifest = json.loads(path.read_text()) | {"weights_sha256": digests}
        if digests is None:
            del manifest["weights_sha256"]
        path.write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=r"manifest.json to have"):
            Ensemble.load(run_copy)

    @pytest.mark.parametrize("alpha", [float("nan"), 0.0, 2.0, "a"])
    def test_alpha_that_is_no_rate_is_refused(self, trained_ensemble, images, alpha):
        with pytest.raises(UserError, match="alpha: expected"):
            trained_ensemble.predict(images[:2], alpha=alpha)

    @pytest.mark.parametrize("member", [-1, 2, 99])
    def test_a_member_that_is_not_there_is_refused(self, trained_ensemble, images, member):
        with pytest.raises(UserError, match="member: expected a position from 0 to 1"):
            trained_ensemble.reconstruct(images[:2], member)

    @pytest.mark.parametrize("file", ["saved_model/variables/variables.data-00000-of-00001",
                                      "held_out.npz"])  # fmt: skip
    def test_changed_files(self, run_copy, file):
        path = run_copy / "member_0" / file
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"member_0.*changed"):
            freeze_ensemble(run_copy)

    def test_an_older_member_is_refused_with_the_command_that_renews_it(self, run_copy):
        edit_manifest(run_copy / "member_0", schema_version=1)
        with pytest.raises(UserError, match=r"got 1 \(renew it: python -m tfp_genens.export"):
            freeze_ensemble(run_copy)
        edit_manifest(run_copy / "member_0", schema_version=99)
        with pytest.raises(UserError, match=r"schema_version 2.*got 99$"):
            freeze_ensemble(run_copy)

    @pytest.mark.parametrize(
        "changes",
        [
            {"train_dataset": "mnist"},
            {"data_fingerprint": "0" * 64},
            {"model": "glow"},
            {"seed": 7},
            {"config_sha256": "0" * 64},
        ],
    )
    def test_members_that_do_not_belong_together(self, run_copy, changes):
        edit_manifest(run_copy / "member_1", **changes)
        with pytest.raises(UserError, match="members with the same"):
            freeze_ensemble(run_copy)

    def test_a_member_counted_twice(self, run_copy):
        shutil.rmtree(run_copy / "member_1")
        shutil.copytree(run_copy / "member_0", run_copy / "member_1")
        with pytest.raises(UserError, match=r"member 1 .*got member 0"):
            freeze_ensemble(run_copy)
        edit_manifest(run_copy / "member_1", member=1)
        with pytest.raises(UserError, match="independently"):
            freeze_ensemble(run_copy)

    @pytest.mark.parametrize("key", ["weights_sha256", "signatures", "member"])
    def test_incomplete_manifest(self, run_copy, key):
        path = run_copy / "member_0" / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest[key]
        path.write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=f"no {key}"):
            freeze_ensemble(run_copy)

    @pytest.mark.parametrize("members", [[0, 5], [1, 1], []])
    def test_unknown_members(self, trained_run, members):
        with pytest.raises(UserError, match="--members: expected some of 0 to 1"):
            freeze_ensemble(trained_run, members)


def fitting_statistics(run_dir, names):
    """What both members made of the inputs held out to fit, [2, num_inputs] each."""
    kept = [np.load(run_dir / f"member_{k}" / "held_out.npz") for k in (0, 1)]
    return [np.stack([a[name][a["part"] == "fit"] for a in kept]) for name in names]


def keep_to_fit(directory, num):
    """Leaves a member no more inputs to fit scores on, as a small --validation_fraction does."""
    with np.load(directory / "held_out.npz") as arrays:
        kept = dict(arrays)
    surplus = np.flatnonzero(kept["part"] == held_out.FIT)[num:]
    kept = {name: np.delete(values, surplus) for name, values in kept.items()}
    recorded = held_out.write(directory, kept.pop("example_id"), kept.pop("part"), kept)
    assert recorded["num_examples"]["fit"] == num
    del recorded["quantiles"]
    edit_manifest(directory, held_out=recorded)


class TestNumbers:
    def test_equal_those_of_the_members_own_saved_models(
        self, trained_run, trained_ensemble, images
    ):
        frozen = trained_ensemble.score(images)
        for k in (0, 1):
            directory = trained_run / f"member_{k}"
            member = Member(directory, read_manifest(directory))
            for name, values in member.score(images, scoring_seed(0, k)).items():
                np.testing.assert_allclose(frozen[name][:, k], values, rtol=1e-6, atol=1e-6)

    def test_analysis_equals_the_members_own(self, trained_run, trained_ensemble, images):
        directory = trained_run / "member_1"
        member = Member(directory, read_manifest(directory))
        own = member.call("log_prob_gradient", inputs=images[:5], seed=scoring_seed(0, 1))
        _, gradient = trained_ensemble.score_and_gradient(images[:5], 1)
        np.testing.assert_allclose(gradient, own["gradient"], rtol=1e-4, atol=1e-7)
        assert trained_ensemble.reconstruct(images[:3], 1).shape == (3, 8, 8, 1)
        assert trained_ensemble.sample(4, member=0).shape == (4, 8, 8, 1)

    def test_gradient_of_waic_against_finite_differences(self, trained_ensemble, images):
        x = images[:3].astype(np.float32)
        direction = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
        step = 0.5
        ends = [trained_ensemble.score(x + sign * step * direction)["waic"] for sign in (1, -1)]
        slope = (trained_ensemble.score_gradient("waic", x) * direction).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=2e-2)

    def test_gradient_of_the_density_by_the_chain_rule(self, trained_run, trained_ensemble, images):
        """Of its slopes in the statistics, by differences, and the members' own gradients."""
        x = images[:3].astype(np.float32)
        names = trained_ensemble.inputs_of("serving_default")["dose"]
        found = trained_ensemble.score(x)
        statistics = np.stack([found[name].T for name in names])  # [statistic, member, input]
        state = dose.fit(*fitting_statistics(trained_run, names))
        directories = [trained_run / f"member_{m}" for m in (0, 1)]
        members = [Member(directory, read_manifest(directory)) for directory in directories]
        expected = np.zeros(x.shape)
        for k in range(len(names)):
            for m in (0, 1):
                step = np.zeros_like(statistics)
                step[k, m] = 1e-5 * state["scale"][m, k]
                ends = [dose.log_density(*(statistics + s * step), state=state) for s in (1, -1)]
                slope = (ends[0] - ends[1]).numpy() / (2 * step[k, m])
                weights = np.repeat(np.eye(len(names))[k : k + 1], 3, axis=0)
                of_member = members[m].call("statistics_gradient", inputs=x, weights=weights)
                expected += slope[:, None, None, None] * of_member["gradient"]
        gradient = trained_ensemble.score_gradient("dose", x)
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )

    def test_members_that_are_built_alike_share_a_graph(self, trained_run):
        directories = [trained_run / f"member_{k}" / "saved_model" for k in (0, 1)]
        found = [
            linking.structure(linking._read_graph(d), ["serving_default"]) for d in directories
        ]
        assert found[0] == found[1]
        size = (trained_run / "ensemble" / "1" / "saved_model.pb").stat().st_size
        assert size < 2 * (directories[0] / "saved_model.pb").stat().st_size

    def test_held_out_parts_are_disjoint_and_recorded(self, trained_run):
        manifest = read_manifest(trained_run / "member_0")
        data = load_training_data("digits", validation_fraction=0.1, seed=0)
        rows = {name: set(np.arange(len(data.validation))[s]) for name, s in data.held_out.items()}
        assert {name: len(part) for name, part in rows.items()} == manifest["held_out"][
            "num_examples"
        ]
        assert len(set.union(*rows.values())) == sum(map(len, rows.values())) == 130
        with np.load(trained_run / "member_0" / "held_out.npz") as kept:
            calibrating = kept["example_id"][kept["part"] == "calibrate"]
            assert set(calibrating) == {data.validation_ids[i] for i in rows["calibrate"]}


def test_a_score_of_two_outputs_with_fitted_state_is_one_row(run_copy, images, monkeypatch):
    """Distance of (rate, distortion) from the mean of held-out ones, in standard deviations."""

    def fit(rate, distortion):
        values = np.stack([rate.mean(axis=0), distortion.mean(axis=0)])
        return {"loc": values.mean(axis=1), "scale": values.std(axis=1)}

    def function(rate, distortion, state):
        values = tf.stack([tf.reduce_mean(rate, 0), tf.reduce_mean(distortion, 0)])
        return tf.norm((values - state["loc"][:, None]) / state["scale"][:, None], axis=0)

    row = EnsembleScore(
        "joint", "Joint", "standard deviations", LOWER_IS_NORMAL, ("rate", "distortion"),
        function, fit=fit, main=True,
    )  # fmt: skip
    monkeypatch.setitem(scores.ENSEMBLE_SCORES, "joint", row)
    for k in (0, 1):
        edit_manifest(run_copy / f"member_{k}", decides=["joint"])
    freeze_ensemble(run_copy)
    ensemble = Ensemble.load(run_copy)
    found = ensemble.score(images)
    with (
        np.load(run_copy / "member_0" / "held_out.npz") as a,
        np.load(run_copy / "member_1" / "held_out.npz") as b,
    ):
        fitting = a["part"] == "fit"
        state = fit(*(np.stack([a[n], b[n]])[:, fitting] for n in ("rate", "distortion")))
    z = [
        (found[name].mean(axis=1) - state["loc"][k]) / state["scale"][k]
        for k, name in enumerate(("rate", "distortion"))
    ]
    np.testing.assert_allclose(found["joint"], np.hypot(*z), rtol=1e-6)
    assert ensemble.decision_score() == "joint"
    assert (ensemble.score_samples(images) == -found["joint"]).all()

    for k in (0, 1):  # nothing to fit it on
        edit_manifest(run_copy / f"member_{k}", held_out={})
    freeze_ensemble(run_copy)
    assert "joint" not in Ensemble.load(run_copy).ensemble_scores


class TestDensityOfStates:
    def test_is_fitted_on_the_members_held_out_statistics(
        self, trained_run, trained_ensemble, images
    ):
        inputs = trained_ensemble.inputs_of("serving_default")["dose"]
        assert all(trained_ensemble.outputs[name].statistic for name in inputs)
        state = dose.fit(*fitting_statistics(trained_run, inputs))
        found = trained_ensemble.score(images)
        statistics = [tf.constant(found[name].T) for name in inputs]
        expected = dose.log_density(*statistics, state=state)
        np.testing.assert_allclose(found["dose"], expected, rtol=1e-9)

    def test_alone_it_runs_no_samples(self, trained_ensemble, images):
        """And gives the same."""
        assert trained_ensemble.signature_for(["dose"]) == "statistics"
        alone, beside = trained_ensemble.score(images, ["dose"]), trained_ensemble.score(images)
        assert not set(alone) & {"log_prob", "rate", "waic"}
        np.testing.assert_allclose(alone["dose"], beside["dose"], rtol=1e-5)

    def test_too_few_held_out_inputs_leave_the_decision_to_waic(self, run_copy, images):
        for k in (0, 1):
            keep_to_fit(run_copy / f"member_{k}", 19)
        freeze_ensemble(run_copy)
        ensemble = Ensemble.load(run_copy)
        assert "dose" not in ensemble.ensemble_scores
        assert ensemble.decision_score() == "waic"
        assert np.isfinite(ensemble.score(images)["p_value"]).all()

    def test_another_score_can_decide(self, run_copy, images):
        freeze_ensemble(run_copy, decision_score="rate_var")
        ensemble = Ensemble.load(run_copy)
        assert ensemble.decision_score() == "rate_var"
        found = ensemble.score(images)
        order = np.argsort(found["rate_var"])
        assert (np.diff(found["p_value"][order]) <= 0).all()
        assert len(set(found["p_value"])) > 10

    def test_a_candidate_that_decides_is_computed(self, run_copy, images):
        assert "typicality" not in Ensemble.load(run_copy).ensemble_scores
        freeze_ensemble(run_copy, decision_score="typicality")
        ensemble = Ensemble.load(run_copy)
        assert ensemble.decision_score() == "typicality"
        with (
            np.load(run_copy / "member_0" / "held_out.npz") as a,
            np.load(run_copy / "member_1" / "held_out.npz") as b,
        ):
            means = [x["log_prob"][x["part"] == "fit"].mean() for x in (a, b)]
        found = ensemble.score(images)
        expected = np.abs(found["log_prob"] - means).mean(axis=1)
        np.testing.assert_allclose(found["typicality"], expected, rtol=1e-5)

    def test_what_was_asked_for_is_kept_until_another_is(self, run_copy):
        freeze_ensemble(run_copy, decision_score="waic")
        freeze_ensemble(run_copy)
        assert Ensemble.load(run_copy).decision_score() == "waic"
        ensure_frozen(run_copy, [0, 1])
        assert Ensemble.load(run_copy, [0, 1]).decision_score() == "waic"
        freeze_ensemble(run_copy, decision_score="dose")
        freeze_ensemble(run_copy)
        assert Ensemble.load(run_copy).decision_score() == "dose"

    def test_one_that_is_not_there_is_refused(self, run_copy):
        before = (run_copy / "ensemble" / "manifest.json").read_bytes()
        with pytest.raises(UserError, match=r"--decision_score: expected one of .*waic.* 'wacky'"):
            freeze_ensemble(run_copy, decision_score="wacky")
        assert (run_copy / "ensemble" / "manifest.json").read_bytes() == before


SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
images = tf.constant(np.load(sys.argv[2]), tf.float32)
signature = model.signatures["serving_default"]
for size in (1, 7, 100):
    parts = [signature(inputs=images[i : i + size]) for i in range(0, len(images), size)]
    found = {k: np.concatenate([p[k].numpy() for p in parts]) for k in parts[0]}
    np.savez(f"{sys.argv[3]}/{size}.npz", **found)
alpha = tf.constant([0.0] * 50 + [1.0] * 50, tf.float64)
flagged = model.signatures["with_alpha"](inputs=images, alpha=alpha)["is_outlier"].numpy()
assert not flagged[:50].any() and flagged[50:].all()
try:
    signature(inputs=tf.zeros([2, 64]))
except Exception as e:
    print("refused", type(e).__name__)
"""


def test_same_numbers_with_tensorflow_alone_for_any_batch_size(
    trained_run, trained_ensemble, images, tmp_path
):
    np.save(tmp_path / "images.npy", images)
    arguments = [trained_run / "ensemble" / "1", tmp_path / "images.npy", tmp_path]
    result = subprocess.run(
        [sys.executable, "-c", SERVER, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "refused" in result.stdout
    expected = trained_ensemble.score(images)
    for size in (1, 7, 100):
        with np.load(tmp_path / f"{size}.npz") as served:
            assert set(served) == set(expected)
            for name, values in expected.items():
                assert served[name].shape == values.shape  # a leading batch dimension throughout
                if name not in ("p_value", "is_outlier"):
                    np.testing.assert_allclose(served[name], values, rtol=2e-5, atol=2e-5)


def test_export_renews_members_of_an_earlier_version(run_copy, images):
    before = Ensemble.load(run_copy).score(images)
    edit_manifest(run_copy / "member_1", schema_version=1)
    assert export_main.export({"run_dir": str(run_copy)}) == 0
    after = Ensemble.load(run_copy).score(images)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-5, atol=1e-5)


def test_export_renews_all_members_when_asked_and_lets_another_score_decide(run_copy, images):
    before = Ensemble.load(run_copy).score(images)
    (run_copy / "member_0" / "held_out.npz").unlink()
    flags = {"run_dir": str(run_copy), "renew": True, "decision_score": "waic"}
    assert export_main.export(flags) == 0
    ensemble = Ensemble.load(run_copy)
    assert ensemble.decision_score() == "waic"
    after = ensemble.score(images)
    for name in set(before) - {"p_value", "is_outlier"}:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-5)


def test_training_again_only_changes_what_decides(run_copy, train_tiny):
    weights = (run_copy / "member_0" / "manifest.json").read_bytes()
    assert train_tiny(run_copy, decision_score="waic") == 0
    assert Ensemble.load(run_copy).decision_score() == "waic"
    manifest = (run_copy / "ensemble" / "manifest.json").read_bytes()
    assert train_tiny(run_copy, decision_score="waic") == 0
    assert (run_copy / "ensemble" / "manifest.json").read_bytes() == manifest
    assert (run_copy / "member_0" / "manifest.json").read_bytes() == weights
