"""What a step costs beyond the network: its wall time over that of a bare forward and
vector-Jacobian product on the same batch.

The rows in -gn are built on a Gauss-Newton Gaussian of rank 40; hmc-gn takes eight leapfrogs, and
its time is divided by eight. All are timed in turn, in one process, after a warm-up; the medians'
ratio is printed with a bootstrap interval. With --channels-last the bare call is timed with the
network in that memory layout, in place of the kernels; with --as-published, with the layers of a
network of diffusers as diffusers itself runs them.

    python benchmarks/overhead.py --prior fashion32 --batch-size 16
    python benchmarks/overhead.py --prior satellite64 --batch-size 8 --channels-last
    python benchmarks/overhead.py --prior satellite64 --batch-size 8 --as-published
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

import noisewalk as nw

KERNELS = {
    "em": nw.Langevin(1e-5),
    "mala": nw.Langevin(1e-3, adjust=True),
    "pcnl": nw.Langevin(1e-3, "ei", adjust=True),
}
RANK = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="fashion32")
    parser.add_argument("--label", type=float)
    parser.add_argument("--operator", default="inpaint:keep=0.2,seed=0")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=60)
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--channels-last", action="store_true")
    other.add_argument("--as-published", action="store_true")
    args = parser.parse_args()

    prior = nw.load_prior(args.prior, args.label)
    phi, operator, likelihood = (
        prior.map(),
        nw.operators.parse(args.operator, prior.shape),
        nw.likelihoods.Gaussian(0.1),
    )
    noise = nw.noise.rows(0, args.batch_size)
    z = noise.normal(phi.shape, nw.noise.INIT)
    with torch.no_grad():
        y = likelihood.sample(operator(phi(z)), noise, operator.observed)
    target = nw.NoisePosterior(phi, operator, likelihood, y)
    state, cotangent = (
        target(z),
        torch.randn(args.batch_size, *prior.shape, generator=torch.Generator().manual_seed(0)),
    )

    def bare() -> None:
        vjp(phi, z, cotangent)

    around = nw.gauss_newton(target, state, RANK)
    stiff = {
        "pcnl-gn": nw.Langevin(1e-3, "ei", True, around),
        "hmc-gn": nw.HMC(0.01, 8, preconditioner=around),
    }
    kernels = KERNELS | stiff
    steps = {
        name: (lambda kernel=kernel: kernel.step(state, target, noise.at(1)))
        for name, kernel in kernels.items()
    }
    if args.channels_last:
        turned = copy.deepcopy(phi)
        turned.denoiser.network.to(memory_format=torch.channels_last)
        steps = {"channels last": lambda: vjp(turned, z, cotangent)}
    if args.as_published:
        plain = copy.deepcopy(phi)
        for layer in plain.denoiser.network.modules():
            vars(layer).pop("forward", None)  # of `make_lean`
        steps = {"as published": lambda: vjp(plain, z, cotangent)}
    times = interleaved({"bare": bare, **steps}, args.repeats)
    times = {
        name: [value / (kernels[name].evaluations if name in kernels else 1) for value in values]
        for name, values in times.items()
    }
    base = times.pop("bare")
    middle = statistics.median(base)
    print(
        f"{args.prior}, batch {args.batch_size}, {torch.get_num_threads()} threads, "
        f"{args.repeats} rounds: forward + VJP {1e3 * middle:.1f} ms"
    )
    for name, values in times.items():
        low, high = interval(values, base)
        print(
            f"{name:7} step / bare  {statistics.median(values) / middle:.3f}  (95 % {low:.3f} "
            f"to {high:.3f})"
        )


def vjp(phi: Callable[[Tensor], Tensor], z: Tensor, cotangent: Tensor) -> Tensor:
    z = z.detach().requires_grad_()
    return torch.autograd.grad(phi(z), z, cotangent)[0]


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every job, in turn; the first three rounds are dropped."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 3):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - start)
    return {name: values[3:] for name, values in times.items()}


def interval(a: list[float], b: list[float]) -> tuple[float, float]:
    """Bootstrap 95 % interval of the ratio of medians."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    picks = torch.randint(len(x), (2000, len(x)), generator=generator)
    ratios = x[picks].median(1).values / y[picks].median(1).values
    return float(ratios.quantile(0.025)), float(ratios.quantile(0.975))


if __name__ == "__main__":
    main()
