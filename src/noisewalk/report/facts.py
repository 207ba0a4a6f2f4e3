"""The facts of a stored run that the report reads, checked; what the run does not tell is None."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._checks import real
from ..errors import ConfigError

Settings = list[tuple[str, list[tuple[str, Any]]]]


class Facts(NamedTuple):
    """What spec.json says of a run; `exact` and `has_step` are the kernel's.

    The level and the likelihood are in the file's unit, of which [-1, 1] has 2 `unit_scale`."""

    title: str
    label: str
    value_range: tuple[float, float]
    operator: str | None
    likelihood: str | None
    sigma_y: float | None
    unit_scale: float
    unit: str
    bottom_up: bool
    likelihood_name: str | None
    exact: bool | None
    has_step: bool | None
    settings: Settings


def facts_from(
    spec: Mapping[str, Any], title: str | None, value_range: tuple[float, float] | None
) -> Facts:
    """The facts of a specification, in part replaced; ConfigError for one of a wrong type."""
    given = {"title": title, "range": value_range}
    problem = {**_group(spec, "problem"), **{k: v for k, v in given.items() if v is not None}}
    plan = _group(spec, "plan")
    kernel, sigma_y = _group(plan, "kernel"), problem.get("sigma_y")
    groups = ("problem", "plan", "command")
    told = ("likelihood",) if "unit_scale" in problem else ()  # in the file's unit, not in [-1, 1]
    run = {k: v for k, v in spec.items() if k not in (*groups, *told, "probe")}
    command = {"command": spec["command"]} if "command" in spec else {}
    own = {k: v for k, v in problem.items() if k != "georeference"}  # a header of many lines
    own |= _scaled(problem)
    shown = {"problem": own, "run": run, "sampler": plan, "reproduce": command}
    return Facts(
        title=_text(problem, "title") or "noisewalk run",
        label="" if title is not None else _text(problem, "source") or "",
        value_range=_bounds(problem.get("range", (-1.0, 1.0))),
        operator=_text(problem, "operator"),
        likelihood=_text(problem, "likelihood"),
        sigma_y=None if _is_file(sigma_y) else real("sigma_y", sigma_y, above=0.0),
        unit_scale=real("unit_scale", problem.get("unit_scale", 1.0), above=0.0),
        unit="" if "band_range" in problem else _text(problem, "unit") or "",
        bottom_up=problem.get("bottom_up") is True,
        likelihood_name=_text(_group(spec, "likelihood"), "name"),
        exact=kernel["exact"] if isinstance(kernel.get("exact"), bool) else None,
        has_step=kernel["step_size"] is not None if "step_size" in kernel else None,
        settings=[(name, list(facts.items())) for name, facts in shown.items() if facts],
    )


def _scaled(problem: Mapping[str, Any]) -> dict[str, str]:
    """sigma_y with its scale, where it is not that of the range."""
    low, high = _bounds(problem.get("range", (-1.0, 1.0)))
    given, scale = problem.get("sigma_y"), problem.get("unit_scale", 1.0)
    if _is_file(given) or 2 * scale == high - low:
        return {}
    return {"sigma_y": f"{given} for pixels in [-1, 1]"}


def _is_file(sigma_y: Any) -> bool:
    """Whether the level is not there or a map in a file, which the run keeps as an array."""
    return sigma_y is None or isinstance(sigma_y, str)


def _group(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"the run's {name} must be a dict of facts, got {value!r}")
    return value


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    if not isinstance(value, str | None):
        raise ConfigError(f"the run's {name} must be a text, got {value!r}")
    return value


def _bounds(value: Any) -> tuple[float, float]:
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ConfigError(f"the value range must be two numbers, got {value!r}") from None
    return real("the value range's low", low), real("the value range's high", high)
