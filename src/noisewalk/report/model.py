"""The operator and the likelihood of a stored run, from its facts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import likelihoods, operators
from .facts import Facts


class Model(NamedTuple):
    """What made the measurement, as far as the run tells."""

    operator: Any | None
    likelihood: Any | None
    chi2_is_exact: bool
    """Whether m chi2 follows chi-square(m)."""
    counts: bool
    """Whether y holds counts."""


def model_of(facts: Facts, shape: tuple[int, ...], arrays: Mapping[str, Any]) -> Model:
    """The model of a run of images of that shape; its operator and its likelihood are known where
    the run has their texts, as one from the command line has."""
    name = facts.likelihood_name
    known = name == "Gaussian", name == "Poisson"
    if facts.operator is None or facts.likelihood is None:
        return Model(None, None, *known)
    held = {name: array[...][0] for name, array in arrays.items() if name.startswith("operator_")}
    operator = operators.parse(facts.operator, shape, held)
    return Model(operator, likelihoods.parse(facts.likelihood, facts.sigma_y), *known)


def noise_level_of(
    likelihood: Any, mean: Tensor, y: Tensor, observed: Tensor | None
) -> Tensor | None:
    """The noise level (B,) that a likelihood infers; None where its level is given."""
    infers = isinstance(likelihood, likelihoods.UnknownGaussian)
    return likelihood.noise_level(mean, y, observed) if infers else None


def sup_log_likelihood_of(likelihood: Any, y: Tensor, observed: Tensor | None) -> Tensor | None:
    """The largest log p(y | A(x)) over all A(x), (N,); None where it is not known."""
    at_y = (likelihoods.Gaussian, likelihoods.Laplace, likelihoods.StudentT)
    best = torch.nan_to_num(y)
    return -likelihood.nll(best, best, observed) if isinstance(likelihood, at_y) else None
