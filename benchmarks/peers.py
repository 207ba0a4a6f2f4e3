r"""Other libraries' posterior samplers on the mixture problems of `mixture_problem.py`, with the
same exact denoiser; runs in .venv-peers.

At their documented settings: azula's DPS, PiGDM, TMPD and MMPS with 64 steps of its
variance-exploding schedule up to 20 times the largest |mean|; deepinv's DPS (1,000 steps, on data
scaled into its [-1, 1]) and DDRM (100 levels, from the data's scale down). azula's DPS takes one
norm over the whole batch, which weakens its guidance by the root of the batch's size: zeta is that
root, so that a row is guided as when it is alone.

    make peers && .venv-peers/bin/python benchmarks/peers.py --problems 5 --out peers.json
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import azula.denoise
import azula.guidance
import azula.linalg.covariance
import azula.noise
import azula.sample
import deepinv
import numpy as np
import torch
from mixture_problem import MixtureProblem, sliced_wasserstein
from torch import Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, nargs="+", default=[8, 80, 800])
    parser.add_argument("--d-y", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--out", type=Path, help="JSON file, gone on with if it exists")
    args = parser.parse_args()
    done: dict[str, Any] = (
        json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    )
    for d in args.d:
        for d_y in args.d_y:
            problems = [MixtureProblem.draw(d, d_y, seed) for seed in range(args.problems)]
            floor = mean(p.floor(args.samples) for p in problems)
            for name in args.methods:
                for seed, problem in enumerate(problems):
                    key = f"{name}, d {d}, d_y {d_y}, problem {seed}, samples {args.samples}"
                    if key not in done:
                        done[key] = solve(METHODS[name], problem, args.samples)
                        if args.out:
                            args.out.write_text(json.dumps(done, indent=1))
                rows = [
                    done[f"{name}, d {d}, d_y {d_y}, problem {seed}, samples {args.samples}"]
                    for seed in range(args.problems)
                ]
                distance, seconds = (mean(r[of] for r in rows) for of in ("distance", "seconds"))
                print(
                    f"d {d:3} d_y {d_y}: {name:14} distance {distance:7.3f}, ratio "
                    f"{distance / floor:6.2f}; {seconds:.1f} s",
                    flush=True,
                )


def solve(
    method: Callable[[MixtureProblem, int], Tensor], problem: MixtureProblem, samples: int
) -> dict[str, float]:
    """One method on one problem; a set that is not finite is infinitely far."""
    torch.manual_seed(0)
    start = time.perf_counter()
    x = method(problem, samples).double()
    seconds = time.perf_counter() - start
    distance = (
        sliced_wasserstein(x, problem.sample(samples, seed=1))
        if bool(x.isfinite().all())
        else math.inf
    )
    return {"distance": distance, "seconds": seconds}


class Exact(azula.denoise.Denoiser):
    """The mixture's denoiser as azula takes it."""

    def __init__(self, problem: MixtureProblem) -> None:
        super().__init__()
        self.phi, self.schedule = (
            problem.phi(),
            azula.noise.VESchedule(1e-3, problem.phi().sigma_max),
        )

    def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> azula.denoise.DiracPosterior:
        return azula.denoise.DiracPosterior(mean=self.phi.denoiser(x_t, self.schedule.sigma(t)))


def by_azula(
    make: Callable[[Exact, Tensor, Callable[[Tensor], Tensor], MixtureProblem, int], Any],
) -> Callable[[MixtureProblem, int], Tensor]:
    """A sampler of azula run from its own initial noise."""

    def sample(problem: MixtureProblem, count: int) -> Tensor:
        matrix = problem.matrix.float()
        sampler = make(
            Exact(problem),
            problem.y.float().expand(count, -1),
            lambda x: x @ matrix.T,
            problem,
            count,
        )
        return sampler(sampler.init((count, matrix.shape[1])))

    return sample


def azula_dps(
    denoiser: Exact, y: Tensor, operator: Any, problem: MixtureProblem, count: int
) -> Any:
    return azula.guidance.DPSSampler(denoiser, y, operator, zeta=math.sqrt(count), silent=True)


