"""Figure 2 from arrays made by hand, and `report --figure=2` around it."""

import csv
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from support import read_back

from tfp_genens import report as main_module
from tfp_genens.paper import documents
from tfp_genens.paper.figures import toy_figure
from tfp_genens.paper.registry import Row
from tfp_genens.paper.toy import regions
from tfp_genens.paper.toy.experiment import Ensemble, Toy, ToySettings, gan_regions
from tfp_genens.reporting import layout
from tfp_genens.reporting.layout import STYLE

SIDE = 50
NUM = 400
DIRECTIONS = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 1]])


def ensemble(logits):
    generator = np.random.default_rng(1)
    return Ensemble(
        discriminators=logits["box"].reshape(5, SIDE, SIDE),
        samples=generator.normal(5, 1, (5, NUM, 2)).astype(np.float32),
        distances=generator.normal(size=(7, 5)).astype(np.float32),
        cross_entropies=generator.uniform(size=(21, 5)).astype(np.float32),
        accuracies=np.linspace(0.5, 0.6, 5),
    )


@pytest.fixture(scope="module")
def toy():
    """Discriminators are planes through p(x)'s centre, about which Var(D) is a bowl."""
    places = regions.places(NUM, SIDE, 0)
    log_prob = {name: regions.log_prob(x) for name, x in places.items()}
    logits = {name: DIRECTIONS @ (x - np.array(regions.CENTRE)).T for name, x in places.items()}
    lines = [
        {"part": "data", "is_centred": True, **regions.region("log p(x) itself", log_prob)},
        {"part": "flow", "is_centred": True, **regions.region("log density", log_prob)},
    ]
    for is_centred, label in ((True, ""), (False, "uncentred: ")):
        lines += [{"is_centred": is_centred, **line} for line in gan_regions(logits, label)]
    return Toy(
        settings=ToySettings(num_points=NUM, side=SIDE),
        seed=11,
        git_commit="0123456789abcdef",
        steps_a_mean=500,
        points=places["held_out"],
        flow_log_prob=log_prob["box"].reshape(SIDE, SIDE),
        flow_losses=np.array([3.0, 2.9], np.float32),
        gans=ensemble(logits),
        uncentred=ensemble(logits),
        regions=pd.DataFrame(lines),
    )


def of_part(toy, part, column):
    """Of the regions of the centred GANs, or of none."""
    chosen = (toy.regions["part"] == part) & toy.regions["is_centred"]
    return toy.regions[column][chosen].to_list()


def drawn(toy):
    with matplotlib.rc_context(STYLE):
        page = toy_figure.figure(toy)
        return page, page.png()


def segments(ax, color):
    """Points of the contour lines of one colour, [num, 2]."""
    found = [
        c
        for c in ax.collections
        if len(c.get_edgecolor())
        and np.allclose(c.get_edgecolor()[0], matplotlib.colors.to_rgba(color))
    ]
    return np.concatenate([path.vertices for c in found for path in c.get_paths()])


def test_lines_are_drawn_where_the_regions_end(toy):
    page, _ = drawn(toy)
    density, boundaries, variance = page.figure.axes[:3]
    step = 10 / SIDE
    radius = np.hypot(*(segments(density, layout.OOD_COLOR) - 5).T)
    (threshold,) = of_part(toy, "flow", "threshold")
    np.testing.assert_allclose(radius, np.sqrt(-2 * (threshold + np.log(2 * np.pi))), atol=step)
    for direction, color in zip(DIRECTIONS, toy_figure.GAN_COLORS, strict=False):
        np.testing.assert_allclose((segments(boundaries, color) - 5) @ direction, 0, atol=1e-9)
    line = segments(variance, layout.OOD_COLOR) - 5
    actual = np.var(line @ DIRECTIONS.T, axis=1)
    (threshold,) = of_part(toy, "variance", "threshold")
    np.testing.assert_allclose(actual, threshold, rtol=0.1)
    # All panels show the smallest region that holds 95 % of p(x).
    for ax in (density, boundaries, variance):
        (disc,) = ax.patches
        assert np.exp(-(disc.radius**2) / 2) == pytest.approx(0.05)
        assert disc.center == (5, 5)
        assert ax.get_xlim() == ax.get_ylim() == (0, 10)


def test_ticks_point_to_the_side_taken_for_data(toy):
    page, _ = drawn(toy)
    canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(page.figure)
    canvas.draw()
    ax = page.figure.axes[1]
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int)
    # GAN 1 takes what is right of x1 = 5 for data.
    color = 255 * np.array(matplotlib.colors.to_rgb(toy_figure.GAN_COLORS[0]))
    rows, columns = np.nonzero(np.abs(pixels - color).max(axis=2) < 25)
    x, y = (
        ax.transData.inverted()
        .transform(np.stack([columns + 0.5, pixels.shape[0] - rows - 0.5], axis=1))
        .T
    )
    inside = (x > 0) & (x < 10) & (y > 0) & (y < 10)
    assert (x[inside] > 5.15).sum() > 20
    assert (x[inside] < 4.85).sum() == 0


