"""One small instance of every public map, operator, likelihood and kernel: what is listed here is
tested by every law that fits it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk._repr import readable
from noisewalk.gaussians.low_rank import LowRank
from noisewalk.gaussians.spectral import Spectral
from noisewalk.kernels.split_hmc import SplitHMC


class Case(NamedTuple):
    """How to make an instance in a precision, and the shape of one row that goes in."""

    name: str
    build: Callable[[torch.dtype], Any]
    shape: tuple[int, ...]


def draw(
    shape: tuple[int, ...], rows: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """(rows, *shape) standard normal numbers."""
    return noise.rows(seed, rows).normal(shape, noise.PROBE, dtype)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Linear:
    """x -> matrix x on flat x."""

    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.matrix.to(x.dtype).T


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Bent:
    """x -> h / 2 + tanh h with h = matrix x: nonlinear, on flat x, and it does not saturate."""

    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        h = x @ self.matrix.to(x.dtype).T
        return h / 2 + torch.tanh(h)


def posterior(dtype: torch.dtype, images: tuple[int, ...] = (0, 1)) -> Any:
    """A nonlinear target of two images, of which `images` are kept."""
    y = draw((3,), 2, seed=4, dtype=dtype)[list(images)]
    return nw.NoisePosterior(
        nw.maps.Warp((4,), 0.7),
        Bent(draw((3, 4), seed=5, dtype=dtype)[0]),
        nw.likelihoods.Gaussian(0.3),
        y,
    )


def gappy_posterior(dtype: torch.dtype, images: tuple[int, ...] = (0, 1)) -> Any:
    """An image-shaped target whose second image lacks an entry, held in y as NaN."""
    y, observed = draw((1, 2, 2), 2, seed=6, dtype=dtype), torch.ones(2, 1, 2, 2, dtype=torch.bool)
    observed[1, 0, 0, 1] = False
    y = torch.where(observed, y, torch.nan)
    return nw.NoisePosterior(
        nw.maps.Warp((1, 4, 4), -0.5),
        nw.operators.AveragePool(2),
        nw.likelihoods.Gaussian(0.2),
        y[list(images)],
        observed=observed[list(images)],
        microbatch=3,
    )


@dataclass(frozen=True)
class Shrink:
    """A smooth stand-in for a denoiser: the posterior mean under N(0, I), bent."""

    shape: tuple[int, ...] = (1, 2, 3)
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        variance = (1 + sigma.to(x_t) ** 2).reshape(-1, *[1] * (x_t.ndim - 1))
        return x_t / variance + 0.3 * torch.tanh(x_t / variance.sqrt())


def swirl(v: Tensor, t: Tensor) -> Tensor:
    """A smooth velocity field."""
    return torch.tanh(v.flip(-1)) - 0.5 * t.reshape(-1, *[1] * (v.ndim - 1)) * v


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Decoder:
    """A smooth generator of (2, 2) from 3 numbers."""

    matrix: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return torch.tanh(z @ self.matrix.to(z.dtype).T).reshape(-1, 2, 2)


MASK = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1]], dtype=torch.bool)
KERNEL = torch.tensor([[0.0, 0.2, 0.0], [0.1, 0.5, 0.1], [0.0, 0.0, 0.1]])

MAPS = [
    Case(
        "affine",
        lambda dtype: nw.maps.Affine(
            draw((3, 4), seed=1, dtype=dtype)[0], draw((3,), seed=2, dtype=dtype)[0]
        ),
        (4,),
    ),
    Case(
        "affine, no offset",
        lambda dtype: nw.maps.Affine(draw((3, 4), seed=1, dtype=dtype)[0]),
        (4,),
    ),
    Case(
        "mixture",
        lambda dtype: nw.maps.Mixture(3.0 * draw((3, 4), seed=11, dtype=dtype)[0], num_steps=8),
        (4,),
    ),
    Case("warp", lambda dtype: nw.maps.Warp((2, 3), 0.8), (2, 3)),
    Case("consistency, one step", lambda dtype: nw.maps.Consistency(Shrink()), (1, 2, 3)),
    Case(
        "consistency, two steps",
        lambda dtype: nw.maps.Consistency(Shrink(), (2.0,), seed=3),
        (1, 2, 3),
    ),
    Case("flow, heun", lambda dtype: nw.maps.ProbabilityFlow(Shrink(), num_steps=3), (1, 2, 3)),
    Case(
        "flow, euler",
        lambda dtype: nw.maps.ProbabilityFlow(
            Shrink(), num_steps=4, solver="euler", gradient="direct"
        ),
        (1, 2, 3),
    ),
    Case(
        "velocity flow, rk4",
        lambda dtype: nw.maps.Flow(swirl, (2, 3), num_steps=3, solver="rk4"),
        (2, 3),
    ),
    Case(
        "generator",
        lambda dtype: nw.maps.Generator(Decoder(draw((4, 3), seed=8)[0]), (3,), (2, 2)),
        (3,),
    ),
    Case(
        "latent",
        lambda dtype: nw.maps.Latent(
            nw.maps.Warp((3,), 0.5), Decoder(draw((4, 3), seed=8)[0]), (2, 2)
        ),
        (3,),
    ),
    Case(
        "representation error, stacked",
        lambda dtype: nw.maps.RepresentationError(nw.maps.Warp((2, 3), 0.8), 0.1),
        (4, 3),
    ),
    Case(
        "representation error, flat",
        lambda dtype: nw.maps.RepresentationError(
            nw.maps.Generator(Decoder(draw((4, 3), seed=8)[0]), (3,), (2, 2)), 0.1
        ),
        (7,),
    ),
]

OPERATORS = [
    Case("identity", lambda dtype: nw.operators.Identity(), (2, 4, 4)),
    Case("average pool", lambda dtype: nw.operators.AveragePool(2), (2, 4, 4)),
    Case(
        "gaussian blur", lambda dtype: nw.operators.GaussianBlur(kernel_size=5, std=1.0), (2, 6, 5)
    ),
    Case("convolution", lambda dtype: nw.operators.Convolution(KERNEL), (2, 4, 5)),
    Case(
        "random inpainting",
        lambda dtype: nw.operators.RandomInpainting(0.4, (2, 4, 4), seed=1),
        (2, 4, 4),
    ),
    Case(
        "clouds", lambda dtype: nw.operators.CloudInpainting(0.4, (2, 4, 4), 2.0, seed=1), (2, 4, 4)
    ),
    Case(
        "box inpainting",
        lambda dtype: nw.operators.BoxInpainting(top=1, left=0, height=2, width=3),
        (2, 4, 4),
    ),
    Case("mask inpainting", lambda dtype: nw.operators.MaskInpainting(MASK), (2, 4, 4)),
    Case("hdr", lambda dtype: nw.operators.HDR(factor=2.0), (2, 3, 3)),
    Case("phase retrieval", lambda dtype: nw.operators.PhaseRetrieval(oversample=2.0), (2, 4, 5)),
    Case(
        "camera motion blur",
        lambda dtype: nw.operators.CameraMotionBlur(3.0, (2, 6, 5), seed=1),
        (2, 6, 5),
    ),
    Case(
        "compose",
        lambda dtype: nw.operators.Compose([nw.operators.AveragePool(2), nw.operators.HDR()]),
        (2, 4, 4),
    ),
    Case(
        "compose, masked",
        lambda dtype: nw.operators.Compose([nw.operators.HDR(), nw.operators.MaskInpainting(MASK)]),
        (2, 4, 4),
    ),
]

LIKELIHOODS = [
    Case("gaussian", lambda dtype: nw.likelihoods.Gaussian(0.3), (2, 3)),
    Case(
        "gaussian, per entry",
        lambda dtype: nw.likelihoods.Gaussian(0.2 + draw((2, 3), seed=7, dtype=dtype)[0].abs()),
        (2, 3),
    ),
    Case("poisson", lambda dtype: nw.likelihoods.Poisson(20.0), (2, 3)),
    Case(
        "poisson, read", lambda dtype: nw.likelihoods.PoissonGaussian(30.0, 1.5, 2.0, 3.0), (2, 3)
    ),
    Case(
        "poisson, read finely",
        lambda dtype: nw.likelihoods.PoissonGaussian(30.0, 4.0, 8.0, 1.2),
        (2, 3),
    ),
    Case("laplace", lambda dtype: nw.likelihoods.Laplace(0.3), (2, 3)),
    Case("student-t", lambda dtype: nw.likelihoods.StudentT(4.0, 0.3), (2, 3)),
    Case("unknown gaussian", lambda dtype: nw.likelihoods.UnknownGaussian(2.0, 0.1), (2, 3)),
]


def low_rank(dtype: torch.dtype) -> LowRank:
    """A preconditioner of rank 2 in four dimensions."""
    basis = torch.linalg.qr(draw((4, 2), seed=9, dtype=torch.float64)[0])[0].T
    return LowRank(
        0.3 * draw((4,), seed=10, dtype=dtype),
        basis[None].to(dtype),
        torch.tensor([[6.0, 0.5]], dtype=dtype),
    )


def diagonal(dtype: torch.dtype) -> Spectral:
    """A preconditioner that is diagonal in the cosines of four dimensions."""
    return Spectral(
        0.3 * draw((4,), seed=10, dtype=dtype), torch.tensor([[6.0, 0.5, 0.0, 1.0]], dtype=dtype)
    )


KERNELS = [
    Case("em", lambda dtype: nw.Langevin(0.1), (4,)),
    Case("ei", lambda dtype: nw.Langevin(0.1, scheme="ei"), (4,)),
    Case("mala", lambda dtype: nw.Langevin(0.1, adjust=True), (4,)),
    Case("pcnl", lambda dtype: nw.Langevin(0.1, scheme="ei", adjust=True), (4,)),
    Case(
        "mala, step per image",
        lambda dtype: nw.Langevin(torch.tensor([0.1, 0.05], dtype=torch.float64), adjust=True),
        (4,),
    ),
    Case(
        "preconditioned ei",
        lambda dtype: nw.Langevin(0.1, scheme="ei", preconditioner=low_rank(dtype)),
        (4,),
    ),
    Case(
        "preconditioned pcnl",
        lambda dtype: nw.Langevin(0.2, scheme="ei", adjust=True, preconditioner=low_rank(dtype)),
        (4,),
    ),
    Case("hmc", lambda dtype: nw.HMC(0.2, 3), (4,)),
    Case("hmc, velocity kept", lambda dtype: nw.HMC(0.2, 3, friction=0.5), (4,)),
    Case("preconditioned hmc", lambda dtype: nw.HMC(0.3, 3, preconditioner=low_rank(dtype)), (4,)),
    Case(
        "spectral pcnl",
        lambda dtype: nw.Langevin(0.2, scheme="ei", adjust=True, preconditioner=diagonal(dtype)),
        (4,),
    ),
    Case("spectral hmc", lambda dtype: nw.HMC(0.3, 3, preconditioner=diagonal(dtype)), (4,)),
    Case("hmc, mass matrix", lambda dtype: nw.HMC(0.2, 3, "leapfrog", low_rank(dtype)), (4,)),
    Case("split hmc", lambda dtype: SplitHMC(0.2, 3, 0.5, low_rank(dtype).basis), (4,)),
    Case("split hmc, no basis", lambda dtype: SplitHMC(turn=0.3), (4,)),
    Case("slice", lambda dtype: nw.EllipticalSlice(), (4,)),
    Case("preconditioned slice", lambda dtype: nw.EllipticalSlice(low_rank(dtype)), (4,)),
]

BASELINES = {
    "dps": nw.baselines.dps,
    "lgd": nw.baselines.lgd,
    "mpgd": nw.baselines.mpgd,
    "cmedit": nw.baselines.cmedit,
}

TARGETS = [Case("nonlinear", posterior, (4,)), Case("gaps", gappy_posterior, (1, 4, 4))]

EXEMPT: dict[str, str] = {
    "NeuralBlur": "needs a user's weight file; its laws are in tests/operators/test_neural_blur.py"
}
"""Public classes that no case can make, with the reason."""


def ids(case: Case) -> str:
    """The test's name."""
    return case.name
