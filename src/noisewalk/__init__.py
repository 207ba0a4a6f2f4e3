"""noisewalk: samples from p(x | y) by Markov chains in the noise space of a generative prior.

The package is lazy: a name is imported when it is first used, and `noisewalk --help` imports no
torch.
"""

from typing import TYPE_CHECKING

from ._lazy import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import errors, files, likelihoods, maps, noise, operators, priors, report, types
    from .evaluate import baselines, diagnostics, metrics
    from .evaluate.calibrate.calibrate import calibrate
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

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
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
        "baselines": ".evaluate.baselines",
        "diagnostics": ".evaluate.diagnostics",
        "errors": ".errors",
        "files": ".files",
        "likelihoods": ".likelihoods",
        "maps": ".maps",
        "metrics": ".evaluate.metrics",
        "noise": ".noise",
        "operators": ".operators",
        "priors": ".priors",
        "report": ".report",
        "types": ".types",
    },
)
