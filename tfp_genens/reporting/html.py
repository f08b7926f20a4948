"""The report: evaluations as one self-contained HTML file."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from scipy import stats

from tfp_genens import __version__
from tfp_genens.config import EvaluateConfig, ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, tables
from tfp_genens.evaluation.metrics import METRICS
from tfp_genens.files import atomic_path, make_directory, read_json
from tfp_genens.reporting import evaluation_files, provenance
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.scoring.columns import P_VALUE

ALPHAS = (0.001, 0.01, 0.05, 0.1, 0.2)
OOD_ALPHA = 0.05


def report(config: ReportConfig) -> None:
    """Writes the report of one or more evaluations and says where it is.

    Raises:
      UserError: a directory holds no evaluation, or the output cannot be written.
    """
    output = Path(config.output)
    if output.is_dir():
        raise UserError("--output", "a file", f"{output}, a directory")
    make_directory(output.parent, "--output")
    evaluations = [evaluation_files.load(directory) for directory in config.evaluation_dir]
    text = render(evaluations, config)
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(output)


def render(evaluations: Sequence[Evaluation], config: ReportConfig) -> str:
    """The report's HTML."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("tfp_genens.reporting").joinpath("report.html.j2")
    template = environment.from_string(source.read_text(encoding="utf-8"))
    flags = {"evaluation_dir": config.evaluation_dir, "output": config.output}
    return template.render(
        sections=list(map(_section, evaluations)),
        report_command=provenance.command("report", flags),
        version=__version__,
        alpha=OOD_ALPHA,
    )


def _section(evaluation: Evaluation) -> dict[str, Any]:
    """What the template needs of one evaluation."""
    document = evaluation.document
    manifests = document["manifests"]
    seconds = [manifest["wall_clock_secs"] for manifest in manifests]
    return {
        "heading": tables.heading(document),
        "document": document,
        "first": manifests[0],
        "train_label": results.dataset_label(document, document["train_dataset"]),
        "advice": _advice(evaluation),
        "steps": sorted({manifest["steps"] for manifest in manifests}),
        "seconds": [_duration(sum(seconds)), _duration(float(np.mean(seconds)))],
        "trained_by": provenance.training_commits(manifests),
        "evaluated_by": provenance.short_commit(document.get("git_commit")),
        "metrics": [
            {"title": tables.TITLES[metric], "table": tables.metric_table(document, metric)}
            for metric in METRICS
        ],
        "every_score": tables.every_score_table(document),
        "calibration": calibration(evaluation.in_distribution, ALPHAS),
        "found": [
            {"label": ood.label, "rows": calibration(ood, (OOD_ALPHA,))} for ood in evaluation.ood
        ],
        "figures": _figures(evaluation),
        "commands": _commands(document),
        "missing": [
            (results.dataset_label(document, entry["ood_dataset"]), entry["reason"])
            for entry in document["missing"]
        ],
    }


def _advice(evaluation: Evaluation) -> dict[str, Any] | None:
    """The score to use, and the OoD sets that it tells apart best and worst; None without one."""
    score = evaluation.in_distribution.scores.decision_score
    rows = [row for row in evaluation.document["rows"] if row["score"] == score]
    if score is None or not rows:
        return None
    ranked = sorted(rows, key=lambda row: row["auroc"])
    worst, best = (
        {
            "label": results.dataset_label(evaluation.document, row["ood_dataset"]),
            "auroc": row["auroc"],
        }
        for row in (ranked[0], ranked[-1])
    )
    return {"score": evaluation.score_label(score), "name": score, "worst": worst, "best": best}


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def calibration(scored: EvaluatedSet, alphas: Sequence[float]) -> list[dict[str, Any]]:
    """Share of a set flagged at each alpha, with its 95 % Clopper-Pearson interval, in percent.

    Empty where the score file has no p-values. A p-value that is NaN flags nothing.
    """
    if P_VALUE not in scored.scores.frame:
        return []
    p_values = scored.values(P_VALUE)
    rows = []
    for alpha in alphas:
        flagged = int((p_values <= alpha).sum())
        interval = stats.binomtest(flagged, len(p_values)).proportion_ci(0.95, method="exact")
        row = {"alpha": alpha, "flagged": flagged / len(p_values)}
        row |= {"low": interval.low, "high": interval.high}
        rows.append({name: 100 * x for name, x in row.items()} | {"num": len(p_values)})
    return rows


def _figures(evaluation: Evaluation) -> list[dict[str, str]]:
    """Titles, captions and base64 PNGs: those that evaluate drew, else drawn now."""
    index = evaluation.directory / "figures" / "index.json"
    if index.exists():
        drawn = [
            (entry["title"], entry["caption"], (index.parent / entry["file"]).read_bytes())
            for entry in read_json(index, "--evaluation_dir")["figures"]
        ]
    else:
        from tfp_genens.reporting import figures

        drawn = [(page.title, page.caption, page.png()) for page in figures.pages(evaluation)]
    return [
        {"title": title, "caption": caption, "png": base64.b64encode(png).decode()}
        for title, caption, png in drawn
    ]


def _commands(document: Mapping[str, Any]) -> list[str]:
    """The commands that made this evaluation."""
    settings = document["settings"]
    train_flags = {
        **document["manifests"][0]["config"],
        "num_members": document["members"],
        "run_dir": settings["run_dir"],
    }
    defaults = EvaluateConfig(run_dir="", output_dir="").to_json()
    evaluate_flags = {k: v for k, v in settings.items() if v != defaults.get(k)}
    return [
        provenance.command("train", train_flags),
        provenance.command("evaluate", evaluate_flags),
    ]
