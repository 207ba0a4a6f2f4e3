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
    from .gaussians.low_rank import gauss_newton
    from .gaussians.refresh import Refresh, SpectralRefresh
    from .gaussians.spectral import spectral
    from .kernels.hmc import HMC
    from .kernels.langevin import Langevin
    from .kernels.slice import EllipticalSlice
    from .kernels.split_hmc import SplitHMC
    from .posterior import NoisePosterior, simulate
    from .priors.load import list_priors, load_prior
    from .sampling.adapt import DualAveraging
    from .sampling.run import Run, open_run
    from .sampling.sample import sample, tempered_smc
    from .sampling.starts import Adam
    from .types import Kernel, Plan

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "load_prior": "priors.load",
        "list_priors": "priors.load",
        "Kernel": "types",
        "Plan": "types",
        "NoisePosterior": "posterior",
        "simulate": "posterior",
        "SplitHMC": "kernels.split_hmc",
        "Langevin": "kernels.langevin",
        "HMC": "kernels.hmc",
        "EllipticalSlice": "kernels.slice",
        "gauss_newton": "gaussians.low_rank",
        "Refresh": "gaussians.refresh",
        "spectral": "gaussians.spectral",
        "SpectralRefresh": "gaussians.refresh",
        "Adam": "sampling.starts",
        "DualAveraging": "sampling.adapt",
        "sample": "sampling.sample",
        "tempered_smc": "sampling.sample",
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
