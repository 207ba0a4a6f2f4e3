r"""Which kernel moves? Three tasks on a prior, the same network calls for every kernel, side by
side.

The truth is a draw of the prior itself, sigma_y = 0.1. The chains of all kernels start at the same
points: z ~ N(0, I), then --adam steps of Adam, then --settle calls a chain of the default kernel
with --settle-leapfrog steps, so that what is measured is no drift from the starts. Each kernel then
has --warmup calls a chain to burn in, which pay for step adaptation and preconditioner too, and
--calls calls a chain for its draws; a transition that has begun is finished.

- jump/call: mean squared distance of consecutive draws over twice the variance, median over 64
  projections, per network call. The variance is one for all kernels, that of the chains of all
  exact kernels whose R-hat over the projections is below 1.1, pooled; if there are none, of the
  exact kernel with the smallest R-hat, and the table says so. No stuck chain can inflate it, while
  the ESS of one never falls below about one a chain: an ESS next to an R-hat above 1.1 is printed
  in brackets and compares nothing.
- z jump/call: mean squared distance of consecutive z over 2 d, per network call: 1 would be a fresh
  draw of N(0, I) at every call.
- chi2: of the residual per observed entry, near 1 for the posterior. An unadjusted kernel that is
  far from it jumps in another distribution.
- R-hat: the largest and the median over the pixels that vary and 64 projections. ESS: bulk, the
  smallest and the median of the same set.

EM at the paper's step: Table A.2 for 4x and 20 % (fashion32), Table A.1 for 8x and 10 % (the other
priors). Every row is written to --out when it is done; the same command goes on after a stop.

    python benchmarks/mixing.py --prior faces64 --out mixing.json
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from dflow_sgld import DFlowSGLD
from simulated import simulated

import noisewalk as nw
from noisewalk._progress import show
from noisewalk.evaluate.diagnostics.chains import projections
from noisewalk.gaussians.low_rank import largest_stable_step
from noisewalk.gaussians.refresh import Schedule
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.defaults import FRICTION, adaptation_of, default_kernel
from noisewalk.sampling.starts import AdamState
from noisewalk.storage.memory import MemoryStore
from noisewalk.types import Info, State

SIGMA_Y = 0.1
CONVERGED = 1.1
LABELS = {"terrain128": 50.0}
SMALL = {
    "inpaint:keep=0.2,seed=0": 1e-4,
    "avgpool:factor=4": 5e-4,
    "blur:kernel_size=25,std=3": 3e-5,
}
LARGE = {
    "inpaint:keep=0.1,seed=0": 1e-5,
    "avgpool:factor=8": 1e-5,
    "blur:kernel_size=25,std=3": 1e-6,
}
TASKS = {"fashion32": SMALL, "satellite64": LARGE, "faces64": LARGE, "terrain128": LARGE}
"""Operators, and the paper's step for each."""
KERNELS = (
    "em-paper",
    "em-largest",
    "mala",
    "pcnl",
    "hmc",
    "slice",
    "pcnl-gn",
    "hmc-gn",
    "default",
    "spectral",
    "dflow-sgld",
)
EXACT = ("mala", "pcnl", "hmc", "slice", "pcnl-gn", "hmc-gn", "default", "spectral")
"""-gn: around the Gauss-Newton Gaussian; `default` is hmc-gn with velocities kept from draw to
draw, `spectral` the same around the spectral Gaussian."""


class Setting(NamedTuple):
    """A kernel and what its warm-up does."""

    kernel: Any
    adapt: nw.DualAveraging | None = None
    refresh: Schedule | None = None


@dataclass(frozen=True)
class Made:
    """A warm start that has been made already, in the place of Adam: all kernels share it."""

    state: State
    num_steps: int = 1

    def start(self, state: State) -> AdamState:
        return AdamState(state, torch.zeros_like(state.z), torch.zeros_like(state.z))

    def step(self, adam: AdamState, target: Any, k: int) -> AdamState:
        return adam._replace(state=self.state)


