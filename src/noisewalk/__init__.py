"""noisewalk: samples from p(x | y) by Markov chains in the noise space of a generative prior.

The package is lazy: a name is imported when it is first used, and `noisewalk --help` imports no
torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "load_prior": "priors.load",
    "list_priors": "priors.load",
    "NoisePosterior": "targets",
    "Langevin": "samplers.langevin",
    "HMC": "samplers.hmc",
    "EllipticalSlice": "samplers.slice",
    "gauss_newton": "samplers.preconditioner",
    "Refresh": "samplers.preconditioner",
    "spectral": "samplers.spectral",
    "SpectralRefresh": "samplers.spectral",
    "Adam": "warmstart",
    "DualAveraging": "adapt",
    "sample": "run",
    "tempered_smc": "tempering",
    "calibrate": "experiments.calibrate",
    "open_run": "run",
    "Run": "run",
}
_MODULES = (
    "maps",
    "operators",
    "likelihoods",
    "baselines",
    "metrics",
    "diagnostics",
    "noise",
    "errors",
    "types",
    "priors",
    "inputs",
    "report",
)

__all__ = ["__version__", *_EXPORTS, *_MODULES]

if TYPE_CHECKING:
    from . import (
        baselines,
        diagnostics,
        errors,
        inputs,
        likelihoods,
        maps,
        metrics,
        noise,
        operators,
        priors,
        report,
        types,
    )
    from .adapt import DualAveraging
    from .experiments.calibrate import calibrate
    from .priors.load import list_priors, load_prior
    from .run import Run, open_run, sample
    from .samplers.hmc import HMC
    from .samplers.langevin import Langevin
    from .samplers.preconditioner import Refresh, gauss_newton
    from .samplers.slice import EllipticalSlice
    from .samplers.spectral import SpectralRefresh, spectral
    from .targets import NoisePosterior
    from .tempering import tempered_smc
    from .warmstart import Adam


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
