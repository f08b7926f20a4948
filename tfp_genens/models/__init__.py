"""The registry of model families: a new family is one file here and one row below.

Its flags are a class of `configs.py`. Where they stand in the family's own file, `--help` and bad
flags take as long as TensorFlow takes to load, and nothing else changes.
"""

from __future__ import annotations

from tfp_genens.models import configs
from tfp_genens.models.family import INPUT_KINDS, ROWS, Family, imported

FAMILIES: dict[str, Family] = {
    "vae": Family(
        configs.VaeConfig, imported("vae"), "variational autoencoder with a learned prior"
    ),
    "tabular_vae": Family(
        configs.TabularVaeConfig,
        imported("tabular_vae"),
        "variational autoencoder for table rows",
        takes=(ROWS,),
    ),
    "wgan": Family(
        configs.WganConfig, imported("wgan"), "Wasserstein GAN whose critic is the detector"
    ),
    "glow": Family(
        configs.GlowConfig, imported("glow"), "GLOW, a normalizing flow with exact likelihoods"
    ),
    "classifier": Family(
        configs.ClassifierConfig,
        imported("classifier"),
        "image classifier, with ODIN and its maximum softmax probability as scores",
    ),
    "vib": Family(
        configs.VibConfig,
        imported("vib"),
        "variational information bottleneck: a classifier of stochastic codes",
    ),
    "fraud_classifier": Family(
        configs.FraudClassifierConfig,
        imported("fraud_classifier"),
        "binary classifier of table rows, trained with outliers",
        takes=(ROWS,),
    ),
    "isolation_forest": Family(
        configs.IsolationForestConfig,
        imported("classical.isolation_forest"),
        "isolation forest",
        takes=INPUT_KINDS,
    ),
    **{
        name: Family(
            config,
            imported(f"classical.{name}"),
            description,
            takes=INPUT_KINDS,
            num_members=1,
            members_differ=lambda config, data: config.draws_from(len(data.train)),
        )
        for name, config, description in (
            ("mahalanobis", configs.MahalanobisConfig, "Mahalanobis distance"),
            ("knn", configs.KnnConfig, "mean distance to the nearest training rows"),
            ("lof", configs.LofConfig, "local outlier factor"),
            ("one_class_svm", configs.OneClassSvmConfig, "one-class support vector machine"),
            ("pca", configs.PcaConfig, "reconstruction error of principal components"),
        )
    },
}
