"""What one posterior over a large scene costs by windows: time a window, peak memory, overlap.

At each of --sizes, a draw of the prior is measured with noise --sigma-y where clouds leave it. One
chain takes --steps of Adam and --transitions of Hamiltonian Monte Carlo as it is, without a
warm-up: it costs what a chain does, and its draws are not to be trusted. Printed are the network
calls, the windows of a call and how often they cover the field, the CPU time of a window with its
gradient, and the process's peak resident memory so far (Linux, in MB; --sizes ascend, so that it is
that of the size).

    python benchmarks/scene.py
"""

import argparse
import resource
import time

import torch

import noisewalk as nw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="satellite64")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--margin", type=int, help="left out: the card's")
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--transitions", type=int, default=2)
    parser.add_argument("--leapfrogs", type=int, default=8)
    parser.add_argument("--step-size", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prior, first = nw.load_prior(args.prior), None
    for size in sorted(args.sizes):
        phi = prior.map(shape=(size, size), window=args.window, margin=args.margin)
        target = simulated(phi, args.sigma_y, args.seed)
        start = time.process_time()
        run = nw.sample(
            target,
            nw.HMC(args.step_size, args.leapfrogs),
            num_draws=args.transitions,
            num_chains=1,
            num_warmup=0,
            warm_start=nw.Adam(args.steps),
            adapt=None,
            refresh=None,
            seed=args.seed,
        )
        windows = phi.denoiser.num_windows
        each = (time.process_time() - start) / (run.nfe * windows)
        first = first or each
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size} x {size}: NFE {run.nfe}, {windows} windows of {args.window} with margins of "
            f"{phi.denoiser.margin}, overlap x {phi.denoiser.overlap:.2f}; {each:.3f} s a window "
            f"(x {each / first:.2f}); peak {peak:,.0f} MB; "
            f"chi2 {float(run.arrays['chi2'][0, 0, -1]):.2f}",
            flush=True,
        )


def simulated(phi: nw.types.NoiseMap, sigma_y: float, seed: int) -> nw.NoisePosterior:
    """The posterior of a draw of the prior under clouds."""
    likelihood = nw.likelihoods.Gaussian(sigma_y)
    clouds = nw.operators.CloudInpainting(0.25, tuple(phi.shape), 16.0, seed)
    truth = seed + 1  # with the run's seed, its chain would start at the truth
    with torch.no_grad():
        x = phi(nw.noise.rows(truth, 1).normal(phi.shape, nw.noise.INIT))
    y = nw.simulate(clouds, likelihood, x, truth)
    return nw.NoisePosterior(phi, clouds, likelihood, y, microbatch=1)


if __name__ == "__main__":
    main()
