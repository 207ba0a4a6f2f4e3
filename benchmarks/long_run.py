r"""How many network calls does a chain need? R-hat of the default kernel at 500, 1,000, 2,000 and
4,000 calls a chain, from dispersed starts.

The truth is a draw of the prior itself. Each chain starts at z ~ N(0, I), then warm-starts, adapts
its step in --warmup transitions around one Gauss-Newton Gaussian averaged over the chains, and
draws; every call counts, those of the curvature too. R-hat at n calls is taken over the draws made
after n / 2 calls: over the pixels that vary (median, largest) and 20 random projections (largest).
The run is kept in --out: the same command goes on after a stop, and with --report it prints what is
there so far.

    python benchmarks/long_run.py --prior terrain128 --operator avgpool:factor=8 --sigma-y 0.05
    --out long-terrain128
"""

import argparse
import math
from pathlib import Path

import torch
from simulated import simulated

import noisewalk as nw
from noisewalk.evaluate.diagnostics.chains import projections, varying
from noisewalk.gaussians.low_rank import calls_of
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.defaults import FRICTION, adaptation_of
from noisewalk.sampling.execute import draw

NUM_PROJECTIONS = 20
FEWEST = 8
"""Draws a chain below which R-hat is not printed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="terrain128")
    parser.add_argument("--label", type=float, help="conditioning value; 50 for terrain128")
    parser.add_argument("--operator", default="avgpool:factor=8")
    parser.add_argument("--sigma-y", type=float, default=0.05)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--calls", type=int, default=4000, help="network calls a chain in all")
    parser.add_argument("--marks", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--adam", type=int, default=80)
    parser.add_argument("--rank", type=int, default=40)
    parser.add_argument(
        "--num-leapfrog", type=int, default=8, help="steps a transition; 8 is the default kernel"
    )
    parser.add_argument(
        "--friction",
        type=float,
        default=FRICTION,
        help="of its velocities; inf draws them afresh at every transition",
    )
    parser.add_argument("--warmup", type=int, default=25, help="transitions that adapt the step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="do not go on, print")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run, gone on with if it exists"
    )
    args = parser.parse_args()
    label = 50.0 if args.label is None and args.prior == "terrain128" else args.label
    prior = nw.load_prior(args.prior, label)
    target = simulated(prior, args.operator, args.sigma_y, args.seed + 1)
    kernel = nw.HMC(0.8 / args.num_leapfrog, args.num_leapfrog, friction=args.friction)
    setup = (
        1
        + args.adam
        + calls_of(args.rank, math.prod(target.shape))
        + args.warmup * kernel.evaluations
    )
    num_draws = (args.calls - setup) // kernel.evaluations
    plan = Chains(
        kernel,
        num_draws,
        args.chains,
        args.warmup,
        1,
        nw.Adam(args.adam),
        adaptation_of(kernel),
        args.seed,
        nw.Refresh((0.0,), args.rank),
    )
    run = nw.open_run(args.out) if args.report else draw(plan, target, args.out)
    num_draws = run.draws.shape[2]
    print(
        f"{args.prior}, {args.operator}, sigma_y {args.sigma_y}: {kernel}, step "
        f"{float(torch.as_tensor(run.arrays['step_size'][0, 0, 0])):.3f}, ",
        end="",
    )
    print(
        f"acceptance {float(torch.as_tensor(run.arrays['acceptance_rate'][...]).mean()):.3f}, "
        f"{setup} calls a chain before the draws"
    )
    for mark in args.marks:
        last = min(num_draws, (mark - setup) // kernel.evaluations)
        first = max(0, (mark // 2 - setup) // kernel.evaluations)
        if mark > setup + (num_draws + 1) * kernel.evaluations or last - first < FEWEST:
            print(f"{mark:6} calls a chain: {max(0, last - first)} draws, too few or not there yet")
            continue
        x = run.draws[0][:, first:last]
        pixels = nw.diagnostics.r_hat(x[..., varying(x)])
        probes = projections(x)[..., :NUM_PROJECTIONS]
        worst, size = (
            float(nw.diagnostics.r_hat(probes).max()),
            float(nw.diagnostics.ess_bulk(probes).median()),
        )
        chi2 = float(torch.as_tensor(run.arrays["chi2"][0, :, first:last]).mean())
        print(
            f"{mark:6} calls a chain: {last - first} draws, R-hat pixels median "
            f"{float(pixels.median()):.3f}, max {float(pixels.max()):.3f}; "
            f"{NUM_PROJECTIONS} projections max {worst:.3f}, ESS median {size:.0f}; chi-square "
            f"{chi2:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
