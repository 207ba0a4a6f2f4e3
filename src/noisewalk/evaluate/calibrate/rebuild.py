"""The posterior of a stored run, made anew from what its spec.json says."""

import shlex
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch

from ...errors import ConfigError
from ...posterior import NoisePosterior
from ...report.facts import facts_from
from ...report.model import model_of
from ...sampling.run import Run
from ...storage.spec import normal

NEEDED = ("prior", "operator", "likelihood")
PARTS = ("map", "operator", "likelihood", "y", "observed")
ADVICE = "give the posterior that it was made of, nw.calibrate(run, target=...)"
TYPED: dict[str, Callable[[str], Any]] = {
    "--label": float,
    "--prompt": str,
    "--kind": str,
    "--size": int,
    "--head-channels": int,
    "--dtype": lambda name: getattr(torch, name),
}
"""What a command says of the prior's weights: options that are arguments of `load_prior`."""


def target_of(
    run: Run, device: str | None = None, microbatch: int | None = None, prior: Any = None
) -> NoisePosterior:
    """The posterior of a run from the command line, with the same facts; ConfigError for others.

    `device` and `microbatch` of None are the run's own. `prior` is that of a run whose prior is the
    user's own code, which a spec.json alone never runs.
    """
    from ...storage.store import open_store

    problem = run.spec.get("problem", {})
    if run.folder is None or not set(NEEDED) <= problem.keys():
        what = "a run in memory" if run.folder is None else f"spec.json of {run.folder}"
        raise ConfigError(f"{what} does not say how to make its posterior anew: {ADVICE}")
    arrays, place = open_store(run.folder).arrays, device or run.spec.get("device", "cpu")
    model = model_of(facts_from(run.spec, None, None), tuple(run.draws.shape[3:]), arrays)
    plain = getattr(torch, str(run.spec.get("dtype", "torch.float32")).removeprefix("torch."))
    said = {"dtype": plain, **_typed(run.spec.get("command", ""))}
    given = _loaded(problem["prior"], device=place, **said) if prior is None else prior
    if given.name != problem["prior"] and prior is not None:
        told = f"the prior of {run.folder} is {problem['prior']}, got {given.name}"
        raise ConfigError(f"{told}: give the code that the run was made with, unchanged")
    phi = _map(given, run.spec.get("map", {}))
    observed = arrays["observed"][...].to(place) if "observed" in arrays else None
    y, rows = run.y, microbatch or run.spec.get("microbatch")
    if y is None or model.operator is None or model.likelihood is None:
        raise ConfigError(f"{run.folder} has lost its measurement: {ADVICE}")
    target = NoisePosterior(phi, model.operator, model.likelihood, y.to(place), observed, rows)
    found = normal(target.facts())
    if changed := [name for name in PARTS if found[name] != run.spec.get(name)]:
        what = f"the {', '.join(changed)} made anew from spec.json of {run.folder}"
        raise ConfigError(f"{what} would not be the run's: {ADVICE}")
    return target


def _loaded(name: str, **settings: Any) -> Any:
    """The prior of a run by its name; ConfigError for the user's own code."""
    from ...priors.load import load_prior
    from ...priors.own_code import is_code

    code = name.rpartition("#")[0]
    if is_code(code):
        told = f"the prior of this run is code, {code}, which is run only where it is asked for"
        raise ConfigError(f"{told}: add --prior {code} (in Python, give nw.calibrate the target)")
    return load_prior(name, **settings)


def _typed(command: str) -> dict[str, Any]:
    """Arguments of `load_prior` in the words of a command."""
    pairs = (word.split("=", 1) if word[:2] == "--" else [word] for word in shlex.split(command))
    words = [part for pair in pairs for part in pair]
    found = {name: TYPED[name](value) for name, value in pairwise(words) if name in TYPED}
    return {name[2:].replace("-", "_"): value for name, value in found.items()}


def _map(prior: Any, facts: Mapping[str, Any]) -> Any:
    """The map of a prior with the settings that the facts tell."""
    if prior.kind == "edm":
        names = ("num_steps", "solver", "gradient")
        return prior.ode_map(**{name: facts[name] for name in names if name in facts})
    midpoints = facts.get("midpoints", [])
    return prior.map(1 + len(midpoints), *midpoints[:1], seed=facts.get("seed", 0))
