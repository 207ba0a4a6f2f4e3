r"""Are the draws right? Three posteriors that are known: linear-Gaussian, a 25-mode mixture, a
warped nonlinear map with a long reference run.

- gaussian: a random affine map of 20 noise numbers seen through 6 rows: mean and covariance of
  tempered SMC and of the default kernel against the closed form, in units of their Monte Carlo
  error.
- mixture: `mixture_problem.py`, 20 problems in each of nine settings; sliced Wasserstein distance
  to exact draws over the floor (mean of 12 fresh pairs of exact sets), and the error of the log
  evidence. Every problem is written to --out when it is done; the same command goes on after a
  stop.
- warp: 10 numbers bent elementwise, 4 measurements through a saturating operator: SMC and the
  default kernel against HMC run 40 times as long.

    python benchmarks/exactness.py mixture --d 8 80 800 --d-y 1 2 4 --out mixture.json
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from mixture_problem import MixtureProblem, sliced_wasserstein

import noisewalk as nw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["gaussian", "mixture", "warp"])
    parser.add_argument("--d", type=int, nargs="+", default=[8, 80, 800])
    parser.add_argument("--d-y", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--carried", type=int, default=2000, help="particles carried by SMC")
    parser.add_argument("--out", type=Path, help="JSON file, gone on with if it exists")
    args = parser.parse_args()
    {"gaussian": gaussian, "mixture": mixture, "warp": warp}[args.part](args)


def mixture(args: argparse.Namespace) -> None:
    """All settings, problem by problem, and their table."""
    done: dict[str, Any] = (
        json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    )
    for d in args.d:
        for d_y in args.d_y:
            rows = []
            for seed in range(args.problems):
                key = (
                    f"d {d}, d_y {d_y}, problem {seed}, samples {args.samples}, carried "
                    f"{args.carried}"
                )
                if key not in done:
                    done[key] = solve(MixtureProblem.draw(d, d_y, seed), args.samples, args.carried)
                    if args.out:
                        args.out.write_text(json.dumps(done, indent=1))
                rows.append(done[key])
            distance, floor = mean(r["distance"] for r in rows), mean(r["floor"] for r in rows)
            print(
                f"d {d:3} d_y {d_y}: distance {distance:6.3f}, floor {floor:6.3f}, ratio "
                f"{distance / floor:.2f} "
                f"(worst problem {max(r['distance'] / r['floor'] for r in rows):.2f}); median "
                "|log-evidence error| "
                f"{median(abs(r['evidence_error']) for r in rows):.3f}; network calls per "
                f"returned sample {mean(r['nfe'] for r in rows) / args.samples:.0f}; "
                f"{mean(r['seconds'] for r in rows):.1f} s a problem",
                flush=True,
            )


def solve(problem: MixtureProblem, samples: int, carried: int) -> dict[str, float]:
    """One problem by tempered SMC."""
    start = time.perf_counter()
    run = nw.tempered_smc(problem.target(), samples, carried, progress=False)
    seconds = time.perf_counter() - start
    distance = sliced_wasserstein(run.draws[0, :, 0].double(), problem.sample(samples, seed=1))
    error = float(run.log_evidence[0]) - problem.log_evidence()
    return {
        "distance": distance,
        "floor": problem.floor(samples),
        "evidence_error": error,
        "nfe": run.nfe,
        "seconds": seconds,
        "sigma_y": problem.sigma_y,
    }


def gaussian(args: argparse.Namespace) -> None:
    """Mean, variance and evidence against the closed form."""
    g = torch.Generator().manual_seed(0)
    phi = nw.maps.Affine(
        torch.randn(12, 20, generator=g, dtype=torch.float64) / 4,
        torch.randn(12, generator=g, dtype=torch.float64),
    )
    matrix, sigma = torch.randn(6, 12, generator=g, dtype=torch.float64), 0.3
    y = torch.randn(1, 6, generator=g, dtype=torch.float64) * 2
    whole, shift = matrix @ phi.matrix, y[0] - matrix @ phi.offset  # type: ignore[operator]
    covariance = torch.linalg.inv(torch.eye(20, dtype=torch.float64) + whole.T @ whole / sigma**2)
    centre = covariance @ whole.T @ shift / sigma**2
    spread = whole @ whole.T + sigma**2 * torch.eye(6, dtype=torch.float64)
    evidence = torch.distributions.MultivariateNormal(
        torch.zeros(6, dtype=torch.float64), spread
    ).log_prob(shift)
    target = nw.NoisePosterior(phi, lambda x: x @ matrix.T, nw.likelihoods.Gaussian(sigma), y)
    root = torch.linalg.cholesky(torch.linalg.inv(covariance))
    smc = nw.tempered_smc(target, args.samples, args.carried, progress=False)
    chains = nw.sample(target, num_draws=args.samples // 4, num_chains=4, progress=False)
    for name, run in (("tempered SMC", smc), ("default kernel", chains)):
        u = (run.z.reshape(-1, 20).double() - centre) @ root  # N(0, I) if right
        size = (
            float(nw.diagnostics.ess_bulk(u.reshape(4, -1, 20)).min())
            if run is chains
            else float(args.samples)
        )
        print(
            f"gaussian, {name}: chi-square of the whitened mean "
            f"{float(u.mean(0).square().sum()) * size:.1f} (20 +- {math.sqrt(40):.1f}), "
            f"mean square {float(u.square().mean()):.4f} (1 +- "
            f"{math.sqrt(2 / (20 * size)):.4f}), ESS {size:.0f}"
        )
    print(f"gaussian, log evidence {float(smc.log_evidence[0]):.3f}, exact {float(evidence):.3f}")


def warp(args: argparse.Namespace) -> None:
    """Posterior means and standard deviations against a long run."""
    g = torch.Generator().manual_seed(1)
    matrix = torch.randn(4, 10, generator=g, dtype=torch.float64)
    phi = nw.maps.Warp((10,), 0.9)
    y = torch.tanh(phi(torch.randn(1, 10, generator=g, dtype=torch.float64)) @ matrix.T / 2)
    target = nw.NoisePosterior(
        phi, lambda x: torch.tanh(x @ matrix.T / 2), nw.likelihoods.Gaussian(0.1), y
    )
    long = nw.sample(
        target,
        nw.HMC(0.1, 12),
        10 * args.samples,
        4,
        500,
        adapt=nw.DualAveraging(),
        refresh=None,
        warm_start=None,
        progress=False,
    )
    reference = long.z[0].double()
    centre, std, size = (
        reference.mean((0, 1)),
        reference.std((0, 1)),
        nw.diagnostics.ess_bulk(reference),
    )
    print(
        f"warp, reference: R-hat {float(nw.diagnostics.r_hat(reference).max()):.4f}, ESS "
        f"{float(size.min()):.0f}"
    )
    smc = nw.tempered_smc(target, args.samples, args.carried, progress=False)
    chains = nw.sample(target, num_draws=args.samples // 4, num_chains=4, progress=False)
    for name, run in (("tempered SMC", smc), ("default kernel", chains)):
        z = run.z[0].double()
        found = (
            nw.diagnostics.ess_bulk(z) if run is chains else torch.full((10,), float(args.samples))
        )
        error = (z.mean((0, 1)) - centre) / std / (1 / found + 1 / size).sqrt()
        ratio = z.reshape(-1, 10).std(0) / std
        print(
            f"warp, {name}: chi-square of the means {float(error.square().sum()):.1f} (10 +- "
            f"{math.sqrt(20):.1f}); "
            f"std over the reference's {float(ratio.min()):.3f} to {float(ratio.max()):.3f} "
            f"(+- {math.sqrt(0.5 / float(found.min())):.3f})"
        )


if __name__ == "__main__":
    main()
