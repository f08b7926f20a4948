"""The flags of every model family.

Nothing here loads TensorFlow, so that bad flags are reported at once.
"""

import dataclasses

from tfp_genens.config import FamilyConfig, ModelConfig, option
from tfp_genens.errors import UserError

PRIORS = ("maf", "mixture", "normal")
BERNOULLI = "bernoulli"
LIKELIHOODS = ("normal", "logistic", "student_t", BERNOULLI)
SCALES = ("column", "predicted")
"""One learned scale a column, or one that the decoder predicts for each row and column."""

MINMAX = "minmax"
PREPROCESSINGS = ("standard", "quantile", MINMAX)
COUPLINGS = ("affine", "additive")
OPTIMIZERS = ("adam", "adamax")
LONG_EVERY = 500
"""Every so many generator steps a WGAN's critic is trained for long (Arjovsky et al. 2017)."""

MUTATION_RATE = (
    "share of a training image's values that each step draws anew, uniformly: of a background "
    "model for likelihood ratios (Ren et al. 2019)"
)
PERTURBATIONS = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
"""What ODIN's perturbation is chosen from, in units of the pixels' range (Hsu et al. 2020, and
none).
"""


@dataclasses.dataclass(frozen=True)
class VariationalConfig(ModelConfig):
    """Flags that all variational autoencoders have."""

    beta: float = option(1.0, "weight of the rate in the loss (paper, section 4.1)", minimum=0)
    prior: str = option("maf", "prior over the latent code", choices=PRIORS)
    latent_size: int = option(16, "dimensions of the latent code", minimum=1)


@dataclasses.dataclass(frozen=True)
class VaeConfig(VariationalConfig):
    """Flags of `--model=vae`; defaults: the paper's, or the released code's where it is silent."""

    base_depth: int = option(32, "channels of the outermost convolutions", minimum=1)
    train_samples: int = option(16, "latent samples a training step draws per example", minimum=1)
    binarize: bool = option(False, "draw binary pixels anew each step; else, grey is a probability")
    mutation_rate: float = option(0.0, MUTATION_RATE, minimum=0, maximum=1)