def azula_pgdm(
    denoiser: Exact, y: Tensor, operator: Any, problem: MixtureProblem, count: int
) -> Any:
    inverse = torch.linalg.pinv(problem.matrix).float()
    return azula.guidance.PGDMSampler(
        denoiser, y, operator, lambda v: v @ inverse.T, eta=1.0, silent=True
    )


def azula_tmpd(
    denoiser: Exact, y: Tensor, operator: Any, problem: MixtureProblem, count: int
) -> Any:
    return azula.sample.DDPMSampler(
        azula.guidance.TMPDenoiser(denoiser, y, operator, problem.sigma_y**2), silent=True
    )


def azula_mmps(
    denoiser: Exact, y: Tensor, operator: Any, problem: MixtureProblem, count: int
) -> Any:
    noise = azula.linalg.covariance.IsotropicCovariance(torch.tensor(problem.sigma_y**2))
    return azula.sample.DDPMSampler(
        azula.guidance.MMPSDenoiser(denoiser, y, operator, noise, iterations=len(problem.matrix)),
        silent=True,
    )


class Scaled(deepinv.models.Denoiser):
    """The mixture's denoiser on images (B, 1, 1, d) in units of `scale`, which holds nearly all of
    the data within [-1, 1]."""

    def __init__(self, problem: MixtureProblem) -> None:
        super().__init__()
        self.phi, self.scale = problem.phi(torch.float64), float(problem.means.abs().max()) + 4.0

    def forward(self, x: Tensor, sigma: Any, **_: Any) -> Tensor:
        level = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)
        return (
            (self.phi.denoiser(x.double().flatten(1) * self.scale, level * self.scale) / self.scale)
            .reshape(x.shape)
            .to(x.dtype)
        )


def deepinv_dps(problem: MixtureProblem, count: int) -> Tensor:
    denoiser, matrix = Scaled(problem), problem.matrix
    physics = deepinv.physics.LinearPhysics(
        A=lambda x, **_: (x.flatten(1).to(matrix) @ matrix.T)[:, None, None],
        A_adjoint=lambda y, **_: (y.flatten(1).to(matrix) @ matrix)[:, None, None],
        noise_model=deepinv.physics.GaussianNoise(problem.sigma_y / denoiser.scale),
    )
    y = (problem.y / denoiser.scale).expand(count, -1)[:, None, None]
    model = deepinv.sampling.DPS(denoiser, dtype=torch.float64)
    return model(y, physics, x_init=(count, 1, 1, matrix.shape[1])).flatten(1) * denoiser.scale


def deepinv_ddrm(problem: MixtureProblem, count: int) -> Tensor:
    denoiser = Scaled(problem)
    left, values, right = torch.linalg.svd(problem.matrix, full_matrices=True)
    d_y, d = problem.matrix.shape
    pad = torch.nn.functional.pad

    def image(v: Tensor) -> Tensor:
        return v[:, None, None]

    physics = deepinv.physics.DecomposablePhysics(
        U=lambda u: image(u.flatten(1)[:, :d_y] @ left.T),
        U_adjoint=lambda y: image(pad(y.flatten(1) @ left, (0, d - d_y))),
        V=lambda v: image(v.flatten(1) @ right),
        V_adjoint=lambda x: image(x.flatten(1) @ right.T),
        mask=image(pad(values, (0, d - d_y))[None]),
        noise_model=deepinv.physics.GaussianNoise(problem.sigma_y / denoiser.scale),
    )
    y = image((problem.y / denoiser.scale).expand(count, -1))
    model = deepinv.sampling.DDRM(denoiser, sigmas=np.linspace(1, 0, 100))
    return model(y, physics).flatten(1) * denoiser.scale


METHODS: dict[str, Callable[[MixtureProblem, int], Tensor]] = {
    "azula DPS": by_azula(azula_dps),
    "azula PiGDM": by_azula(azula_pgdm),
    "azula TMPD": by_azula(azula_tmpd),
    "azula MMPS": by_azula(azula_mmps),
    "deepinv DPS": deepinv_dps,
    "deepinv DDRM": deepinv_ddrm,
}

if __name__ == "__main__":
    main()
