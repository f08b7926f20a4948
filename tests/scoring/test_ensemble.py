"""Loading and scoring a frozen run: what is verified, and that rows do not depend on batches."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tfp_genens.data import open_source, read_all
from tfp_genens.errors import UserError
from tfp_genens.scoring import Ensemble, read_scores, score_table, score_to_file
from tfp_genens.scoring.combine import combine


@pytest.fixture(scope="module")
def ensemble(trained_run):
    return Ensemble.load(trained_run)


@pytest.fixture(scope="module")
def source(ensemble):
    return open_source("digits:test", ensemble.input_spec)


def edit_manifest(run_dir, number, **changes):
    path = run_dir / f"member_{number}" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestVerification:
    def test_missing_run(self, tmp_path):
        with pytest.raises(UserError, match="--run_dir"):
            Ensemble.load(tmp_path / "none")

    def test_unfinished_member(self, run_copy):
        (run_copy / "member_1" / "manifest.json").unlink()
        with pytest.raises(UserError, match=r"finished member.*member_1"):
            Ensemble.load(run_copy)
        assert Ensemble.load(run_copy, members=[0]).num_members == 1

    def test_changed_weights(self, run_copy):
        path = next((run_copy / "member_0" / "saved_model" / "variables").glob("*.data*"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"member_0.*changed"):
            Ensemble.load(run_copy)

    def test_changed_validation_scores(self, run_copy):
        path = run_copy / "member_0" / "validation_scores.npz"
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(UserError, match="validation_scores"):
            Ensemble.load(run_copy)

    def test_unknown_schema_version(self, run_copy):
        edit_manifest(run_copy, 0, schema_version=99)
        with pytest.raises(UserError, match=r"schema_version 1.*99"):
            Ensemble.load(run_copy)

    @pytest.mark.parametrize(
        "changes",
        [
            {"train_dataset": "mnist"},
            {"data_fingerprint": "0" * 64},
            {"model": "glow"},
            {"seed": 7},
        ],
    )
    def test_members_that_do_not_belong_together(self, run_copy, changes):
        edit_manifest(run_copy, 1, **changes)
        with pytest.raises(UserError, match="members with the same"):
            Ensemble.load(run_copy)

    def test_a_member_counted_twice(self, run_copy):
        shutil.rmtree(run_copy / "member_1")
        shutil.copytree(run_copy / "member_0", run_copy / "member_1")
        with pytest.raises(UserError, match=r"member 1 .*got member 0"):
            Ensemble.load(run_copy)
        edit_manifest(run_copy, 1, member=1)
        with pytest.raises(UserError, match="independently"):
            Ensemble.load(run_copy)

    def test_another_configuration(self, run_copy):
        edit_manifest(run_copy, 1, config_sha256="0" * 64)
        with pytest.raises(UserError, match="same configuration"):
            Ensemble.load(run_copy)

    @pytest.mark.parametrize("key", ["weights_sha256", "signatures", "member"])
    def test_incomplete_manifest(self, run_copy, key):
        path = run_copy / "member_0" / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest[key]
        path.write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=f"no {key}"):
            Ensemble.load(run_copy)

    def test_incomplete_config(self, run_copy):
        (run_copy / "config.json").write_text("{}")
        with pytest.raises(UserError, match="no num_members"):
            Ensemble.load(run_copy)

    def test_unknown_member(self, trained_run):
        with pytest.raises(UserError, match="--members"):
            Ensemble.load(trained_run, members=[0, 5])


class TestScores:
    def test_shapes_and_every_output(self, ensemble, source):
        values = next(source.batches(6)).values
        scores = ensemble.score(values)
        assert set(scores) == {"log_prob", "elbo", "rate", "distortion"}
        assert all(x.shape == (2, 6) and x.dtype == np.float64 for x in scores.values())
        assert (scores["log_prob"][0] != scores["log_prob"][1]).all()

    @pytest.mark.parametrize("batch_size", [1, 7, 100])
    def test_rows_do_not_depend_on_the_batch_size(self, ensemble, source, batch_size):
        from tfp_genens.data import take

        some = take(source, 23)
        whole = next(score_table(ensemble, some, batch_size=23)).to_pandas()
        parts = pd.concat(
            [t.to_pandas() for t in score_table(ensemble, some, batch_size=batch_size)],
            ignore_index=True,
        )
        assert list(parts["example_id"]) == list(whole["example_id"])
        numeric = whole.select_dtypes("number").columns
        np.testing.assert_allclose(parts[numeric], whole[numeric], rtol=2e-5, atol=2e-5)

    def test_members_noise_differs_and_the_run_seed_decides_it(self, trained_run, source):
        values = next(source.batches(4)).values
        one, same, other = (
            Ensemble.load(trained_run, seed=s).score(values)["log_prob"] for s in (0, None, 1)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()

    def test_no_verdict_with_noise_that_calibration_did_not_have(self, trained_run, source):
        ensemble = Ensemble.load(trained_run, seed=1)
        assert "p_value" not in next(score_table(ensemble, source, batch_size=5)).column_names
        with pytest.raises(UserError, match="calibrat"):
            ensemble.predict(next(source.batches(2)).values)

    def test_unknown_output(self, ensemble, source):
        with pytest.raises(UserError, match=r"--outputs: expected some of log_prob"):
            next(score_table(ensemble, source, batch_size=5, outputs=["critic"]))

    def test_gradient_leads_uphill(self, ensemble, source):
        x = next(source.batches(5)).values.astype(np.float32)
        before, gradient = ensemble.score_and_gradient(x, 1)
        after, _ = ensemble.score_and_gradient(x + 0.5 * np.sign(gradient), 1)
        assert (after > before).all()


class TestFiles:
    @pytest.fixture(scope="class")
    def scored(self, ensemble, source, tmp_path_factory):
        path = tmp_path_factory.mktemp("scores") / "scores.parquet"
        assert score_to_file(ensemble, source, path, batch_size=128) == 500
        return read_scores(path)

    def test_columns(self, scored):
        assert list(scored.frame.columns) == [
            "example_id",
            *(
                f"{name}_member_{i}"
                for name in ("log_prob", "elbo", "rate", "distortion")
                for i in (0, 1)
            ),
            "log_prob_mean",
            "log_prob_var",
            "waic",
            "rate_mean",
            "rate_var",
            "p_value",
            "is_outlier",
        ]
        assert scored.num_members == 2
        assert scored.member_scores["rate"].direction == "lower_is_normal"
        assert scored.ensemble_scores["waic"].direction == "higher_is_normal"
        assert scored.about["decision_score"] == "waic"

    def test_ensemble_columns_follow_from_the_members(self, scored):
        members = scored.frame[["log_prob_member_0", "log_prob_member_1"]].to_numpy().T
        expected = combine({"log_prob": members})
        for name, values in expected.items():
            np.testing.assert_allclose(scored.frame[name], values, rtol=1e-12)

    def test_one_row_an_input_in_order(self, scored, source):
        ids, _ = read_all(source)
        assert tuple(scored.frame["example_id"]) == ids
        assert np.isfinite(scored.frame.select_dtypes("number")).all(axis=None)

    def test_verdict_follows_from_alpha(self, scored):
        expected = scored.frame["p_value"] <= 0.05
        assert (scored.frame["is_outlier"] == expected).all()

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    def test_other_formats_hold_the_same(self, ensemble, source, scored, tmp_path, suffix):
        path = tmp_path / f"scores{suffix}"
        score_to_file(ensemble, source, path, batch_size=128)
        readers = {".csv": pd.read_csv, ".jsonl": lambda p: pd.read_json(p, lines=True)}
        frame = readers[suffix](path)
        assert list(frame.columns) == list(scored.frame.columns)
        np.testing.assert_allclose(frame["waic"], scored.frame["waic"], rtol=1e-9)

    def test_rate_alone(self, ensemble, source, tmp_path):
        path = tmp_path / "rate.parquet"
        score_to_file(ensemble, source, path, batch_size=128, outputs=["rate"])
        frame = read_scores(path).frame
        assert "waic" not in frame
        assert read_scores(path).about["decision_score"] == "rate_mean"

    def test_a_failure_leaves_the_old_file(self, ensemble, source, tmp_path):
        path = tmp_path / "scores.csv"
        path.write_text("old")

        class Breaks:
            name, shape, num_examples = "breaks", source.shape, None

            def batches(self, batch_size):
                yield next(source.batches(batch_size))
                raise UserError("--input", "readable files", "a broken one")

        with pytest.raises(UserError):
            score_to_file(ensemble, Breaks(), path, batch_size=10)
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]

    def test_not_a_score_file(self, tmp_path):
        path = tmp_path / "x.parquet"
        pd.DataFrame({"a": [1]}).to_parquet(path)
        with pytest.raises(UserError, match="Parquet file of scores"):
            read_scores(path)


class TestScikitLearnInterface:
    def test_signs(self, ensemble, source):
        normal = next(source.batches(200)).values
        noise = np.random.default_rng(0).integers(0, 256, normal.shape).astype(np.uint8)
        assert ensemble.score_samples(normal).mean() > ensemble.score_samples(noise).mean()
        predictions = ensemble.predict(noise)
        assert set(predictions) <= {-1, 1}
        assert (predictions == -1).mean() > (ensemble.predict(normal) == -1).mean()
        decision = ensemble.decision_function(normal, alpha=0.1)
        assert ((decision > 0) == (ensemble.predict(normal, alpha=0.1) == 1)).all()

    def test_bad_values(self, ensemble):
        with pytest.raises(UserError, match="shape"):
            ensemble.score_samples(np.zeros([3, 9, 9, 1]))
        with pytest.raises(UserError, match="finite"):
            ensemble.score_samples(np.full([3, 8, 8, 1], np.nan))
