r"""Do two samplers that share nothing but the target agree? Tempered SMC, twice, and a long run of
preconditioned HMC on one image.

The truth is a draw of the prior. Compared are the posterior mean and the posterior variance of 64
random projections of x, each difference over its Monte Carlo error: that of SMC from the spread of
its independent populations, half of them one run and half the other; that of HMC from its effective
sample size. A root mean square near 1 is agreement (1.2 with 8 populations, whose spread is itself
an estimate). Every part is kept in --out; the same command goes on after a stop.

    python benchmarks/agreement.py --prior faces64 --operator avgpool:factor=8 --out agreement
"""

import argparse
from pathlib import Path

import torch
from simulated import simulated
from torch import Tensor

import noisewalk as nw
from noisewalk.evaluate.diagnostics.chains import mcse_mean, projections, varying
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.defaults import FRICTION, adaptation_of
from noisewalk.sampling.execute import draw

SIGMA_Y = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="faces64")
    parser.add_argument("--operator", default="avgpool:factor=8")
    parser.add_argument(
        "--populations", type=int, default=8, help="independent populations of SMC, an even number"
    )
    parser.add_argument("--particles", type=int, default=128, help="of each")
    parser.add_argument(
        "--smc-leapfrog",
        type=int,
        help="move the particles by HMC of so many steps instead of SMC's own kernel",
    )
    parser.add_argument(
        "--smc-moves",
        type=int,
        nargs="+",
        help="transitions at each temperature, or the least and the most; left out: SMC's own",
    )
    parser.add_argument(
        "--smc-rank",
        type=int,
        help="of the Gauss-Newton Gaussian of each temperature; left out: none",
    )
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2000, help="of each chain")
    parser.add_argument("--num-leapfrog", type=int, default=8, help="of HMC; its calls a draw")
    parser.add_argument(
        "--friction",
        type=float,
        default=FRICTION,
        help="of HMC's velocities; inf draws them afresh at every transition",
    )
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--adam", type=int, default=800)
    parser.add_argument("--rank", type=int, default=92)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the runs, gone on with if it exists"
    )
    args = parser.parse_args()
    prior = nw.load_prior(args.prior)
    target = simulated(prior, args.operator, SIGMA_Y, seed=1)  # HMC has seed 0, SMC seed 2
    hmc = nw.HMC(0.1, args.num_leapfrog, friction=args.friction)
    plan = Chains(
        hmc,
        args.draws,
        args.chains,
        args.warmup,
        1,
        nw.Adam(args.adam, 0.1, objective="posterior"),
        adaptation_of(hmc),
        0,
        nw.Refresh((0.0, 0.3, 0.6), args.rank),
    )
    chains = draw(plan, target, args.out / "hmc")
    probes = projections(chains.draws[0])
    x = torch.as_tensor(chains.draws[0])
    pixels = x[..., varying(x)]
    print(
        f"{args.prior}, {args.operator}: HMC, {args.chains} chains x {args.draws} draws, "
        f"{chains.nfe / args.chains:.0f} calls a chain",
        end="; ",
    )
    print(
        f"R-hat, pixels {float(nw.diagnostics.r_hat(pixels).max()):.3f}, projections "
        f"{float(nw.diagnostics.r_hat(probes).max()):.3f}",
        end="; ",
    )
    print(f"ESS at least {float(nw.diagnostics.ess_bulk(probes).min()):.0f}", flush=True)
    y = target.y.repeat(args.populations, *[1] * (target.y.ndim - 1))
    same = nw.NoisePosterior(target.phi, target.operator, target.likelihood, y, microbatch=128)
    kernel = None
    if args.smc_leapfrog:
        quarter = nw.HMC(1.0, args.smc_leapfrog).quarter_turn
        kernel = nw.HMC(0.5 * quarter, args.smc_leapfrog)
    moves = args.smc_moves and (
        args.smc_moves[0] if len(args.smc_moves) == 1 else tuple(args.smc_moves)
    )
    smc = nw.tempered_smc(
        same,
        args.particles,
        kernel=kernel,
        num_moves=moves,
        seed=2,
        store=args.out / "smc",
        rank=args.smc_rank,
    )
    evidence = smc.log_evidence
    print(
        f"SMC, {args.populations} x {args.particles} particles, "
        f"{smc.nfe / args.populations / args.particles:.0f} calls a particle",
        end="; ",
    )
    print(
        f"log evidence {float(evidence.mean()):.2f} +- "
        f"{float(evidence.std()) / args.populations**0.5:.2f}",
        end=", ",
    )
    print(f"from {float(evidence.min()):.2f} to {float(evidence.max()):.2f}", flush=True)
    particles = [
        torch.as_tensor(smc.draws[k])[:, :1].transpose(0, 1) for k in range(args.populations)
    ]
    clouds = torch.stack([projections(x)[0] for x in particles])  # (population, particle, 64)
    centre = probes.mean((0, 1))
    half = args.populations // 2
    for name, power in (("mean", 1), ("variance", 2)):
        long, error = (
            ((probes - centre) ** power).mean((0, 1)),
            mcse_mean((probes - centre) ** power),
        )
        means = ((clouds - centre) ** power).mean(1)
        spread = means.std(0) / half**0.5
        first, second = means[:half].mean(0), means[half:].mean(0)
        z = {"SMC and SMC": (first - second) / (2**0.5 * spread)}
        for label, mean in (("first SMC and HMC", first), ("second SMC and HMC", second)):
            z[label] = (mean - long) / (spread**2 + error**2).sqrt()
        for label, values in z.items():
            print(
                f"  posterior {name}, {label}: root mean square of difference / error "
                f"{rms(values):.2f}, largest {float(values.abs().max()):.2f}"
            )


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.square().mean().sqrt())


if __name__ == "__main__":
    main()
