"""What a calibration is asked for, checked."""

from dataclasses import dataclass
from typing import Any

import torch

from ..._checks import one_of, seed_of, whole
from ...errors import ConfigError
from ...gaussians.refresh import Schedule
from ...kernels.contract import check_kernel
from ...sampling.starts import Start
from ...types import Kernel, Likelihood, NoiseMap, Operator


@dataclass(frozen=True)
class Request:
    """The arguments of `calibrate` on simulated problems, checked; `thin` becomes a number."""

    phi: NoiseMap
    operator: Operator
    likelihood: Likelihood
    kernel: Kernel | str | None = None
    num_problems: int = 200
    test: str = "exactness"
    seed: int = 0
    num_draws: int = 19
    thin: Any = "auto"
    microbatch: int | None = None
    num_warmup: int | str = "auto"
    warm_start: Start | str | None = "auto"
    adapted: bool = False
    num_carried: int | None = None
    progress: bool = True
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    differentiable: bool = True
    refresh: Schedule | str | None = "auto"

    def __post_init__(self) -> None:
        one_of("test", self.test, ("exactness", "converged"))
        thin = self._usual_thin() if isinstance(self.thin, str) else self.thin
        checked = {
            "num_problems": whole("num_problems", self.num_problems, 20),
            "num_draws": whole("num_draws", self.num_draws, 2),
            "thin": whole("thin", thin),
            "seed": seed_of(self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if isinstance(self.kernel, str):
            self._check_smc()
        elif self.kernel is not None:
            self._check_kernel(check_kernel(self.kernel))
        elif self.adapted:
            raise ConfigError("adapted=True is for a given kernel: the default one always is")

    def _usual_thin(self) -> int | str:
        """2 in the exactness test of a kernel with a carry, so that the carry is used; else 1."""
        kernel = self.kernel
        carries = kernel is None or (isinstance(kernel, Kernel) and kernel.carries)
        usual = 2 if self.test == "exactness" and carries else 1
        return usual if self.thin == "auto" else self.thin

    def _check_smc(self) -> None:
        if self.kernel != "smc" or self.test == "exactness":
            raise ConfigError(
                "kernel must be a transition, None, or 'smc' with test='converged', got "
                f"{self.kernel!r} with test={self.test!r}"
            )
        if self.refresh != "auto" or self.adapted:
            raise ConfigError("'smc' fits its own kernel: leave refresh and adapted out")

    def _check_kernel(self, kernel: Kernel) -> None:
        backward = kernel.exact and (kernel.reversible or kernel.carries)
        if self.test == "exactness" and not backward:
            lacking = "not reversible" if kernel.exact else "unadjusted"
            raise ConfigError(
                f"test='exactness' runs a chain backward, and {kernel} is {lacking}: give an "
                "adjusted, reversible kernel, or set test='converged'"
            )
        if self.adapted and not (kernel.exact and kernel.step_size is not None):
            raise ConfigError(f"adapted=True needs an exact kernel with a step size, got {kernel}")
        if kernel.needs_gradient and not self.differentiable:
            raise ConfigError(
                f"{type(kernel).__name__} needs gradients, and the problem has none: use "
                "EllipticalSlice, 'smc', or None"
            )