@dataclasses.dataclass(frozen=True)
class TabularVaeConfig(VariationalConfig):
    """Flags of `--model=tabular_vae`; section 4.2 has its hidden layers and learning rate."""

    likelihood: str = option("student_t", "p(x|z) of a column", choices=LIKELIHOODS)
    scale: str = option("predicted", "what a column's scale is: one, or predicted", choices=SCALES)
    preprocessing: str = option(
        "standard",
        "done to each column first, fitted on training rows; bernoulli needs minmax",
        choices=PREPROCESSINGS,
    )
    encoder_units: int = option(32, "units of each hidden layer of the encoder", minimum=1)
    decoder_units: int = option(30, "units of each hidden layer of the decoder", minimum=1)
    hidden_layers: int = option(1, "hidden layers of encoder and decoder each", minimum=0)
    train_samples: int = option(1, "latent samples a training step draws per example", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood == BERNOULLI and self.preprocessing != MINMAX:
            raise UserError(
                "--preprocessing",
                f"{MINMAX} with --likelihood={BERNOULLI}, which is of values in [0, 1]",
                self.preprocessing,
            )


@dataclasses.dataclass(frozen=True)
class WganConfig(ModelConfig):
    """Flags of `--model=wgan`; defaults: the released code's, as the paper states few."""

    train_steps: int = option(20000, "generator steps", minimum=1)
    batch_size: int = option(64, "examples a step, real and generated alike", minimum=1)
    learning_rate: float = option(5e-5, "learning rate of RMSProp", above=0)
    latent_size: int = option(128, "dimensions of the generator's code", minimum=1)
    base_depth: int = option(32, "channels of the outermost convolutions", minimum=1)
    lipschitz: str = option(
        "gp",
        "what bounds the critic's slope: gp, a penalty on its gradient (Gulrajani et al. 2017), or "
        "clip, its weights clipped (Arjovsky et al. 2017)",
        choices=("gp", "clip"),
    )
    penalty_weight: float = option(10.0, "weight of the gradient penalty", minimum=0)
    clip_value: float = option(0.01, "largest weight of the critic with --lipschitz=clip", above=0)
    critic_steps: int = option(5, "critic steps a generator step", minimum=1)
    opening_steps: int = option(
        25, "first generator steps, each after long critic training", minimum=0
    )
    long_critic_steps: int = option(
        100,
        f"critic steps of a long training: at the start and before every {LONG_EVERY}th "
        "generator step",
        minimum=1,
    )
    finetune_steps: int = option(4000, "critic steps against the finished generator", minimum=1)


@dataclasses.dataclass(frozen=True)
class GlowConfig(ModelConfig):
    """Flags of `--model=glow`; defaults: the paper's, or the GLOW authors' code where silent."""

    train_steps: int = option(250_000, "training steps (parameter updates)", minimum=1)
    batch_size: int = option(64, "examples a training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate after the warm-up", above=0)
    num_levels: int = option(3, "L: scales; the images' sides divide by 2**L", minimum=1)
    num_steps: int = option(32, "K: steps of flow at each scale", minimum=1)
    width: int = option(512, "hidden channels of the coupling networks", minimum=1)
    coupling: str = option("additive", "what is done to half of the channels", choices=COUPLINGS)
    split_fraction: float = option(0.5, "share of channels a scale factors out", above=0, maximum=1)
    learned_top: bool = option(False, "learn mean and scale of the last scale's channels")
    optimizer: str = option("adamax", "what updates the weights", choices=OPTIMIZERS)
    warmup_steps: int = option(7812, "steps while the learning rate rises from zero", minimum=0)
    clip_norm: float | None = option(
        None, "largest norm of a step's gradient; default: none", above=0
    )
    horizontal_flips: bool = option(False, "mirror half of the training images, at random")
    mutation_rate: float = option(0.0, MUTATION_RATE, minimum=0, maximum=1)
    num_dequantizations: int = option(1, "draws of dequantization noise a score", minimum=1)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(ModelConfig):
    """Flags of `--model=classifier`; the paper and its baselines leave all to us."""

    batch_size: int = option(64, "images a training step", minimum=1)
    base_depth: int = option(32, "channels of the outermost convolutions", minimum=1)
    code_depth: int = option(128, "features that the classes are read off", minimum=1)
    dropout: float = option(0.5, "share of the features dropped a step", minimum=0, maximum=0.99)
    odin_temperature: float = option(
        1000.0, "ODIN divides logits by it (Liang et al. 2017)", above=0
    )
    odin_perturbation: float | None = option(
        None,
        "size of ODIN's step in the input, in units of the pixels' range; default: the one of "
        + ", ".join(f"{x:g}" for x in PERTURBATIONS)
        + " with the highest mean score on held-out in-distribution images (Hsu et al. 2020)",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True)
class VibConfig(VariationalConfig):
    """Flags of `--model=vib`; see the module's text for what is the paper's and what is ours."""

    batch_size: int = option(64, "images a training step", minimum=1)
    beta: float = option(1e-3, "weight of the rate in the loss", minimum=0)
    prior: str = option("mixture", "marginal m(z) over the code", choices=PRIORS)
    base_depth: int = option(32, "channels of the outermost convolutions", minimum=1)
    code_depth: int = option(128, "features that q(z|x) is read off", minimum=1)
    train_samples: int = option(1, "codes a training step draws per example", minimum=1)


@dataclasses.dataclass(frozen=True)
class FraudClassifierConfig(ModelConfig):
    """Flags of `--model=fraud_classifier`; defaults: the paper's, section 4.2, where it has any."""

    train_steps: int = option(5000, "training steps", minimum=1)
    batch_size: int = option(512, "rows a training step", minimum=1)
    learning_rate: float = option(1e-5, "learning rate of RMSProp (paper, section 4.2)", above=0)
    hidden_units: int = option(512, "units of each of the two hidden layers", minimum=1)
    dropout: float = option(0.5, "share of each layer dropped a step", minimum=0, maximum=0.99)
    positive_weight: float = option(580.0, "weight of an outlier's loss (section 4.2)", above=0)


@dataclasses.dataclass(frozen=True)
class DetectorConfig(FamilyConfig):
    """Flags of a classical method."""

    def draws_from(self, num_train: int) -> bool:
        """Whether some of so many training rows are drawn at random, so that members differ."""
        return getattr(self, "num_reference", num_train) < num_train


@dataclasses.dataclass(frozen=True)
class ReferenceConfig(DetectorConfig):
    """Flags of the methods that keep training rows to compare with."""

    num_reference: int = option(
        20_000,
        "training rows to compare with, drawn at random by the member's seed; all of them where "
        "there are no more, and then members are alike",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class IsolationForestConfig(FamilyConfig):
    """Flags of `--model=isolation_forest`; the defaults are scikit-learn's."""

    num_trees: int = option(100, "trees of the forest", minimum=1)
    tree_samples: int = option(256, "training rows a tree is grown on, at most", minimum=2)


@dataclasses.dataclass(frozen=True)
class KnnConfig(ReferenceConfig):
    """Flags of `--model=knn`; the default is scikit-learn's."""

    num_neighbors: int = option(5, "nearest training rows to average over", minimum=1)


@dataclasses.dataclass(frozen=True)
class LofConfig(ReferenceConfig):
    """Flags of `--model=lof`; the default is scikit-learn's."""

    num_neighbors: int = option(20, "nearest training rows that density is from", minimum=1)


@dataclasses.dataclass(frozen=True)
class OneClassSvmConfig(ReferenceConfig):
    """Flags of `--model=one_class_svm`."""

    num_reference: int = option(
        10_000,
        "training rows it is fitted on, drawn at random by the member's seed; the time grows with "
        "the square",
        minimum=1,
    )
    nu: float = option(
        0.5,
        "at most this share of training rows lies outside (scikit-learn's default)",
        above=0,
        maximum=1,
    )
    gamma: float | None = option(
        None,
        "the kernel is exp(-gamma |a - b|^2); default, as in scikit-learn: 1 / (number of "
        "features * variance of all features together)",
        above=0,
    )


@dataclasses.dataclass(frozen=True)
class PcaConfig(DetectorConfig):
    """Flags of `--model=pca`."""

    explained_variance: float = option(
        0.95,
        "share of the training rows' variance that the components explain, unless "
        "--num_components is given",
        above=0,
        maximum=0.9999,
    )
    num_components: int | None = option(None, "principal components kept", minimum=1)
