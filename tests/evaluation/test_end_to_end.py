"""Train, evaluate and report for real: two tiny members on the digits."""

import html.parser
import json

import numpy as np
import pytest

from tfp_genens.data.noise import gaussian_blocks
from tfp_genens.errors import UserError
from tfp_genens.evaluate import evaluate
from tfp_genens.report import report
from tfp_genens.scoring.columns import read_scores

NUM_EXAMPLES = 40
SETS = ("hflip", "gaussian", "adversarial_unclipped", "adversarial_waic_clipped")
METRICS = ("auroc", "average_precision", "fpr_at_95_tpr")


@pytest.fixture(scope="module")
def evaluation(trained_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("evaluation")
    values = {
        "run_dir": str(trained_run),
        "output_dir": str(directory),
        "ood": SETS,
        "num_examples": NUM_EXAMPLES,
        "num_bootstrap": 20,
    }
    assert evaluate(values) == 0
    return directory


@pytest.fixture(scope="module")
def document(evaluation):
    return json.loads((evaluation / "results.json").read_text())


def test_results_hold_the_contract(document):
    assert (document["schema_version"], document["model"]) == (1, "vae")
    assert (document["train_dataset"], document["members"]) == ("digits", 2)
    assert document["missing"] == []
    assert [manifest["member"] for manifest in document["manifests"]] == [0, 1]
    scores = ["log_prob", "elbo", "rate", "distortion"]
    combined = ["log_prob_mean", "log_prob_var", "waic", "rate_mean", "rate_var"]
    found = {(row["ood_dataset"], row["score"]): row for row in document["rows"]}
    assert found.keys() >= {(name, score) for name in SETS for score in (*scores, *combined)}
    for row in document["rows"]:
        assert (row["num_in"], row["num_out"], row["num_nan"]) == (NUM_EXAMPLES, NUM_EXAMPLES, 0)
        assert row["paper_auroc"] is None  # The paper has no digits.
        for metric in METRICS:
            assert 0 <= row[f"{metric}_low"] <= row[f"{metric}_high"] <= 100
            assert 0 <= row[metric] <= 100
    assert found["adversarial_unclipped", "log_prob"]["members_used"] == [0]
    assert found["gaussian", "log_prob"]["members_used"] == [0, 1]


def test_the_attack_raised_the_log_prob_of_noise(evaluation, trained_ensemble):
    attacked = read_scores(evaluation / "scores/adversarial_unclipped.parquet").frame
    gaussian = read_scores(evaluation / "scores/gaussian.parquet").frame
    score = "log_prob_member_0"
    assert attacked[score].median() > gaussian[score].median()
    # And of the very noise that it began with, image by image.
    spec = trained_ensemble.input_spec
    start = gaussian_blocks(spec.shape, spec.value_range, 0, clipped=False)(0)[:NUM_EXAMPLES]
    before = trained_ensemble.score(start, ["log_prob"])["log_prob"][:, 0]
    assert np.mean(attacked[score].to_numpy() > before) > 0.9


def test_the_report_is_one_self_contained_file(evaluation, tmp_path):
    output = tmp_path / "report.html"
    report({"evaluation_dir": (str(evaluation),), "output": str(output)})
    links = []

    class Links(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag not in ("script", "link", "iframe")
            links.extend(value for name, value in attributes if name in ("src", "href"))

    Links().feed(output.read_text(encoding="utf-8"))
    drawn = json.loads((evaluation / "figures/index.json").read_text())["figures"]
    assert len(links) == len(drawn) > 5
    assert all(link.startswith("data:image/png;base64,") for link in links)


def test_held_out_inputs_are_those_that_the_run_held_out(run_copy, tmp_path):
    flags = {
        "run_dir": str(run_copy),
        "in_distribution": "held_out:tune",
        "ood": ("corrupted_noise_strong",),
        "outputs": ("dose",),
        "num_bootstrap": 20,
        "figures": False,
    }
    assert evaluate({**flags, "output_dir": str(tmp_path / "a")}) == 0
    found = json.loads((tmp_path / "a/results.json").read_text())
    member = json.loads((run_copy / "member_0/manifest.json").read_text())
    assert found["num_in"] == member["held_out"]["num_examples"]["tune"]
    assert {row["ood_dataset"] for row in found["rows"]} == {"corrupted_noise_strong"}

    path = run_copy / "ensemble/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_fingerprint": "0"}))
    with pytest.raises(UserError, match=r"--in_distribution: expected held_out:tune, of the data"):
        evaluate({**flags, "output_dir": str(tmp_path / "b")})
