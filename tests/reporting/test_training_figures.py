"""Training curves, drawn from the metrics that an evaluation keeps of its members."""

import json

import matplotlib
import numpy as np
import pandas as pd
import pytest

from tfp_genens.errors import UserError
from tfp_genens.reporting import evaluation_files, figures, training_figures
from tfp_genens.reporting.layout import STYLE

STEPS = np.arange(50, 1001, 50)


def vae_metrics(member):
    is_validated = STEPS % 500 == 0
    distortion = 200.0 / np.sqrt(STEPS) + 80 + member
    return pd.DataFrame(
        {
            "step": STEPS,
            "phase": "train",
            "loss": distortion + 10,
            "distortion": distortion,
            "rate": 10.0,
            "validation_elbo": np.where(is_validated, -distortion - 11, np.nan),
            "validation_distortion": np.where(is_validated, distortion + 1, np.nan),
            "steps_per_sec": 3.0,
            "wall_secs": STEPS / 3.0,
        }
    )


def wgan_metrics(member):
    is_first = STEPS <= 600
    return pd.DataFrame(
        {
            "step": STEPS,
            "phase": np.where(is_first, "adversarial", "finetune"),
            "loss": np.where(is_first, -50.0 - member, 0.5),
            "penalty": np.where(is_first, 0.1, np.nan),
            "accuracy": np.where(is_first, np.nan, 0.8),
            "validation_accuracy": np.where(STEPS % 500 == 0, 0.7, np.nan),
            "steps_per_sec": 3.0,
            "wall_secs": STEPS / 3.0,
        }
    )


@pytest.fixture
def draw(make_evaluation):
    """(frames by member number, of the members evaluated) -> the page, or None."""

    def run(frames, members=(0, 1)):
        directory = make_evaluation(sets=("hflip",))
        path = directory / "results.json"
        document = json.loads(path.read_text())
        manifest = document["manifests"][0]
        document["manifests"] = [{**manifest, "member": member} for member in members]
        path.write_text(json.dumps(document))
        (directory / "training").mkdir()
        for member, frame in frames.items():
            frame.to_csv(directory / f"training/member_{member}.csv", index=False)
        evaluation = evaluation_files.load(directory)
        with matplotlib.rc_context(STYLE):
            pages = [*training_figures.training(evaluation)]
            for page in pages:
                page.figure.canvas.draw()
        assert len(pages) <= 1
        return pages[0] if pages else None

    return run


def panels(page):
    """Title -> panel; the phase, where it stands beside the title, is in it."""
    found = {}
    for ax in page.figure.axes:
        if ax.get_visible():
            titles = (ax.get_title(loc="left"), ax.get_title(loc="right"))
            found[" / ".join(title for title in titles if title)] = ax
    return found


def curves(ax):
    """What is drawn of members: without the marks of phases, which span the panel."""
    return [line for line in ax.lines if len(line.get_xdata()) != 2 or line.get_marker() == "o"]


def test_a_panel_a_term_and_a_line_a_member(draw):
    frames = {member: vae_metrics(member) for member in (0, 1)}
    page = draw(frames)
    found = panels(page)
    assert list(found) == ["loss", "distortion", "rate", "elbo"]
    for title, column in (("loss", "loss"), ("rate", "rate")):
        lines = curves(found[title])
        assert len(lines) == 2
        for line, frame in zip(lines, frames.values(), strict=True):
            np.testing.assert_allclose(line.get_xydata(), frame[["step", column]])
    # Held-out inputs are with the training term of that name, and only where they were recorded.
    lines = curves(found["distortion"])
    assert [len(line.get_xdata()) for line in lines] == [20, 2, 20, 2]
    np.testing.assert_allclose(lines[3].get_ydata(), frames[1]["validation_distortion"].dropna())
    assert lines[2].get_color() == lines[3].get_color() != lines[0].get_color()
    assert [line.get_xdata().tolist() for line in curves(found["elbo"])] == [[500, 1000]] * 2
    legend = [text.get_text() for text in page.figure.legends[0].get_texts()]
    assert legend == ["member 0", "member 1", "held-out inputs"]
    assert "Phases" not in page.caption
    assert "Not drawn" not in page.caption


