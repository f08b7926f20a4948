"""The registry of model families: a new family is one file here and one row below."""

from __future__ import annotations

from tfp_genens.models import classifier, fraud_classifier, glow, tabular_vae, vae, vib, wgan
from tfp_genens.models.classical import isolation_forest, knn, lof, mahalanobis, one_class_svm, pca
from tfp_genens.models.learner import Family

FAMILIES: dict[str, Family] = {
    "vae": vae.FAMILY,
    "tabular_vae": tabular_vae.FAMILY,
    "wgan": wgan.FAMILY,
    "glow": glow.FAMILY,
    "classifier": classifier.FAMILY,
    "vib": vib.FAMILY,
    "fraud_classifier": fraud_classifier.FAMILY,
    "isolation_forest": isolation_forest.FAMILY,
    "mahalanobis": mahalanobis.FAMILY,
    "knn": knn.FAMILY,
    "lof": lof.FAMILY,
    "one_class_svm": one_class_svm.FAMILY,
    "pca": pca.FAMILY,
}
