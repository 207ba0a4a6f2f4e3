"""The operator and the likelihood of a stored run, from its facts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import likelihoods, operators
from ..likelihoods.base import LikelihoodBase
from ..likelihoods.parser import KINDS
from .facts import Facts


class Model(NamedTuple):
    """What made the measurement, as far as the run tells."""

    operator: Any | None
    likelihood: LikelihoodBase | None
    chi2_is_exact: bool  # whether m chi2 follows chi-square(m)
    counts: bool  # whether y holds counts


def model_of(facts: Facts, shape: tuple[int, ...], arrays: Mapping[str, Any]) -> Model:
    """The model of a run, known where the run has texts of it, as the command line's have."""
    kinds = {cls.__name__: cls for cls in KINDS}
    kind = kinds.get(facts.likelihood_name or "", LikelihoodBase)
    if facts.operator is None or facts.likelihood is None:
        return Model(None, None, kind.chi2_is_exact, kind.counts)
    held = {name: array[...][0] for name, array in arrays.items() if name.startswith("operator_")}
    operator = operators.parse(facts.operator, shape, held)
    level, scale = facts.sigma_y, facts.unit_scale
    if "sigma_y" in arrays:  # a map, on the scale of y
        level, scale = arrays["sigma_y"][...][0], 1.0
    likelihood = likelihoods.parse(facts.likelihood, level, scale)
    return Model(operator, likelihood, kind.chi2_is_exact, kind.counts)
