"""Likelihoods from text, as the command line takes them, and back."""

from dataclasses import fields
from typing import Any

from torch import Tensor

from .._checks import real
from .._text import split, text_from, values_in
from ..errors import ConfigError
from .base import LikelihoodBase
from .gaussian import Gaussian
from .heavy_tails import Laplace, StudentT
from .poisson import Poisson
from .poisson_gaussian import PoissonGaussian
from .unknown_gaussian import UnknownGaussian

CLASSES: dict[str, type[LikelihoodBase]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "laplace": Laplace,
    "studentt": StudentT,
    "unknown": UnknownGaussian,
}
KINDS: tuple[type[LikelihoodBase], ...] = (*CLASSES.values(), PoissonGaussian)
AMPLIFIED = ("gain", "background", "read")
"""Keys that make poisson a PoissonGaussian."""
POWERS = {"sigma_y": 1, "scale": 1, "rate": 2}  # of the measurement's unit
ALLOWED = "gaussian, poisson:peak=P, laplace:scale=S, studentt:df=D,scale=S, unknown"
ALLOWED += ", unknown:concentration=A,rate=B, poisson:gain=G,background=B,read=R"


def parse(text: str, sigma_y: float | Tensor | None = None, unit: float = 1.0) -> LikelihoodBase:
    """The likelihood that a text describes, on the scale of [-1, 1].

    Arguments:
        text: gaussian, poisson:peak=P, laplace:scale=S, studentt:df=D,scale=S, unknown,
            unknown:concentration=A,rate=B, or poisson:gain=G,background=B,read=R, perhaps with
            peak=P, which is otherwise 2 `unit`: the whole value range.
        sigma_y: noise level of "gaussian", a number or a map of y's shape; None for the
            others, which say theirs in the text.
        unit: of [-1, 1] in that of sigma_y, scale and sqrt(rate): half the value range of a file.

    Returns:
        The likelihood.

    Raises:
        ConfigError: an unknown name or key, a value that is missing, ill-formed or out of range.

    Example:
        >>> nw.likelihoods.parse("gaussian", sigma_y=5.0, unit=100.0)
        Gaussian(sigma_y=0.05)
    """
    name, rest = split(text)
    if name not in CLASSES:
        raise ConfigError(f"unknown likelihood {name!r}: choose one of {ALLOWED}")
    if name != "gaussian" and sigma_y is not None:
        raise ConfigError(
            f"sigma_y (--sigma-y) is the noise level of gaussian; {text!r} has none: leave it out"
        )
    try:
        values = _level(rest, sigma_y) if name == "gaussian" else _values(name, rest)
        if name == "poisson" and set(values) != {"peak"}:
            return PoissonGaussian(**{"peak": 2.0 * unit, **values})
        return CLASSES[name](**{k: v / unit ** POWERS.get(k, 0) for k, v in values.items()})
    except ConfigError as error:
        raise ConfigError(f"likelihood {text!r}: {error}") from error


def text_of(likelihood: Any) -> str:
    """The text that `parse` makes this likelihood of; "gaussian" is without its level.

    Arguments:
        likelihood: one of this package's.

    Returns:
        The text.

    Raises:
        ConfigError: another likelihood.

    Example:
        >>> nw.likelihoods.text_of(nw.likelihoods.Poisson(30.0))
        'poisson:peak=30.0'
    """
    names: dict[type, str] = {cls: name for name, cls in CLASSES.items()}
    name = (names | {PoissonGaussian: "poisson"}).get(type(likelihood))
    if name is None:
        raise ConfigError(f"{likelihood!r} has no text: take one of {ALLOWED}")
    return name if name == "gaussian" else text_from(likelihood, name)


def _level(rest: str, sigma_y: float | Tensor | None) -> dict[str, Any]:
    if rest:
        raise ConfigError("gaussian takes no values; its noise level is sigma_y (--sigma-y)")
    if sigma_y is None:
        raise ConfigError("give the noise level sigma_y (--sigma-y), in the measurement's unit")
    if isinstance(sigma_y, Tensor) and sigma_y.ndim:
        return {"sigma_y": sigma_y}
    return {"sigma_y": real("sigma_y (--sigma-y)", sigma_y, above=0)}


def _values(name: str, rest: str) -> dict[str, float]:
    if name == "poisson" and any(
        part.partition("=")[0].strip() in AMPLIFIED for part in rest.split(",")
    ):
        known = rest if "peak" in rest else f"{rest},peak=0"
        values = values_in(known, PoissonGaussian, name)
        return values if "peak" in rest else {k: v for k, v in values.items() if k != "peak"}
    cls: Any = CLASSES[name]
    values, keys = values_in(rest, cls, name), fields(cls)
    if values and len(values) < len(keys):
        missing = ", ".join(f.name for f in keys if f.name not in values)
        raise ConfigError(f"{missing} must be given too, or none of the keys of {name}")
    return values
