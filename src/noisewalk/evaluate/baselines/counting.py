"""The cost of a method in network calls."""

from torch import Tensor

from ...types import Denoiser


class CountedDenoiser:
    """A denoiser that counts: hand it to a method in the place of the denoiser, then read `nfe`.

    One row through the network once is one call, whether it is differentiated or not.

    Arguments:
        denoiser: f(x_t, sigma).
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.nfe = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return tuple(self.denoiser.shape)

    @property
    def sigma_min(self) -> float:
        """Smallest noise level."""
        return self.denoiser.sigma_min

    @property
    def sigma_max(self) -> float:
        """Largest noise level."""
        return self.denoiser.sigma_max

    def __repr__(self) -> str:
        return f"CountedDenoiser({self.denoiser!r}, nfe={self.nfe})"

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """(B, *x), scalar or (B,) -> (B, *x); adds B to `nfe`."""
        self.nfe += len(x_t)
        return self.denoiser(x_t, sigma)
