"""How the default kernel's step falls as the field grows, and what moving by blocks could gain.

Chains start at the z that made the measurement: for truths of the prior, an exact draw of the
posterior. The step is the one at which the default kernel, around the spectral Gaussian of that
place, accepts 0.9 of its proposals, by bisection on fresh transitions.

A kernel that moves blocks, of which those of one colour share no window, needs four colours, so
four calls of the field for one of its own. Each block takes at best the step of a field of its own
size. Chains forget in proportion to the squared step, so the gain is at best the squared ratio of
both steps over four; the overlap of the windows would lower it again.

    python benchmarks/step_by_size.py --prior satellite64 --sizes 64 128 256
"""

import argparse
from dataclasses import replace

import torch

import noisewalk as nw
from noisewalk.priors.prior import Prior

ACCEPT, COLOURS = 0.9, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="satellite64")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pixels", type=int, default=1 << 15, help="of all chains of a size")
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument("--transitions", type=int, default=6, help="of each chain at one step")
    parser.add_argument("--bisections", type=int, default=4)
    args = parser.parse_args()
    prior, steps = nw.load_prior(args.prior), {}
    for size in args.sizes:
        steps[size], rate = step_of(prior, size, args)
        print(f"{size} x {size}: step {steps[size]:.3f}, acceptance {rate:.2f}", flush=True)
    first = steps[args.sizes[0]]
    for size in args.sizes[1:]:
        gain = (first / steps[size]) ** 2
        print(
            f"{size} x {size}: transitions x {gain:.2f} as many; by blocks of {args.sizes[0]} in "
            f"{COLOURS} colours the calls would be x {COLOURS / gain:.2f} at best"
        )


def step_of(prior: Prior, size: int, args: argparse.Namespace) -> tuple[float, float]:
    """The step at which the default kernel accepts `ACCEPT`, and what it accepted there."""
    phi = prior.map(shape=(size, size))
    count = max(2, args.pixels // size**2)
    rows = nw.noise.rows(0, 1, count)
    z = rows.normal(tuple(phi.shape), nw.noise.INIT)[:1]
    operator = nw.operators.parse(
        f"box:top=0,left={size // 2},height={size},width={size // 2}", tuple(phi.data_shape)
    )
    likelihood = nw.likelihoods.Gaussian(args.sigma_y)
    with torch.no_grad():
        y = nw.simulate(operator, likelihood, phi(z), 1)
    target = nw.NoisePosterior(
        phi, operator, likelihood, y, microbatch=max(1, 8 * 64**2 // size**2)
    )
    begin = target(z.expand(count, *z.shape[1:]).contiguous())
    low, high, found, rate = 0.02, 0.3, 0.02, 1.0
    kernel = nw.HMC(step_size=low, preconditioner=nw.spectral(target, begin))
    for number in range(args.bisections):
        step = (low * high) ** 0.5
        state, carry, accepted = begin, None, []
        for k in range(args.transitions):
            noise = rows.at(1 + number * args.transitions + k)
            state, info, carry = replace(kernel, step_size=step).step(state, target, noise, carry)
            accepted.append(info.acceptance_rate)
        rate, found = float(torch.stack(accepted).mean()), step
        low, high = (step, high) if rate > ACCEPT else (low, step)
    return found, rate


if __name__ == "__main__":
    main()
