"""noisewalk: samples from p(x | y) by Markov chains in the noise space of a generative prior.

The package is lazy: a name is imported when it is first used, and `noisewalk --help` imports no
torch.
"""

from typing import TYPE_CHECKING

from ._lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from . import engines, errors, files, likelihoods, maps, noise, operators, priors, report, types
    from ._simulate import simulate
    from .evaluate import baselines, diagnostics, metrics
    from .evaluate.calibrate.calibrate import calibrate
    from .evaluate.compare import compare
    from .gaussians.low_rank import gauss_newton
    from .gaussians.refresh import Refresh, SpectralRefresh
    from .gaussians.spectral import spectral
    from .kernels.hmc import HMC
    from .kernels.langevin import Langevin
    from .kernels.slice import EllipticalSlice
    from .kernels.split_hmc import SplitHMC
    from .posterior import NoisePosterior
    from .priors.load import list_priors, load_prior
    from .sampling.adapt import DualAveraging
    from .sampling.randomized import RandomizedStarts
    from .sampling.run import Run, open_run
    from .sampling.sample import sample, tempered_smc
    from .sampling.sample_many import sample_many
    from .sampling.starts import Adam
    from .types import Kernel, Plan

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "evaluate.calibrate.calibrate": "calibrate",
        "evaluate.compare": "compare",
        "gaussians.low_rank": "gauss_newton",
        "gaussians.refresh": "Refresh SpectralRefresh",
        "gaussians.spectral": "spectral",
        "kernels.hmc": "HMC",
        "kernels.langevin": "Langevin",
        "kernels.slice": "EllipticalSlice",
        "kernels.split_hmc": "SplitHMC",
        "posterior": "NoisePosterior",
        "_simulate": "simulate",
        "priors.load": "list_priors load_prior",
        "sampling.adapt": "DualAveraging",
        "sampling.run": "Run open_run",
        "sampling.sample": "sample tempered_smc",
        "sampling.sample_many": "sample_many",
        "sampling.randomized": "RandomizedStarts",
        "sampling.starts": "Adam",
        "types": "Kernel Plan",
    },
    {
        "baselines": "evaluate.baselines",
        "diagnostics": "evaluate.diagnostics",
        "engines": "engines",
        "errors": "errors",
        "files": "files",
        "likelihoods": "likelihoods",
        "maps": "maps",
        "metrics": "evaluate.metrics",
        "noise": "noise",
        "operators": "operators",
        "priors": "priors",
        "report": "report",
        "types": "types",
    },
    renamed={"inputs": "files"},
)
