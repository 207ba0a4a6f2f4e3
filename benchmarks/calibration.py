r"""Are the kernels exact, and which runs are long enough, on the bundled image priors? 200
simulated problems for each prior, operator and kernel.

- exactness: every adjusted kernel; the truth stands at a random place of a chain (`nw.calibrate`).
  Holm's correction is over all tests of the table. `em` is the control: Euler-Maruyama, unadjusted,
  which the test must reject to be worth anything.
- converged: SBC, TARP of x and interval coverage of runs from their own starts, for one kernel or
  for tempered SMC. With --at and --sigma-y on a problem of your choice. Beside it the largest R-hat
  over pixels and projections, mean of 4 problems with 4 chains each of the same settings: where it
  is above 1.05 the runs are too short to expect uniform ranks.
- r-hat: that R-hat alone, of every kernel after the same network calls: a kernel of fewer calls a
  transition makes more transitions between draws, and before them, in the proportion of the default
  kernel's eight.
- paper: the same for Euler-Maruyama with the paper's step, from its warm start (Table A.2; 0.4 of
  its Adam steps, as `noisewalk bench` has on fashion32).

Every run is written to --out (numbers, plot and page) when it is done; the same command goes on
after a stop and prints the table again.

    python benchmarks/calibration.py exactness --prior faces64 --out calibration
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from simulated import simulated

import noisewalk as nw
from noisewalk.evaluate.diagnostics.chains import image_diagnostics
from noisewalk.evaluate.diagnostics.ranks import holm
from noisewalk.noise import Noise
from noisewalk.report.calibration import LEVEL, write_calibration
from noisewalk.types import Info, State

SIGMA_Y = 0.1
OPERATORS = {
    "fashion32": ("avgpool:factor=4", "inpaint:keep=0.2,seed=0", "hdr:factor=2"),
    "faces64": ("avgpool:factor=8", "inpaint:keep=0.1,seed=0", "hdr:factor=2"),
}


@dataclass(frozen=True)
class Unadjusted(nw.Kernel):
    """Euler-Maruyama that claims to be exact."""

    step_size: float
    exact = True

    def step(
        self, state: State, target: Any, noise: Noise, carry: Any = None
    ) -> tuple[State, Info, Any]:
        return nw.Langevin(self.step_size).step(state, target, noise)


KERNELS: dict[str, Any] = {
    "em": Unadjusted(1e-3),
    "mala": nw.Langevin(1e-3, adjust=True),
    "pcnl": nw.Langevin(1e-3, "ei", adjust=True),
    "hmc": nw.HMC(0.02, 4),  # around N(0, I), with this step for exactness
    "slice": nw.EllipticalSlice(),
    "hmc-gn": None,  # the default kernel: around a Gauss-Newton Gaussian for every y
}
ADAPTED = ("mala", "pcnl")
"""Kernels whose step is adapted. hmc is not: it would be around the Gauss-Newton Gaussian then, as
hmc-gn is."""
PAPER_STEP, PAPER_ADAM = (
    {"avgpool:factor=4": 5e-4, "inpaint:keep=0.2,seed=0": 1e-4},
    nw.Adam(320, 1e-2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["exactness", "converged", "r-hat", "paper"])
    parser.add_argument("--prior", choices=list(OPERATORS), default="fashion32")
    parser.add_argument(
        "--operator",
        type=int,
        nargs="+",
        choices=range(3),
        default=[0, 1, 2],
        help="0 average pooling, 1 inpainting, 2 HDR",
    )
    parser.add_argument(
        "--kernels",
        nargs="+",
        help=f"{', '.join(KERNELS)}, em for exactness alone; smc for converged",
    )
    parser.add_argument("--at", metavar="OPERATOR", help="instead of --operator, any operator")
    parser.add_argument("--sigma-y", type=float, default=SIGMA_Y)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--draws", type=int, default=19)
    parser.add_argument(
        "--thin", type=int, default=1, help="transitions between draws, for converged"
    )
    parser.add_argument(
        "--warmup", type=int, default=200, help="transitions before the draws, for converged"
    )
    parser.add_argument("--carried", type=int, help="particles of smc")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.kernels = args.kernels or [
        name for name in KERNELS if name != "em" or args.part == "exactness"
    ]
    network, rows = nw.load_prior(args.prior), []
    for text in [args.at] if args.at else [OPERATORS[args.prior][k] for k in args.operator]:
        for name in ["em"] if args.part == "paper" else args.kernels:
            if args.part == "paper" and text not in PAPER_STEP:
                continue
            kernel = "smc" if name == "smc" else kernel_of(network, text, name, args)
            if args.part == "r-hat":
                print(
                    f"{args.prior}, {text}, {name}: "
                    f"{convergence(network, text, name, kernel, args)}",
                    flush=True,
                )
                continue
            problem = f"{args.prior}-{text.replace(':', '-').replace('=', '-')}-{args.sigma_y}"
            folder = args.out / f"{problem}-{args.part}-{name}"
            settings = {
                k: getattr(args, k)
                for k in ("problems", "draws", "thin", "warmup", "carried", "seed")
            }
            kept = folder / "settings.json"
            if kept.exists() and (before := json.loads(kept.read_text())) != settings:
                raise SystemExit(
                    f"{folder} was made with {before}, now {settings}: give another --out"
                )
            if not (folder / "calibration.json").exists():
                run(network, text, name, kernel, folder, args)
                kept.write_text(json.dumps(settings))
            rows.append(
                (args.prior, text, name, json.loads((folder / "calibration.json").read_text()))
            )
            if args.part == "converged" and name != "smc":
                print(
                    f"{folder.name}: {convergence(network, text, name, kernel, args)}", flush=True
                )
    table(rows)


def run(
    network: Any, text: str, name: str, kernel: Any, folder: Path, args: argparse.Namespace
) -> None:
    """One calibration, written to its folder."""
    began = time.perf_counter()
    phi, operator, noise = (
        network.map(),
        nw.operators.parse(text, network.shape),
        nw.likelihoods.Gaussian(args.sigma_y),
    )
    common: dict[str, Any] = {
        "num_problems": args.problems,
        "seed": args.seed,
        "num_draws": args.draws,
        "microbatch": 50,
    }
    if args.part == "paper":
        common |= {"test": "converged", "warm_start": PAPER_ADAM}
        kernel = nw.Langevin(PAPER_STEP[text])
    else:
        common["adapted"] = name in ADAPTED
        if args.part == "converged":
            common |= {"test": "converged", "thin": args.thin, "num_carried": args.carried}
            common |= {} if name == "smc" else {"num_warmup": args.warmup}
    found = nw.calibrate(phi, operator, noise, kernel, **common)
    write_calibration(found, f"{args.prior}, {text}, {noise}", folder)
    print(f"{folder.name}: {time.perf_counter() - began:.0f} s, {found}", flush=True)


def fitted(network: Any, text: str, args: argparse.Namespace) -> float:
    """The step of HMC around N(0, I) that four other problems of the kind adapt to: `nw.calibrate`
    adapts one around a Gauss-Newton Gaussian alone."""
    target = simulated(network, text, args.sigma_y, args.seed + 8, 4)
    how = {"adapt": nw.DualAveraging(), "refresh": None, "seed": args.seed + 2}
    run = nw.sample(target, KERNELS["hmc"], 1, 4, args.warmup, **how)
    return float(torch.as_tensor(run.arrays["step_size"][...]).mean())


def kernel_of(network: Any, text: str, name: str, args: argparse.Namespace) -> Any:
    """The kernel; that of "hmc" has a given step for exactness, a fitted one for converged runs."""
    kernel = KERNELS[name]
    return (
        replace(kernel, step_size=fitted(network, text, args))
        if name == "hmc" and args.part == "converged"
        else kernel
    )


def convergence(network: Any, text: str, name: str, kernel: Any, args: argparse.Namespace) -> str:
    """The largest R-hat of 4 chains, mean and largest of 4 problems; kept in --out."""
    problem = f"{args.prior}-{text.replace(':', '-').replace('=', '-')}-{args.sigma_y}"
    length = f"{args.draws}-{args.warmup}-{args.thin}"
    kept = args.out / f"r-hat-{problem}-{name}-{length}.json"
    if not kept.exists():
        target = simulated(network, text, args.sigma_y, args.seed + 7, 4)
        how: dict[str, Any] = {"seed": args.seed + 1}
        if kernel is not None:
            given = kernel.step_size is None or (name == "hmc" and args.part == "converged")
            how |= {"adapt": None if given else nw.DualAveraging(), "refresh": None}
        times = 1 if kernel is None or args.part != "r-hat" else max(1, 8 // kernel.evaluations)
        length = args.draws, 4, times * args.warmup, times * args.thin
        run = nw.sample(target, kernel, *length, **how)
        found = {
            "r_hat": [image_diagnostics(run.draws[k])["r_hat_max"] for k in range(4)],
            "nfe": run.nfe // 16,
        }
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found))
    found = json.loads(kept.read_text())
    values = torch.tensor(found["r_hat"])
    return (
        f"R-hat {float(values.mean()):.3f} (largest of 4 problems {float(values.max()):.3f}) after "
        f"{found['nfe']} calls a chain"
    )


def table(rows: list[tuple[str, str, str, dict[str, Any]]]) -> None:
    """The smallest p-value of each run, with Holm's correction within the run, and with a second
    one over all runs of the table."""
    smallest = torch.tensor(
        [min(numbers["p_values"].values()) for *_, numbers in rows], dtype=torch.float64
    )
    for (prior, text, name, numbers), p in zip(rows, holm(smallest).tolist(), strict=True):
        inside = numbers.get("coverage")
        levels = (
            ""
            if inside is None
            else (
                f", coverage of the widest interval {widest(inside):.3f} (nominal "
                f"{max(inside['nominal']):.3f})"
            )
        )
        print(
            f"{prior}, {text}, {name}: {numbers['num_problems']} problems, acceptance "
            f"{numbers['acceptance_rate']:.2f}, "
            f"{numbers['nfe'] / numbers['num_problems']:.0f} calls a problem, p "
            f"{min(numbers['p_values'].values()):.3g}, over the table {p:.3g}"
            f"{' REJECTED' if p < LEVEL else ''}{levels}"
        )


def widest(inside: dict[str, Any]) -> float:
    """Mean over the quantities of the widest interval's coverage."""
    return float(
        torch.tensor(inside["empirical"][inside["nominal"].index(max(inside["nominal"]))]).mean()
    )


if __name__ == "__main__":
    main()
