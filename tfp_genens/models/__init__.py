"""The registry of model families: a new family is one file here and one row below.

Its flags are a class of `configs.py`. Where they stand in the family's own file, `--help` and bad
flags take as long as TensorFlow takes to load, and nothing else changes.
"""

from tfp_genens.models import configs
from tfp_genens.models.family import INPUT_KINDS, ROWS, Family, imported


def _classical(name: str, config: type[configs.DetectorConfig]) -> Family:
    """Its members differ only where some of the training rows are drawn at random."""
    return Family(
        config,
        imported(f"classical.{name}"),
        takes=INPUT_KINDS,
        num_members=1,
        members_differ=lambda config, data: config.draws_from(len(data.train)),
    )


FAMILIES: dict[str, Family] = {
    "vae": Family(configs.VaeConfig, imported("vae")),
    "tabular_vae": Family(configs.TabularVaeConfig, imported("tabular_vae"), takes=(ROWS,)),
    "wgan": Family(configs.WganConfig, imported("wgan")),
    "glow": Family(configs.GlowConfig, imported("glow")),
    "classifier": Family(configs.ClassifierConfig, imported("classifier")),
    "vib": Family(configs.VibConfig, imported("vib")),
    "fraud_classifier": Family(
        configs.FraudClassifierConfig, imported("fraud_classifier"), takes=(ROWS,)
    ),
    "isolation_forest": Family(
        configs.IsolationForestConfig, imported("classical.isolation_forest"), takes=INPUT_KINDS
    ),
    "mahalanobis": _classical("mahalanobis", configs.DetectorConfig),
    "knn": _classical("knn", configs.KnnConfig),
    "lof": _classical("lof", configs.LofConfig),
    "one_class_svm": _classical("one_class_svm", configs.OneClassSvmConfig),
    "pca": _classical("pca", configs.PcaConfig),
}