class AfterBurnIn(MemoryStore):
    """Draws in memory, dropped while `burning`: a burn-in counted in network calls, where
    transitions vary in cost."""

    burning = False

    def append(
        self, state: State, info: Info, sampler: dict[str, Any], extras: dict[str, torch.Tensor]
    ) -> None:
        if not self.burning:
            super().append(state, info, sampler, extras)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", choices=list(TASKS), default="fashion32")
    parser.add_argument(
        "--task",
        type=int,
        nargs="+",
        choices=range(3),
        default=[0, 1, 2],
        help="0 inpainting, 1 average pooling, 2 blur",
    )
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument(
        "--calls", type=int, default=400, help="network calls a chain for the draws"
    )
    parser.add_argument("--warmup", type=int, default=800, help="network calls a chain before them")
    parser.add_argument("--adam", type=int, default=100, help="steps of the common warm start")
    parser.add_argument(
        "--lr",
        type=float,
        default=0.01,
        help="its learning rate; faces64 needs 600 steps of 0.1 to come down",
    )
    parser.add_argument(
        "--objective",
        choices=["likelihood", "posterior"],
        default="likelihood",
        help="what it lowers",
    )
    parser.add_argument(
        "--rank", type=int, default=40, help="of the preconditioner; 40 is the default kernel's"
    )
    parser.add_argument(
        "--refresh",
        type=float,
        nargs="+",
        default=[0.0, 0.3],
        help="shares of a warm-up at which it is computed; each has its cost",
    )
    parser.add_argument(
        "--settle",
        type=int,
        default=0,
        help=(
            "network calls a chain of the default kernel after the warm start, common to all "
            "kernels"
        ),
    )
    parser.add_argument("--settle-leapfrog", type=int, default=8, help="its steps a transition")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file, gone on with if it exists")
    args = parser.parse_args()
    done: dict[str, Any] = (
        json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    )
    prior = nw.load_prior(args.prior, LABELS.get(args.prior))
    for operator in [list(TASKS[args.prior])[k] for k in args.task]:
        keys = {
            k: f"{args.prior}, {operator}, {k}, "
            + ", ".join(f"{n} {getattr(args, n)}" for n in KEPT)
            for k in args.kernels
        }
        target = simulated(prior, operator, SIGMA_Y, args.seed + 1)
        start = None
        for name, key in keys.items():
            if key in done:
                continue
            start = start or warm_start(target, args)
            done[key] = measure(target, start, name, TASKS[args.prior][operator], args)
            if args.out:
                args.out.write_text(json.dumps(done, indent=1))
            print(
                f"{args.prior}, {operator}, {name}: done in {done[key]['total_seconds']:.1f} s",
                flush=True,
            )
        table(f"{args.prior}, {operator}", {name: done[key] for name, key in keys.items()}, args)


KEPT = (
    "calls",
    "warmup",
    "adam",
    "lr",
    "objective",
    "rank",
    "refresh",
    "settle",
    "settle_leapfrog",
    "chains",
    "seed",
)
"""Settings that a row belongs to."""


def warm_start(target: nw.NoisePosterior, args: argparse.Namespace) -> Made:
    """Dispersed starts, common to all kernels."""
    adam = nw.Adam(args.adam, args.lr, objective=args.objective)
    here = adam.start(
        target(nw.noise.rows(args.seed, 1, args.chains).normal(target.shape, nw.noise.INIT))
    )
    for k in range(1, args.adam + 1):
        here = adam.step(here, target, k)
    if not args.settle:
        return Made(here.state)
    kernel, memory = (
        nw.HMC(0.1, args.settle_leapfrog, friction=FRICTION),
        MemoryStore(1, args.chains),
    )
    transitions = args.settle // kernel.evaluations
    adapt, refresh = adaptation_of(kernel), nw.Refresh(tuple(args.refresh), args.rank)
    plan = Chains(
        kernel, 1, args.chains, transitions, 1, Made(here.state), adapt, args.seed, refresh
    )  # type: ignore[arg-type]
    for _ in show(plan.run(target, memory), True):
        pass
    z = torch.as_tensor(memory.arrays["z"][0]).flatten(0, 1)
    return Made(target(z))


