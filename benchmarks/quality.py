"""Does the posterior mean beat the usual fills, and do the draws behave as draws?

On held-out images (inpainting, 20 % of the pixels kept, sigma_y 0.1): PSNR of the posterior mean
beside that of zero fill, nearest-neighbour fill and total-variation inpainting. On truths drawn
from the prior itself: E|draw - truth|^2 / E|mean of N draws - truth|^2, which is 2 / (1 + 1/N) for
exact draws, and the residual's chi-square per observed pixel along a Metropolised chain that starts
at the true z, where exact sampling keeps it at 1.

    python benchmarks/quality.py --images t10k-images-idx3-ubyte.gz --out quality.json
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.priors.prior import Prior
from noisewalk.priors.train.data import load_images, to_unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="fashion32")
    parser.add_argument("--images", required=True, help="held-out images")
    parser.add_argument("--num-images", type=int, default=50)
    parser.add_argument("--num-chains", type=int, default=4)
    parser.add_argument("--num-draws", type=int, default=25, help="per chain")
    parser.add_argument("--num-warmup", type=int, default=120)
    parser.add_argument("--adam", type=int, default=200, help="steps of the warm start")
    parser.add_argument("--keep", type=float, default=0.2)
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    prior = nw.load_prior(args.prior)
    operator = nw.operators.RandomInpainting(args.keep, prior.shape, seed=args.seed)
    likelihood = nw.likelihoods.Gaussian(args.sigma_y)
    images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0]))
    truths = images[
        torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))[
            : args.num_images
        ]
    ]
    problem = Problem(prior, operator, likelihood, args)
    result = {
        "settings": {k: str(v) for k, v in vars(args).items()},
        "fills": problem.against_fills(truths),
        "prior truths": problem.on_prior_truths(),
    }
    result["from the true z"] = problem.kept_chi2()
    if args.out:
        args.out.write_text(json.dumps(result, indent=2))


class Problem:
    """One prior, operator and likelihood; `args` as in `main`."""

    def __init__(
        self,
        prior: Prior,
        operator: nw.operators.RandomInpainting,
        likelihood: nw.likelihoods.Gaussian,
        args: argparse.Namespace,
    ) -> None:
        self.prior, self.operator, self.likelihood, self.args, self.phi = (
            prior,
            operator,
            likelihood,
            args,
            prior.map(),
        )

    def measure(self, truths: Tensor) -> Tensor:
        return self.likelihood.sample(
            self.operator(truths),
            nw.noise.rows(self.args.seed, len(truths)),
            self.operator.observed,
        )

    def run(self, y: Tensor) -> nw.Run:
        target = nw.NoisePosterior(self.phi, self.operator, self.likelihood, y, microbatch=50)
        return nw.sample(
            target,
            num_draws=self.args.num_draws,
            num_chains=self.args.num_chains,
            num_warmup=self.args.num_warmup,
            warm_start=nw.Adam(self.args.adam),
            seed=self.args.seed,
        )

    def against_fills(self, truths: Tensor) -> dict[str, object]:
        """PSNR of the posterior mean and of the fills, on real images."""
        start, y = time.perf_counter(), self.measure(truths)
        run = self.run(y)
        mask = self.operator.observed.expand(truths.shape[1:])
        methods = {
            "posterior mean": run.mean,
            "one draw": run.draws[:, 0, -1],
            "zero fill": torch.where(mask, y, 0.0),
            "nearest fill": torch.stack([nearest(v, mask) for v in y]),
            **{
                f"total variation {w:g}": torch.stack([total_variation(v, mask, w) for v in y])
                for w in (0.0125, 0.025, 0.05, 0.1, 0.2)
            },
        }
        table = {name: psnr(x, truths) for name, x in methods.items()}
        summary = run.summary()
        print(
            f"{len(truths)} held-out images, {self.args.keep:.0%} kept, "
            f"{time.perf_counter() - start:.0f} s; R-hat max {summary['r_hat_max']:.2f}"
        )
        for name, values in table.items():
            print(
                f"  {name:24} PSNR {float(values.mean()):6.2f} +- "
                f"{float(values.std()) / math.sqrt(len(values)):.2f}"
            )
        best = max(
            (n for n in table if n not in ("posterior mean", "one draw")),
            key=lambda n: float(table[n].mean()),
        )
        gain = table["posterior mean"] - table[best]
        print(
            f"  posterior mean - {best}: {float(gain.mean()):+.2f} +- "
            f"{float(gain.std()) / math.sqrt(len(gain)):.2f} dB",
            flush=True,
        )
        return {
            **{
                name: [float(v.mean()), float(v.std()) / math.sqrt(len(v))]
                for name, v in table.items()
            },
            "r_hat_max": summary["r_hat_max"],
        }

    def on_prior_truths(self) -> dict[str, float]:
        """Squared error of a draw over that of the mean of N, beside 2 / (1 + 1/N)."""
        noise = nw.noise.rows(self.args.seed + 1, self.args.num_images)
        with torch.no_grad():
            truths = self.phi(noise.normal(self.phi.shape, nw.noise.PROBE))
        run = self.run(self.measure(truths))
        draws = run.draws.flatten(1, 2)
        count = draws.shape[1]
        of_draws = (draws - truths[:, None]).double().square().flatten(2).mean(2).mean(1)
        of_means = (draws.mean(1) - truths).double().square().flatten(1).mean(1)
        ratio, expected = float(of_draws.mean() / of_means.mean()), 2 / (1 + 1 / count)
        error = float(((of_draws - ratio * of_means) / of_means.mean()).std()) / math.sqrt(
            len(truths)
        )
        print(
            f"{len(truths)} truths from the prior, N = {count}: error of a draw / error of the "
            f"mean {ratio:.3f} +- {error:.3f}, exact draws {expected:.3f}",
            flush=True,
        )
        return {
            "ratio": ratio,
            "standard_error": error,
            "exact": expected,
            "r_hat_max": run.summary()["r_hat_max"],
        }

    def kept_chi2(self) -> dict[str, float]:
        """Chi-square per observed pixel along MALA from the true z; at a random time of a
        reversible chain its law is that of the start."""
        noise = nw.noise.rows(self.args.seed + 2, self.args.num_images)
        z = noise.normal(self.phi.shape, nw.noise.PROBE)
        with torch.no_grad():
            y = self.measure(self.phi(z))
        target = nw.NoisePosterior(self.phi, self.operator, self.likelihood, y, microbatch=50)
        kernel, state = nw.Langevin(3e-4, adjust=True), target(z)
        accepted, first = torch.zeros(len(z), dtype=torch.float64), target.chi2(state.x)
        steps = 200
        for step in range(steps):
            state, info, _ = kernel.step(state, target, noise.at(step))
            accepted += info.acceptance_rate.double() / steps
        last, m = target.chi2(state.x), float(self.operator.observed.expand(z.shape[1:]).sum())
        error, change = math.sqrt(2 / m / len(z)), last - first
        print(
            f"chi-square per pixel from the true z: {float(first.mean()):.4f}, after {steps} "
            f"steps of MALA {float(last.mean()):.4f}; exact 1 +- {error:.4f}; "
            f"acceptance {float(accepted.mean()):.2f}, change {float(change.mean()):+.4f} +- "
            f"{float(change.std()) / math.sqrt(len(z)):.4f}",
            flush=True,
        )
        return {
            "first": float(first.mean()),
            "last": float(last.mean()),
            "standard_error": error,
            "acceptance": float(accepted.mean()),
        }


def nearest(y: Tensor, mask: Tensor) -> Tensor:
    """Every unobserved pixel takes the nearest observed one."""
    from scipy.ndimage import distance_transform_edt

    filled = []
    for channel, known in zip(y.numpy(), mask.numpy(), strict=True):
        index = distance_transform_edt(~known, return_distances=False, return_indices=True)
        filled.append(torch.from_numpy(channel[tuple(index)]))
    return torch.stack(filled)


def total_variation(y: Tensor, mask: Tensor, weight: float) -> Tensor:
    """Nearest fill, then Chambolle's total-variation denoising with the observed pixels put back,
    repeated until it settles."""
    from skimage.restoration import denoise_tv_chambolle

    data, known = y.numpy().astype(np.float64), mask.numpy()
    x = nearest(y, mask).numpy().astype(np.float64)
    for _ in range(50):
        x = denoise_tv_chambolle(np.where(known, data, x), weight=weight, channel_axis=0)
    return torch.from_numpy(x).float()


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    return nw.metrics.psnr(x, truth)


if __name__ == "__main__":
    main()
