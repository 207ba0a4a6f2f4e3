"""Likelihoods from text, as the command line takes them, and back.

gaussian (with sigma_y)    poisson:peak=P    laplace:scale=S    studentt:df=D,scale=S    unknown
unknown:concentration=A,rate=B
"""

from dataclasses import fields
from typing import Any

from ..errors import ConfigError
from .gaussian import Gaussian
from .laplace import Laplace
from .poisson import Poisson
from .student_t import StudentT
from .unknown_gaussian import UnknownGaussian

Known = Gaussian | Poisson | Laplace | StudentT | UnknownGaussian
_CLASSES: dict[str, type[Known]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "laplace": Laplace,
    "studentt": StudentT,
    "unknown": UnknownGaussian,
}
_POWERS = {"sigma_y": 1, "scale": 1, "rate": 2}
"""Of the measurement's unit, for what has one."""
ALLOWED = (
    "gaussian, poisson:peak=P, laplace:scale=S, studentt:df=D,scale=S, unknown, "
    "unknown:concentration=A,rate=B"
)


def parse(text: str, sigma_y: float | None = None, unit: float = 1.0) -> Known:
    """The likelihood that a text describes.

    Arguments:
        text: a name with its values, such as "gaussian" or "studentt:df=4,scale=0.1".
        sigma_y: noise level of "gaussian"; None for the others, which say theirs in the text.
        unit: what one unit of the scale of [-1, 1] is in the unit of sigma_y, scale and sqrt(rate):
            half the value range of a file. Counts have no unit.

    Returns:
        The likelihood, on the scale of [-1, 1].

    Raises:
        ConfigError: an unknown name or key, a value that is missing, ill-formed or out of range.
    """
    name, _, rest = (piece.strip() for piece in text.partition(":"))
    if name not in _CLASSES:
        raise ConfigError(f"unknown likelihood {name!r}: choose one of {ALLOWED}")
    if name == "gaussian":
        if rest:
            raise ConfigError(
                f"likelihood {text!r}: gaussian takes no values; its noise level is sigma_y "
                "(--sigma-y)"
            )
        values = {"sigma_y": _level(sigma_y)}
    elif sigma_y is not None:
        raise ConfigError(
            f"sigma_y (--sigma-y) is the noise level of gaussian; {text!r} has none: leave it out"
        )
    else:
        values = _values(name, rest)
    try:
        return _CLASSES[name](
            **{key: value / unit ** _POWERS.get(key, 0) for key, value in values.items()}
        )  # type: ignore[arg-type]
    except ConfigError as error:
        raise ConfigError(f"likelihood {text!r}: {error}") from error


def text_of(likelihood: Any) -> str:
    """The text that `parse` makes this likelihood of ("gaussian" without its level).

    Arguments:
        likelihood: one of this package's.

    Returns:
        The text.

    Raises:
        ConfigError: another likelihood.
    """
    name = next((name for name, kind in _CLASSES.items() if type(likelihood) is kind), None)
    if name is None:
        raise ConfigError(f"{likelihood!r} has no text: take one of {ALLOWED}")
    values = (
        []
        if name == "gaussian"
        else [f"{field.name}={getattr(likelihood, field.name)!r}" for field in fields(likelihood)]
    )
    return f"{name}:{','.join(values)}" if values else name


def _level(sigma_y: float | None) -> float:
    if sigma_y is None:
        raise ConfigError(
            "the likelihood gaussian needs the noise level sigma_y: give --sigma-y, in the "
            "measurement's unit"
        )
    if not 0 < sigma_y < float("inf"):
        raise ConfigError(f"--sigma-y must be a positive finite number, got {sigma_y}")
    return float(sigma_y)


def _values(name: str, text: str) -> dict[str, float]:
    keys = [field.name for field in fields(_CLASSES[name])]
    given: dict[str, float] = {}
    for item in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or key not in keys:
            raise ConfigError(
                f"likelihood {name} takes {', '.join(f'{k}=...' for k in keys)}, got "
                f"{item.strip()!r}"
            )
        if key in given:
            raise ConfigError(f"likelihood {name}: {key} is given twice")
        try:
            given[key] = float(value)
        except ValueError:
            raise ConfigError(f"likelihood {name}: {key} must be a number, got {value!r}") from None
    missing = [key for key in keys if key not in given]
    if missing and (given or name != "unknown"):
        raise ConfigError(
            f"likelihood {name} needs {', '.join(missing)}: give "
            f"{name}:{','.join(f'{k}=...' for k in keys)}"
        )
    return given
