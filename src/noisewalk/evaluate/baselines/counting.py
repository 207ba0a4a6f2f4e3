"""The cost of a method in network calls."""

from dataclasses import dataclass, field

from torch import Tensor

from ...types import Denoiser


@dataclass(eq=False, repr=False)
class CountedDenoiser:
    """A denoiser that counts its calls: give it to a method, then read `nfe`.

    One row through the network once is one call, whether it is differentiated or not.

    Arguments:
        denoiser: f(x_t, sigma).

    Example:
        >>> denoiser = lambda x_t, sigma: x_t / (1 + sigma**2)  # of the prior N(0, I)
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (2,), 0.002, 80.0
        >>> counted = nw.baselines.CountedDenoiser(denoiser)
        >>> x = nw.baselines.unguided(counted, num_samples=5, num_steps=10)
        >>> counted.nfe
        50
    """

    denoiser: Denoiser
    nfe: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        denoiser = self.denoiser
        self.shape = tuple(denoiser.shape)
        self.sigma_min, self.sigma_max = denoiser.sigma_min, denoiser.sigma_max

    def __repr__(self) -> str:
        return f"CountedDenoiser({self.denoiser!r}, nfe={self.nfe})"

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """(B, *x), scalar or (B,) -> (B, *x); adds B to `nfe`."""
        self.nfe += len(x_t)
        return self.denoiser(x_t, sigma)