def setting(
    name: str, target: nw.NoisePosterior, start: Made, paper_step: float, args: argparse.Namespace
) -> Setting:
    """The kernel by its name."""
    refresh = nw.Refresh(tuple(args.refresh), args.rank)
    if name == "em-largest":
        return Setting(
            nw.Langevin(largest_stable_step(nw.gauss_newton(target, start.state, rank=1)))
        )
    if name == "spectral":
        return Setting(
            default_kernel(target),
            adaptation_of(default_kernel(target)),
            nw.SpectralRefresh(tuple(args.refresh)),
        )
    if name in ("hmc-gn", "default"):
        kernel = nw.HMC(0.1, 8) if name == "hmc-gn" else default_kernel(target)
        return Setting(kernel, adaptation_of(kernel), refresh)
    return {
        "em-paper": Setting(nw.Langevin(paper_step)),
        "mala": Setting(nw.Langevin(1e-3, adjust=True), nw.DualAveraging()),
        "pcnl": Setting(nw.Langevin(1e-3, "ei", adjust=True), nw.DualAveraging()),
        "hmc": Setting(nw.HMC(0.02), nw.DualAveraging(0.8)),
        "slice": Setting(nw.EllipticalSlice()),
        "pcnl-gn": Setting(nw.Langevin(0.1, "ei", adjust=True), nw.DualAveraging(), refresh),
        "dflow-sgld": Setting(DFlowSGLD(SIGMA_Y)),
    }[name]


