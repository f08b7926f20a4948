"""Suites: several experiments, and the tables and figures made of their evaluations.

A table or figure is a file's name, what `python -m tfp_genens.paper` calls it, and the runs whose
evaluations it is made of, in the order in which they are to stand.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Document:
    """A table or figure: `python -m tfp_genens.paper NAME` writes it to `file`."""

    file: str
    name: str
    runs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Suite:
    """Runs, and what is made of them.

    Attributes:
      documents: tables and figures.
      quick: whether runs train in seconds. Then all members of one share a process, several runs
        go at once, and none has figures or a report of its own, which would take as long again.
    """

    documents: tuple[Document, ...]
    quick: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        """Every run once: those that take their time first."""
        named = dict.fromkeys(run for document in self.documents for run in document.runs)
        return tuple(sorted(named, key=lambda run: run in self.quick))


def one_table(name: str, table: str, runs: list[str], quick: list[str] | None = None) -> Suite:
    """A suite that ends in one table, NAME.md."""
    return Suite((Document(f"{name}.md", table, tuple(runs)),), tuple(quick or ()))


IMAGES = ("mnist", "fashion_mnist", "cifar10")

# The paper's models, by the data sets of Table 2.
TABLE2 = [
    *(f"{model}_{data}" for data in ("mnist", "fashion_mnist") for model in ("vae", "wgan")),
    *(f"{model}_cifar10" for model in ("glow", "wgan")),
]


def for_cpus(run: str) -> str:
    """The run with the settings that CPUs can carry."""
    return f"{run}+{run.partition('_')[0]}_cpu"


def table2_vae() -> Suite:
    """Table 2's columns of VAEs, and with them section 4.1, Figures 1 and 3 and the erratum."""
    runs = ["vae_mnist", "vae_mnist+seed_1", "vae_fashion_mnist", "vae_fashion_mnist_beta1"]
    mnist, second_seed, fashion, fashion_beta1 = runs
    members = (mnist, second_seed, fashion)
    return Suite(
        (
            Document("table2_vae.md", "table2", tuple(runs)),
            Document("beta.md", "beta", (fashion_beta1, fashion)),
            Document("erratum.md", "erratum", (mnist,)),
            Document("members.md", "members", members),
            Document("members_figure.png", "members_figure", members),
            Document("figure1.png", "figure1", (mnist, fashion)),
            Document("figure3.png", "figure3", (fashion_beta1, fashion)),
        )
    )


def table2_wgan() -> Suite:
    """Table 2's columns D and Var(D), and what goes with them."""
    runs = tuple(f"wgan_{data}" for data in IMAGES)
    return Suite(
        (
            Document("table2_wgan.md", "table2", runs),
            Document("members.md", "members", runs),
            Document("members_figure.png", "members_figure", runs),
        )
    )


def table2_glow() -> Suite:
    """Table 2's columns log p(x) and WAIC on CIFAR-10, Figure 1, and what decides WAIC there."""
    long, short = "glow_cifar10", "glow_cifar10+glow_short"
    return Suite(
        (
            Document("table2_glow.md", "table2", (long, short)),
            Document("figure1.png", "figure1", (long,)),
            Document("members.md", "members", (long,)),
            Document("waic.md", "waic", (long, short)),
            Document("bits_per_dim.md", "bits_per_dim", (long, short)),
        )
    )


def table2_gaps() -> Suite:
    """What closes the gap between our Table 2 on MNIST and the paper's: a setting changed each."""
    base = "vae_mnist+vae_cpu"
    changes = ("sixteen_samples", "long", "binarize", "mixture")
    runs = [base, *(f"{base}+vae_{change}" for change in changes)]
    return one_table("table2_gaps", "compare", runs)


def default_score() -> Suite:
    """The score that decides, on what the paper looks at, beside every other score."""
    vaes = tuple(for_cpus(f"vae_{data}") for data in IMAGES)
    grey, glow = vaes[:2], for_cpus("glow_cifar10")
    simple = tuple(f"{model}_{data}" for data in IMAGES for model in ("knn", "pca"))
    everything = (*vaes, glow, *simple)
    return Suite(
        (
            Document("default.md", "default", (*grey, glow)),
            Document("variants_vae.md", "variants", vaes),
            Document("variants_glow.md", "variants", (glow,)),
            Document("flips.md", "flips", grey),
            Document("false_alarms.md", "false_alarms", (*grey, glow)),
            Document("members.md", "members", (*grey, glow)),
            Document("members_figure.png", "members_figure", (*grey, glow)),
            Document("leaderboard.md", "leaderboard", everything),
            Document("leaderboard_figure.png", "leaderboard_figure", everything),
        ),
        quick=simple,
    )


def table2_baselines() -> Suite:
    """Table 2's columns of ODIN and VIB, measured, and simple methods beside them."""
    quick = [f"{model}_{data}" for data in IMAGES for model in ("knn", "pca")]
    runs = [
        run
        for data in IMAGES
        for run in (
            *(for_cpus(f"{model}_{data}") for model in ("classifier", "vib")),
            *(f"{model}_{data}" for model in ("knn", "pca")),
        )
    ]
    return one_table("table2_baselines", "table2", runs, quick)


def on_splits(run: str, overlay: str = "credit_fraud") -> list[str]:
    """The run on the five splits of the card-fraud table, each with a seed of its own."""
    return [run, *(f"{run}+{overlay}_{split}" for split in range(1, 5))]


VAE = "tabular_vae_credit_fraud"
VAES = [*on_splits(VAE), *on_splits(f"{VAE}+tabular_vae_normal+tabular_vae_wide")]


def table3() -> Suite:
    """Table 3: the paper's methods, its VAE with a normal likelihood, and classical methods.

    The first configuration of each model is judged against the paper.
    """
    classical = ("isolation_forest", "mahalanobis", "knn", "lof", "one_class_svm")
    runs = [
        *on_splits("fraud_classifier_credit_fraud", "credit_fraud_labelled"),
        *VAES,
        *(run for model in classical for run in on_splits(f"{model}_credit_fraud")),
    ]
    return one_table("table3", "table3", runs, quick=runs)


def table3_likelihoods() -> Suite:
    """Beside Table 3: what the VAE's likelihood and networks do, and principal components."""
    runs = [
        *VAES,
        *on_splits(f"{VAE}+tabular_vae_normal+tabular_vae_single"),
        *on_splits(f"{VAE}+tabular_vae_wide+tabular_vae_student_t+tabular_vae_single"),
        *on_splits("pca_credit_fraud"),
    ]
    return one_table("table3_likelihoods", "table3", runs, quick=runs)


SUITES = {
    "default_score": default_score(),
    "table2_baselines": table2_baselines(),
    "table2_cpu": one_table("table2", "table2", [for_cpus(run) for run in TABLE2]),
    "table2_gaps": table2_gaps(),
    "table2_glow": table2_glow(),
    "table2_paper": one_table("table2", "table2", TABLE2),
    "table2_vae": table2_vae(),
    "table2_wgan": table2_wgan(),
    "table3": table3(),
    "table3_likelihoods": table3_likelihoods(),
}
