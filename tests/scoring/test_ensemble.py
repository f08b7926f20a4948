"""Loading and scoring a frozen run: what is verified, and that rows do not depend on batches."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tfp_genens.data import open_source, read_all
from tfp_genens.errors import UserError
from tfp_genens.scoring import Ensemble, read_scores, score_table, score_to_file
from tfp_genens.scoring.freeze import ensure_frozen


@pytest.fixture(scope="module")
def ensemble(trained_ensemble):
    return trained_ensemble


@pytest.fixture(scope="module")
def source(ensemble):
    return open_source("digits:test", ensemble.input_spec)


class TestVerification:
    def test_missing_run(self, tmp_path):
        with pytest.raises(UserError, match=r"--run_dir.*frozen ensemble"):
            Ensemble.load(tmp_path / "none")

    def test_changed_weights(self, run_copy):
        path = next((run_copy / "ensemble" / "1" / "variables").glob("*.data*"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"ensemble.*changed files.*export"):
            Ensemble.load(run_copy)

    def test_a_member_changed_since(self, run_copy):
        (run_copy / "member_1" / "saved_model" / "more").touch()
        with pytest.raises(UserError, match=r"member_1.*changed files"):
            Ensemble.load(run_copy)

    def test_a_member_frozen_anew_since(self, run_copy):
        path = run_copy / "ensemble" / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["members"][1]["weights_sha256"] = "0" * 64
        path.write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=r"member_1 to be as it was frozen.*export"):
            Ensemble.load(run_copy)

    def test_the_folder_alone_is_enough(self, trained_run, source, tmp_path):
        shutil.copytree(trained_run / "ensemble", tmp_path / "detector")
        values = next(source.batches(4)).values
        there, here = (Ensemble.load(d).score(values) for d in (trained_run, tmp_path / "detector"))
        np.testing.assert_array_equal(there["waic"], here["waic"])


class TestScores:
    def test_shapes_and_every_output(self, ensemble, source):
        values = next(source.batches(6)).values
        scores = ensemble.score(values)
        for name in ("log_prob", "elbo", "rate", "distortion"):
            assert scores[name].shape == (6, 2)
            assert scores[f"{name}_mean"].shape == scores[f"{name}_var"].shape == (6,)
        assert (scores["log_prob"][:, 0] != scores["log_prob"][:, 1]).all()

    def test_some_members_beside_the_whole(self, run_copy, ensemble, source):
        values = next(source.batches(6)).values
        ensure_frozen(run_copy, [1])
        one = Ensemble.load(run_copy, [1])
        assert one.members == (1,)
        np.testing.assert_allclose(
            one.score(values)["log_prob"][:, 0], ensemble.score(values)["log_prob"][:, 1], rtol=1e-6
        )

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
        outputs = (
            *("log_prob", "elbo", "rate", "distortion", "prior_log_prob", "log_scale"),
            *("distortion_at_mean", "loc_norm", "input_complexity"),
        )
        assert list(scored.frame.columns) == [
            "example_id",
            *(f"{name}_member_{i}" for name in outputs for i in (0, 1)),
            *(f"{name}_{moment}" for name in outputs for moment in ("mean", "var")),
            *("dose", "waic", "p_value", "is_outlier"),
        ]
        assert scored.num_members == 2
        assert scored.member_scores["rate"].direction == "lower_is_normal"
        assert scored.ensemble_scores["waic"].direction == "higher_is_normal"
        assert scored.about["decision_score"] == "dose"

    def test_ensemble_columns_follow_from_the_members(self, scored):
        members = scored.frame[["log_prob_member_0", "log_prob_member_1"]].to_numpy().T
        np.testing.assert_allclose(scored.frame["log_prob_mean"], members.mean(axis=0), rtol=1e-12)
        expected = members.mean(axis=0) - members.var(axis=0)
        np.testing.assert_allclose(scored.frame["waic"], expected, rtol=1e-12)

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

    def test_an_ensemble_score_alone(self, ensemble, source, scored, tmp_path):
        path = tmp_path / "dose.parquet"
        score_to_file(ensemble, source, path, batch_size=128, outputs=["dose"])
        frame = read_scores(path).frame
        assert list(frame.columns) == ["example_id", "dose", "p_value", "is_outlier"]
        np.testing.assert_allclose(frame["dose"], scored.frame["dose"], rtol=1e-5)

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