def test_the_same_toy_gives_the_same_bytes(toy):
    assert drawn(toy)[1] == drawn(toy)[1]


def test_the_caption_says_the_shares(toy):
    page, _ = drawn(toy)
    caption = page.caption.partition("\n\n## ")[0]
    for part in ("flow", "data", "variance"):
        (share,) = of_part(toy, part, "box")
        assert f"{100 * share:.1f} %" in caption
    boxes = of_part(toy, "member", "box")
    assert f"accept {100 * min(boxes):.1f} to {100 * max(boxes):.1f} %" in caption


def test_tables_hold_all_regions_and_curves(toy):
    page, _ = drawn(toy)
    sections = {s.heading: s for s in read_back.sections("# Title\n\n" + page.caption)}
    body = sections["How well each score fences p(x) in"].body
    for line, region in zip(body, toy.regions.itertuples(), strict=True):
        assert line[0] == region.name
        assert line[3] == f"{100 * region.box:.1f}"
        assert line[2].startswith(f"{100 * region.mass:.1f} [{100 * region.mass_low:.1f}, ")
    samples = toy.uncentred.samples[2]
    moments = sections["The generators of the uncentred GANs"].body[2]
    assert moments[1] == f"{samples[:, 0].mean():.2f}"
    assert moments[4] == f"{samples[:, 1].var(ddof=1):.2f}"
    curve = sections["The discriminators' sigmoid cross-entropy [nats]"].body
    assert curve[0][0] == "1 and on"
    assert curve[-1] == (
        "10,001 and on",
        *(f"{value:.4f}" for value in toy.gans.cross_entropies[-1]),
    )
    notes = sections["How it was trained"].notes
    assert notes[-1] == "Seed 11; trained and drawn by commit 0123456789ab."


def test_the_csv_is_unrounded(toy):
    text = documents.to_csv(toy_figure.records(toy))
    rows = list(csv.DictReader(text.splitlines()))
    for row, region in zip(rows, toy.regions.itertuples(), strict=True):
        assert (row["name"], row["seed"]) == (region.name, "11")
        assert float(row["threshold"]) == region.threshold
        assert float(row["mass_high"]) == region.mass_high


@pytest.fixture
def run(monkeypatch, capsys, toy):
    """Runs the main with a Figure 2 that is not trained; its exit code, output, errors and seed."""
    seeds = []

    def figure(seed):
        seeds.append(seed)
        return toy_figure.figure(toy), toy_figure.records(toy)

    monkeypatch.setattr(Row, "function", lambda self: figure)

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["report", *flags])
        with pytest.raises(SystemExit) as caught:
            main_module.main()
        return caught.value.code, *capsys.readouterr(), seeds

    return run


@pytest.mark.parametrize(("flags", "seed"), [((), 0), (("--seed=7",), 7)])
def test_figure_2_needs_no_evaluation(run, tmp_path, flags, seed):
    output = tmp_path / "new" / "figure2.png"
    code, out, _, seeds = run("--figure=2", *flags, f"--output={output}")
    paths = [output.with_suffix(suffix) for suffix in (".png", ".md", ".csv")]
    assert (code, out.split(), seeds) == (0, list(map(str, paths)), [seed])
    assert sorted(output.parent.iterdir()) == sorted(paths)
    text = paths[1].read_text()
    command = " \\\n    ".join(["--figure=2", *flags, f"--output={output}"])
    assert text.endswith(f"```\npython -m tfp_genens.report \\\n    {command}\n```\n")
    assert "Read before comparing" not in text


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--output=r.html",), "--evaluation_dir: expected one or more directories"),
        (("--figure=3", "--output=f.png"), "--evaluation_dir: expected one or more directories"),
        (("--table=2", "--output=t.md"), "--evaluation_dir: expected one or more directories"),
        (("--figure=2", "--evaluation_dir=e", "--output=f.png"), "none with --figure=2; got e"),
        (("--figure=2", "--output=f.md"), "--output: expected a .png file"),
        (("--figure=2", "--seed=-1", "--output=f.png"), "--seed: expected an integer of at least"),
        (("--seed=1", "--evaluation_dir=e", "--output=r.html"), "--seed: expected none without"),
        (
            ("--figure=7", "--evaluation_dir=e", "--output=f.png"),
            "one of leaderboard, 1, 3, members, 2; got",
        ),
    ],
)
def test_bad_flags_are_one_line(run, monkeypatch, tmp_path, flags, expected):
    monkeypatch.chdir(tmp_path)
    code, _, err, seeds = run(*flags)
    (line,) = err.splitlines()
    assert code == 2
    assert expected in line
    assert seeds == []
    assert list(tmp_path.iterdir()) == []
