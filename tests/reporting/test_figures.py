"""Figures from files: every page is drawn, nothing is hidden, nothing is left over."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tfp_genens.evaluation import metrics
from tfp_genens.reporting import evaluation_files, figures, image_figures, layout, score_figures
from tfp_genens.reporting.figures import pages, write_figures

EVERY_FIGURE = [
    "histograms_rate",
    "histograms_log_prob",
    "histograms_waic",
    "roc",
    "rate_distortion",
    "calibration",
    "extremes",
    "sets",
    "reconstructions",
    "model_samples",
]


def drawn(directory):
    return {page.name: page for page in pages(evaluation_files.load(directory))}


def texts(page):
    """All text in a figure."""
    return " | ".join(text.get_text() for text in page.figure.findobj(match=is_text))


def is_text(artist):
    return hasattr(artist, "get_text")


def test_all_figures_are_written_as_readable_png(make_evaluation):
    directory = make_evaluation()
    write_figures(directory)
    index = json.loads((directory / "figures/index.json").read_text())["figures"]
    assert [entry["file"] for entry in index] == [f"{name}.png" for name in EVERY_FIGURE]
    for entry in index:
        assert entry["title"]
        assert entry["caption"].endswith(".")
        with Image.open(directory / "figures" / entry["file"]) as image:
            image.load()
            assert 500 < image.width < 2000
            assert len(np.unique(np.asarray(image.convert("L")))) > 10  # Not an empty page.
    names = {path.name for path in (directory / "figures").iterdir()}
    assert names == {entry["file"] for entry in index} | {"index.json"}


def test_the_same_files_give_the_same_bytes(make_evaluation):
    directory = make_evaluation()
    first, second = drawn(directory)["histograms_waic"], drawn(directory)["histograms_waic"]
    assert first.png() == second.png()


def test_figures_that_no_longer_exist_are_removed(make_evaluation):
    directory = make_evaluation()
    write_figures(directory)
    (directory / "figures" / "mine.png").write_bytes(b"not ours")
    for path in (directory / "examples").iterdir():
        path.unlink()
    write_figures(directory)
    names = {path.stem for path in (directory / "figures").glob("*.png")}
    assert names == {*EVERY_FIGURE[:6], "mine"}


def test_colour_images(make_evaluation):
    page = drawn(make_evaluation(shape=(8, 8, 3)))["sets"]
    image = page.figure.axes[0].images[0].get_array()
    assert np.ptp(np.asarray(image), axis=-1).max() > 0.1


def test_tables_have_no_image_figures(make_evaluation):
    assert list(drawn(make_evaluation(shape=(30,)))) == EVERY_FIGURE[:6]


def test_no_calibration_without_p_values(make_evaluation):
    assert "calibration" not in drawn(make_evaluation(with_p_values=False))


def test_many_sets_go_on_further_pages(make_evaluation):
    names = tuple(f"set {k}" for k in range(11))
    found = drawn(make_evaluation(sets=names))
    for name in ("histograms_waic", "roc", "extremes"):
        panels = [
            ax
            for page in (found[name], found[f"{name}_2"])
            for ax in page.figure.axes
            if ax.get_visible()
        ]
        assert max(len(found[n].figure.axes) for n in (name, f"{name}_2")) <= 18
        assert len(panels) == (22 if name == "extremes" else 11)
    assert "set 10" in texts(found["roc_2"])


def test_an_evaluation_without_sets_has_no_figures(make_evaluation):
    directory = make_evaluation(sets=())
    assert drawn(directory) == {}
    write_figures(directory)
    assert json.loads((directory / "figures/index.json").read_text()) == {"figures": []}


def test_names_of_sets_are_not_taken_for_formulas(make_evaluation):
    page = drawn(make_evaluation(sets=(r"csv:$\nosuch{$",)))["roc"]
    assert page.png()


def test_axes_carry_units_and_direction(make_evaluation):
    found = drawn(make_evaluation())
    assert "WAIC [nats] (more normal to the right)" in texts(found["histograms_waic"])
    assert "Rate [nats] (more normal to the left)" in texts(found["histograms_rate"])
    assert "rate [nats]" in texts(found["rate_distortion"])
    assert "Fashion-MNIST" in texts(found["roc"])


def test_heavy_tails_nan_and_infinities_are_said(make_evaluation):
    rng = np.random.default_rng(0)
    log_prob = rng.normal(size=(2, 50))
    log_prob[:, :10] = -1e30
    log_prob[:, 10:15] = np.inf
    log_prob[:, 15:18] = np.nan
    found = drawn(make_evaluation(sets=("hflip",), log_probs={"file_0": log_prob}))
    text = texts(found["histograms_log_prob"])
    assert "20% of OoD below the axis" in text
    assert "10% of OoD above the axis" in text
    assert "3 OoD NaN" in text
    assert "36% at the frame" in texts(found["rate_distortion"])
    for page in found.values():
        assert page.png()


def test_scores_that_are_all_equal_or_nan_can_be_drawn(make_evaluation):
    for k, value in enumerate((0.0, -7.0, np.nan)):
        constant = np.full((2, 50), value)
        directory = make_evaluation(
            f"evaluation {k}",
            sets=("hflip",),
            log_probs={"in_distribution": constant, "file_0": constant},
        )
        assert all(page.png() for page in drawn(directory).values())


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_subnormal=False)),
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6)),
)
def test_histograms_account_for_every_input(ood, in_distribution):
    low, high = score_figures.robust_range(in_distribution, [ood])
    assert np.isfinite([low, high]).all()
    assert low < high
    shares = score_figures.histogram(ood, np.linspace(low, high, 20))
    assert shares.sum() == pytest.approx(1 - np.isnan(ood).mean())


def test_robust_range_keeps_in_distribution_scores_legible():
    rng = np.random.default_rng(0)
    in_distribution = rng.normal(size=10_000)
    low, high = score_figures.robust_range(in_distribution, [np.array([-1e9, 1e9])])
    assert 0.15 < np.ptp(np.quantile(in_distribution, [0.005, 0.995])) / (high - low) < 0.25
    low, high = score_figures.robust_range(in_distribution, [in_distribution - 1])
    assert np.quantile(in_distribution - 1, 0.005) == pytest.approx(low, abs=0.2)


def test_mean_roc_encloses_the_auroc_of_the_row(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    grid = np.linspace(0, 1, 4001)
    for ood in evaluation.ood:
        for score in ("rate", "waic"):
            curve = score_figures.mean_roc(evaluation, ood, score, grid)
            area = 100 * np.trapezoid(curve, grid)
            assert area == pytest.approx(evaluation.row(ood.name, score)["auroc"], abs=0.3)


def test_single_model_figures_show_the_attacked_member(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    attacked = evaluation.ood[2]
    assert attacked.member == 1
    np.testing.assert_array_equal(
        attacked.values("rate"), attacked.scores.frame["rate_member_1"].to_numpy()
    )
    in_values = evaluation.in_distribution.values("rate", attacked.member)
    auroc = metrics.auroc(in_values, attacked.values("rate"), "lower_is_normal")
    assert evaluation.row(attacked.name, "rate")["auroc"] == pytest.approx(100 * auroc)


def test_strips_frame_each_image_in_its_colour():
    images = [np.zeros((8, 8, 3)), np.full((8, 8, 3), 0.5)]
    image = layout.strip(images, ["#ff0000", "#0000ff"])
    height, width = image.shape[:2]
    assert width == 2 * height
    np.testing.assert_array_equal(image[height // 2, 5], [1, 0, 0])
    np.testing.assert_array_equal(image[height // 2, width - 6], [0, 0, 1])
    np.testing.assert_array_equal(image[height // 2, width * 3 // 4], [0.5] * 3)


def test_raw_values_become_grey_levels(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    images = np.array([[-50.0, 0.0, 51.0, 255.0, 400.0]]).reshape(1, 1, 5, 1)
    rgb = image_figures.to_rgb(images, evaluation)
    np.testing.assert_allclose(rgb[0, 0], np.repeat([[0], [0], [0.2], [1], [1]], 3, axis=1))


def test_extremes_mix_both_sets_in_order(make_evaluation):
    """Ten of the twenty candidates at either end, framed by where they came from."""
    directory = make_evaluation(
        sets=("hflip",),
        log_probs={
            "in_distribution": np.full((2, 50), 5.0) + np.linspace(0, 1, 50),
            "file_0": np.full((2, 50), -5.0) + np.linspace(0, 1, 50),
        },
    )
    least, most = drawn(directory)["extremes"].figure.axes
    blue, vermilion = (
        np.array(layout.matplotlib.colors.to_rgb(c)) for c in (layout.IN_COLOR, layout.OOD_COLOR)
    )
    for ax, color in ((least, vermilion), (most, blue)):
        strip = np.asarray(ax.images[0].get_array())
        tile = strip.shape[1] // 10
        for k in range(10):
            np.testing.assert_allclose(strip[strip.shape[0] // 2, k * tile + 5], color)


def test_registry_is_complete():
    assert list(figures.FIGURES) == [
        "histograms",
        "roc",
        "rate_distortion",
        "calibration",
        "extremes",
        "sets",
        "reconstructions",
        "model_samples",
        "training",
    ]
