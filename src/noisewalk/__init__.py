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
    "NoisePosterior": "posterior",
    "Langevin": "kernels.langevin",
    "HMC": "kernels.hmc",
    "EllipticalSlice": "kernels.slice",
    "gauss_newton": "gaussians.low_rank",
    "Refresh": "gaussians.low_rank",
    "spectral": "gaussians.spectral",
    "SpectralRefresh": "gaussians.spectral",
    "Adam": "sampling.starts",
    "DualAveraging": "sampling.adapt",
    "sample": "sampling.run",
    "tempered_smc": "sampling.tempering",
    "calibrate": "evaluate.calibrate.calibrate",
    "open_run": "sampling.run",
    "Run": "sampling.run",
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
    from . import errors, likelihoods, maps, noise, operators, priors, report, types
    from .evaluate import baselines, diagnostics, metrics
    from .evaluate.calibrate.calibrate import calibrate
    from .files import images as inputs
    from .gaussians.low_rank import Refresh, gauss_newton
    from .gaussians.spectral import SpectralRefresh, spectral
    from .kernels.hmc import HMC
    from .kernels.langevin import Langevin
    from .kernels.slice import EllipticalSlice
    from .posterior import NoisePosterior
    from .priors.load import list_priors, load_prior
    from .sampling.adapt import DualAveraging
    from .sampling.run import Run, open_run, sample
    from .sampling.starts import Adam
    from .sampling.tempering import tempered_smc


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