def measure(
    target: nw.NoisePosterior, start: Made, name: str, paper_step: float, args: argparse.Namespace
) -> dict[str, Any]:
    """One kernel on one task."""
    began, calls = time.perf_counter(), target.nfe
    kernel, adapt, refresh = setting(name, target, start, paper_step, args)
    spent = (target.nfe - calls) / args.chains  # by the choice of the step
    if refresh is not None:
        spent += len(refresh.at) * refresh.calls_each(math.prod(target.shape))
    num_warmup = int((args.warmup - spent) // kernel.evaluations) if adapt is not None else 0
    if adapt is not None and num_warmup < 5:
        raise SystemExit(
            f"{name} spends {spent:.0f} calls a chain on its curvature: --warmup {args.warmup} "
            f"leaves {num_warmup} transitions; give it more"
        )
    if args.calls < kernel.evaluations:
        raise SystemExit(f"{name} needs {kernel.evaluations} calls a draw, --calls is {args.calls}")
    memory, per_draw = (
        AfterBurnIn(1, args.chains),
        kernel.evaluations if kernel.needs_gradient else 1,
    )  # slice sampling: at least 1
    most = args.calls // per_draw + (0 if adapt is not None else args.warmup)
    plan = Chains(kernel, most, args.chains, num_warmup, 1, start, adapt, args.seed, refresh)  # type: ignore[arg-type]
    setup_calls, setup_seconds, memory.burning = 0, 0.0, adapt is None
    try:
        for tick in show(plan.run(target, memory), True):
            spent, now = target.nfe - calls, time.perf_counter() - began
            if tick.phase != "draws" or memory.burning:
                setup_calls, setup_seconds = spent, now
                memory.burning = adapt is None and spent < args.warmup * args.chains
            elif spent - setup_calls >= args.calls * args.chains:
                break
    except nw.errors.DivergedError as error:
        return {"failed": str(error), "total_seconds": time.perf_counter() - began}
    total, seconds = target.nfe - calls, time.perf_counter() - began
    return {
        **statistics(memory, target),
        "setup_calls": setup_calls / args.chains,
        "calls": (total - setup_calls) / args.chains,
    } | {
        "seconds": seconds - setup_seconds,
        "total_seconds": seconds,
        "num_threads": torch.get_num_threads(),
    }


def statistics(memory: MemoryStore, target: nw.NoisePosterior) -> dict[str, Any]:
    """Diagnostics of the draws, and what the common variance needs."""
    run = nw.Run(memory.arrays, y=target.y, num_observed=target.num_observed)
    summary = run.summary()
    probes, z = projections(run.draws[0]), torch.as_tensor(run.arrays["z"][0])
    kept = (
        "num_draws",
        "acceptance_rate",
        "divergences",
        "step_size",
        "r_hat_max",
        "r_hat_median",
        "ess_bulk_min",
        "ess_bulk_median",
        "chi2",
    )
    flat = probes.flatten(0, 1)
    return {k: summary[k] for k in kept} | {
        "square": probes.diff(dim=1)
        .square()
        .mean((0, 1))
        .tolist(),  # mean squared distance of consecutive draws, of every projection
        "z_jump": float(z.diff(dim=1).square().mean() / 2.0),
        "mean": flat.mean(0).tolist(),
        "variance": flat.var(0, correction=0).tolist(),
        "r_hat_projections": float(nw.diagnostics.r_hat(probes).max()),
    }


def common_variance(rows: dict[str, Any]) -> tuple[torch.Tensor, str]:
    """Variance of the projections over the chains of the best reference, and what that is."""
    exact = {k: r for k, r in rows.items() if k in EXACT and "failed" not in r}
    chosen = [k for k, r in exact.items() if r["r_hat_projections"] < CONVERGED]
    text = f"the converged kernels ({', '.join(chosen)})"
    if not chosen:
        chosen = sorted(
            exact,
            key=lambda k: (
                math.isnan(exact[k]["r_hat_projections"]),
                exact[k]["r_hat_projections"],
            ),
        )[:1]
        text = (
            (
                f"{chosen[0]}, R-hat {exact[chosen[0]]['r_hat_projections']:.2f}: NO KERNEL HAS "
                "CONVERGED"
            )
            if chosen
            else "no exact kernel"
        )
    if not chosen:
        return torch.full((64,), torch.nan), text
    weight = torch.tensor([float(exact[k]["num_draws"]) for k in chosen])
    mean, variance = (
        torch.tensor([exact[k][part] for k in chosen], dtype=torch.float64)
        for part in ("mean", "variance")
    )
    share = (weight / weight.sum()).to(torch.float64)[:, None]
    centre = (share * mean).sum(0)
    return (share * (variance + (mean - centre) ** 2)).sum(0), text


def table(title: str, rows: dict[str, Any], args: argparse.Namespace) -> None:
    """Side by side."""
    variance, reference = common_variance(rows)

    def jump(row: dict[str, Any]) -> float:
        ratio = torch.tensor(row["square"], dtype=torch.float64) / (2.0 * variance)
        return float(ratio.quantile(0.5)) * row["num_draws"] / row["calls"]

    def z_jump(row: dict[str, Any]) -> float:
        return float(row["z_jump"] * row["num_draws"] / row["calls"])

    base, z_base = (
        f(rows["em-paper"]) if "square" in rows.get("em-paper", {}) else math.nan
        for f in (jump, z_jump)
    )
    before = f"{args.warmup}, {args.adam} Adam steps" + (
        f" and {args.settle} calls of the default kernel" if args.settle else ""
    )
    print(
        f"\n{title}: {args.chains} chains, {args.calls} calls a chain after a warm-up of "
        f"{before}; variance from {reference}"
    )
    head = (
        "step",
        "accept",
        "draws",
        "setup",
        "jump/call",
        "/ paper",
        "z jump/call",
        "/ paper",
        "R-hat max",
        "median",
        "chi2",
    )
    print(
        " " * 11
        + "".join(
            f"{text:>13}"
            for text in (*head, "ESS min/call", "ESS med/call", "ESS min/s", "calls/s")
        )
    )
    for name, row in rows.items():
        if "failed" in row:
            print(f"{name:11} {row['failed']}")
            continue
        calls, shown = (
            row["calls"] * args.chains,
            "{:.2e}" if row["r_hat_max"] < CONVERGED else "({:.2e})",
        )
        least, middle, second = (
            shown.format(v)
            for v in (
                row["ess_bulk_min"] / calls,
                row["ess_bulk_median"] / calls,
                row["ess_bulk_min"] / row["seconds"],
            )
        )
        moved = (
            f"{jump(row):.2e}",
            f"{jump(row) / base:.3g}",
            f"{z_jump(row):.2e}",
            f"{z_jump(row) / z_base:.3g}",
        )
        rates = (
            f"{row['step_size']:.2e}",
            f"{row['acceptance_rate']:.3f}",
            f"{row['num_draws']}",
            f"{row['setup_calls']:.0f}",
        )
        mixed = (
            f"{row['r_hat_max']:.3f}",
            f"{row['r_hat_median']:.3f}",
            f"{row['chi2']:.3f}",
            least,
            middle,
            second,
            f"{calls / row['seconds']:.1f}",
        )
        print(
            f"{name:11}" + "".join(f"{text:>13}" for text in (*rates, *moved, *mixed)), flush=True
        )


if __name__ == "__main__":
    main()