def test_the_scale_is_of_settled_values(draw):
    low, high = panels(draw({0: vae_metrics(0)}))["loss"].get_ylim()
    values = vae_metrics(0).set_index("step")["loss"]
    assert low < values.min()
    # Past step 100, a tenth: the first two records may lie outside, and do.
    assert values[150] < high < values[100]


def test_phases_are_marked_and_losses_of_two_kinds_kept_apart(draw):
    page = draw({member: wgan_metrics(member) for member in (0, 1)})
    found = panels(page)
    assert list(found) == [
        "loss / adversarial",
        "loss / finetune",
        "penalty / adversarial",
        "accuracy / adversarial | finetune",
    ]
    first, second, penalty, accuracy = found.values()
    assert [ax.get_xlim() for ax in found.values()] == [(0, 600), (600, 1000), (0, 600), (0, 1000)]
    assert {y for line in first.lines for y in line.get_ydata()} == {-50.0, -51.0}
    assert {y for line in second.lines for y in line.get_ydata()} == {0.5}
    assert [len(line.get_xdata()) for line in penalty.lines] == [12, 12]
    marks = [line for line in accuracy.lines if line not in curves(accuracy)]
    assert [line.get_xdata() for line in marks] == [[600, 600]]
    assert "adversarial to step 600, then finetune to step 1,000" in page.caption
    assert "each has its own: loss." in page.caption


def test_only_members_that_were_evaluated_and_left_metrics(draw):
    page = draw({3: vae_metrics(3), 4: vae_metrics(4)}, members=(1, 3))
    legend = [text.get_text() for text in page.figure.legends[0].get_texts()]
    assert legend == ["member 3", "held-out inputs"]
    assert all(len({line.get_color() for line in ax.lines}) == 1 for ax in panels(page).values())


def test_nothing_without_metrics(draw):
    assert draw({}) is None


def test_nothing_for_a_file_without_records(draw):
    assert draw({0: vae_metrics(0).head(0)}) is None


def test_values_that_cannot_be_drawn_are_told(draw):
    frame = vae_metrics(1).astype({"validation_elbo": object})
    frame.loc[STEPS == 500, "validation_elbo"] = "nan"
    frame.loc[STEPS == 1000, "validation_elbo"] = "inf"
    page = draw({0: vae_metrics(0), 1: frame})
    assert page.caption.endswith(
        "Not drawn, because they are not finite: 2 of validation elbo of member 1."
    )
    assert np.isfinite(panels(page)["elbo"].get_ylim()).all()


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("", "No columns"),
        ("step,loss\n50,3\n", "the columns step and phase must be there"),
        ("step,phase,loss\n,train,3\n", "steps must be whole numbers"),
        ("step,phase,loss\n50.5,train,3\n", "steps must be whole numbers"),
        ("step,phase,loss\n50,train,3.x\n", "could not convert string to float: '3.x'"),
        ("step,phase,loss\n50,train,3,4\n60,train,1,2,3\n", "Error tokenizing data"),
    ],
)
def test_a_damaged_file_is_named(make_evaluation, damaged, reason):
    directory = make_evaluation(sets=("hflip",))
    (directory / "training").mkdir()
    (directory / "training/member_0.csv").write_text(damaged)
    evaluation = evaluation_files.load(directory, "--output_dir")
    with pytest.raises(
        UserError, match=f"--output_dir: .*member_0.csv; got a damaged file: {reason}"
    ) as error:
        list(training_figures.training(evaluation))
    assert "\n" not in str(error.value)


def test_more_members_than_colours_differ_in_their_lines(draw):
    page = draw({member: vae_metrics(member) for member in range(10)}, members=range(10))
    handles = page.figure.legends[0].legend_handles[:10]
    looks = {(handle.get_color(), handle.get_linestyle()) for handle in handles}
    assert len(looks) == 10


def test_it_is_one_of_the_figures_of_a_report(make_evaluation):
    directory = make_evaluation(sets=("hflip",))
    (directory / "training").mkdir()
    vae_metrics(0).to_csv(directory / "training/member_0.csv", index=False)
    names = [page.name for page in figures.pages(evaluation_files.load(directory))]
    assert names[-1] == "training"
