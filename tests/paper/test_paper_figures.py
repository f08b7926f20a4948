"""The paper's figures from files: what is drawn is what the score files hold."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score
from support.evaluations import OUTPUTS, scored
from support.evaluations import evaluation as in_memory

from tfp_genens.errors import UserError
from tfp_genens.paper import numbers as paper
from tfp_genens.paper import registry
from tfp_genens.paper.figures import likelihood_figure, member_figure, rate_distortion_figure
from tfp_genens.paper.figures.scores import histograms
from tfp_genens.reporting import evaluation_files, layout
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.reporting.layout import STYLE

FIGURES = {
    flag: row for flag, row in registry.of_kind(registry.FIGURE).items() if not row.is_trained
}
SETS = ("hflip", "fashion_mnist", "uniform", "adversarial_clipped")


@pytest.fixture
def evaluation(make_evaluation):
    return evaluation_files.load(make_evaluation(sets=SETS))


def drawn(name, *evaluations):
    with matplotlib.rc_context(STYLE):
        page = FIGURES[name].function()(evaluations)
        page.figure.draw_without_rendering()
    return page


def texts(page):
    return " | ".join(t.get_text() for t in page.figure.findobj(lambda a: hasattr(a, "get_text")))


def edited(directory, change):
    """The evaluation after `change` was made to its results.json."""
    path = directory / "results.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return evaluation_files.load(directory)


def set_beta(document, beta):
    for manifest in document["manifests"]:
        manifest["config"] = manifest["config"] | {"beta": beta}


def member_auroc(evaluation, ood, member):
    """Of log_prob, percent, by scikit-learn."""
    inside = evaluation.in_distribution.values("log_prob", member)
    outside = ood.values("log_prob", member)
    is_ood = [0] * len(inside) + [1] * len(outside)
    return 100 * roc_auc_score(is_ood, -np.concatenate([inside, outside]))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_readable_png(name, evaluation, tmp_path):
    page = drawn(name, evaluation)
    assert page.title
    assert page.caption.endswith(".")
    (tmp_path / "a.png").write_bytes(page.png())
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert 500 < image.width < 2000
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # Not an empty page.


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_files_give_the_same_bytes(name, evaluation):
    assert drawn(name, evaluation).png() == drawn(name, evaluation).png()


@pytest.mark.parametrize("name", FIGURES)
def test_an_evaluation_without_sets_is_refused(name, make_evaluation):
    with pytest.raises(UserError, match="--evaluation_dir"):
        drawn(name, evaluation_files.load(make_evaluation(sets=())))


def test_missing_scores_are_named(evaluation):
    evaluation.in_distribution.scores.member_scores.pop("distortion")
    with pytest.raises(UserError, match="evaluations that have distortion"):
        drawn("3", evaluation)


def test_likelihoods_are_of_one_member_on_sets_made_of_data(evaluation):
    assert [s.name for s in likelihood_figure.shown_sets(evaluation)] == ["hflip", "fashion_mnist"]
    text = texts(drawn("1", evaluation))
    for ood in likelihood_figure.shown_sets(evaluation):
        assert f"{ood.label}, AUROC {member_auroc(evaluation, ood, 0):.1f}" in text
        assert f"{ood.label}, AUROC {evaluation.row(ood.name, 'waic')['auroc']:.1f}" in text
    assert "log p(x), member 0" in text


def test_without_sets_made_of_data_the_others_are_shown(make_evaluation):
    names = ("uniform", *(f"adversarial {k}" for k in range(8)))
    shown = likelihood_figure.shown_sets(evaluation_files.load(make_evaluation(sets=names)))
    assert [s.name for s in shown] == list(names[: len(layout.OOD_STYLES)])


def test_a_set_looks_the_same_in_every_evaluation(make_evaluation):
    groups = (("omniglot", "mnist", "hflip"), ("vflip", "hflip", "csv:a", "csv:b", "omniglot"))
    evaluations = [
        evaluation_files.load(make_evaluation(f"number {k}", sets=names))
        for k, names in enumerate(groups)
    ]
    styles = likelihood_figure.set_styles(evaluations)
    assert styles.keys() == {name for names in groups for name in names}
    assert len(set(styles.values())) == len(styles)
    for k, evaluation in enumerate(evaluations):
        ax = drawn("1", *evaluations).figure.axes[2 * k]
        _, *lines = [patch for patch in ax.patches if not patch.get_fill()]
        for line, of_set in zip(lines, evaluation.ood, strict=True):
            color = matplotlib.colors.to_hex(line.get_edgecolor()).upper()
            assert color == styles[of_set.name][0]


def test_more_sets_than_styles_still_differ(make_evaluation):
    evaluations = [
        evaluation_files.load(
            make_evaluation(f"number {k}", sets=tuple(f"csv:{k}{i}" for i in range(6)))
        )
        for k in range(2)
    ]
    styles = likelihood_figure.set_styles(evaluations)
    assert len(styles) == len(set(styles.values())) == 12


def test_every_evaluation_has_its_panels(make_evaluation):
    evaluations = [
        edited(make_evaluation(f"at {beta}"), lambda document, beta=beta: set_beta(document, beta))
        for beta in (1.0, 0.1)
    ]
    for name in set(FIGURES) - {"leaderboard"}:  # which has a panel a training set
        text = texts(drawn(name, *evaluations))
        assert "MNIST, beta 1" in text
        assert "MNIST, beta 0.1" in text


def test_histograms_hold_every_input_or_say_that_they_do_not():
    rng = np.random.default_rng(0)
    inside = rng.normal(size=200)
    outside = np.concatenate([rng.uniform(-1, 1, 150), [-1e9] * 30, [np.inf] * 10, [np.nan] * 10])
    made = (("in", inside), ("out", outside))
    sets = [
        EvaluatedSet(name, name, scored({"critic": [x]}, OUTPUTS["wgan"], [0]), {}, 0)
        for name, x in made
    ]
    row = {"ood_dataset": "out", "score": "critic", "auroc": 60.0, "auroc_members": [62.5]}
    document = {"rows": [row], "labels": {"scores": {"critic": "D"}}}
    evaluation = Evaluation(Path("runs/x"), document, sets[0], (sets[1],), None)
    figure, (ax,) = layout.panels(1, "a title")
    histograms(ax, evaluation, sets[1:], "critic", (-5.0, 5.0))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "in",
        "out, AUROC 62.5 (15.0% left of the axis, 5.0% right of the axis, 5.0% NaN)",
    ]
    assert ax.get_xlabel() == "D [logits] (more normal to the right)"
    drawn_shares = [stairs.get_data().values.sum() for stairs in ax.patches]
    assert drawn_shares == pytest.approx([1.0, 1.0, 0.75])
    assert figure.get_axes() == [ax]


def test_the_counterpart_is_the_papers_or_the_first():
    assert paper.counterpart("fashion_mnist", ["hflip", "mnist"]) == "mnist"
    assert paper.counterpart("mnist", ["hflip", "vflip"]) == "hflip"
    assert paper.counterpart("digits", ["uniform", "mnist"]) == "uniform"


def test_figure_3_shows_the_counterpart_and_its_numbers(evaluation):
    page = drawn("3", evaluation)
    ood = evaluation.ood[1]
    assert rate_distortion_figure.shown_set(evaluation) is ood
    distortion = ood.scores.frame["distortion_member_0"].mean()
    rate = ood.scores.frame["rate_member_0"].mean()
    text = texts(page)
    assert f"Fashion-MNIST: mean distortion {distortion:.1f}, rate {rate:.1f} nats" in text
    assert f"Fashion-MNIST, AUROC {member_auroc(evaluation, ood, 0):.1f}" in text
    assert f"distortion {distortion:.1f}, rate {rate:.1f}" in page.caption


def test_figure_3_stacks_inputs_over_what_is_decoded_from_them(evaluation):
    inputs, _ = (ax for ax in drawn("3", evaluation).figure.axes if ax.images)
    picture = np.asarray(inputs.images[0].get_array())
    upper, lower = np.split(picture, 2)
    tile = upper.shape[1] // rate_distortion_figure.NUM_IMAGES
    centre = slice(10, tile - 10)
    raw = evaluation.in_distribution.examples["first"][0, :, :, 0]
    large = np.clip(raw / 255, 0, 1).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(upper[centre, centre, 0], large[3:-3, 3:-3], atol=1e-6)
    # The fixture's reconstructions are half of its inputs.
    halved = np.clip(raw / 510, 0, 1).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(lower[centre, centre, 0], halved[3:-3, 3:-3], atol=1e-6)


def test_figure_3_draws_each_input_once(evaluation):
    (scatter,) = (
        ax for ax in drawn("3", evaluation).figure.axes if ax.get_xlabel().startswith("Rate")
    )
    points = scatter.collections[0].get_offsets()
    colors = scatter.collections[0].get_facecolors()[:, :3]
    is_ood = np.all(colors == matplotlib.colors.to_rgb(layout.OOD_COLOR), axis=1)
    for shown, chosen in ((evaluation.in_distribution, ~is_ood), (evaluation.ood[1], is_ood)):
        expected = shown.scores.frame[["rate_member_0", "distortion_member_0"]].to_numpy()
        assert chosen.sum() == len(expected)
        is_near = np.abs(np.sort(points[chosen, 0]) - np.sort(expected[:, 0])) < 1e-9
        assert is_near.mean() > 0.9  # The others lie outside the central 99 %, at the frame.


def test_evaluations_of_one_training_set_share_axes(make_evaluation):
    near = make_evaluation("near")
    far = make_evaluation("far", log_probs={"file_0": np.linspace(-9, -3, 100).reshape(2, 50)})
    page = drawn("3", *map(evaluation_files.load, (near, far)))
    for label in ("Rate", "log p(x)"):
        limits = {ax.get_xlim() for ax in page.figure.axes if ax.get_xlabel().startswith(label)}
        assert len(limits) == 1


def test_figure_3_needs_images(make_evaluation):
    table = evaluation_files.load(make_evaluation("table", shape=(30,)))
    with pytest.raises(UserError, match="images and their reconstructions"):
        drawn("3", table)
    bare = make_evaluation("bare")
    for path in (bare / "examples").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="images and their reconstructions"):
        drawn("3", evaluation_files.load(bare))


def test_member_curves_end_at_the_auroc_of_all_members(evaluation):
    page = drawn("members", evaluation)
    panels = {ax.get_title(loc="left"): ax for ax in page.figure.axes if ax.get_visible()}
    labels = {s.label: s.name for s in evaluation.ood[:3]}  # attacks are left out
    assert panels.keys() == labels.keys()
    for label, ax in panels.items():
        for score, line in zip(("log_prob_mean", "log_prob_var", "waic"), ax.lines, strict=True):
            sizes, aurocs = line.get_data()
            assert list(sizes) == ([2] if score == "log_prob_var" else [1, 2])
            assert aurocs[-1] == pytest.approx(evaluation.row(labels[label], score)["auroc"])
    assert "adversarial_clipped" in page.caption


def test_member_curves_of_critics_are_of_their_own_scores():
    critics = in_memory(range(3), model="wgan")
    (panel,) = (ax for ax in drawn("members", critics).figure.axes if ax.get_visible())
    expected = [critics.row("hflip", score)["auroc"] for score in ("critic_mean", "critic_var")]
    assert [line.get_ydata()[-1] for line in panel.lines] == pytest.approx(expected)
    critics.in_distribution.scores.ensemble_scores.clear()
    with pytest.raises(UserError, match=r"have one of .*critic_mean, critic_var; got"):
        drawn("members", critics)


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=1, max_size=5))
def test_limits_hold_all_bands_and_are_never_narrow(bands):
    lowest, highest = min(map(min, bands)), max(map(max, bands))
    low, high = member_figure.limits(lowest, highest)
    eps = 1e-9
    assert -eps <= low <= lowest + eps
    assert highest - eps <= high <= 100 + eps
    assert high - low >= member_figure.MIN_SPAN - eps
