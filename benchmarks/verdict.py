"""How often is the verdict wrong? False trust and false alarm, on problems whose answer is known.

Cells are problem x start x reference x length, several runs each. In closed forms the answer is
the posterior's mean and spread: a cell is wrong where the mean of its last draws is off by more
than 0.2 posterior standard deviations (root mean square over coordinates, the Monte Carlo part
subtracted) or their spread by more than a quarter. With a prior, it is wrong where the coverage
over its truths is off by more than 0.05 and three standard errors. Thresholds are set on one half
of the cells; the other half is judged.

    python benchmarks/verdict.py run --state verdict.jsonl
    python benchmarks/verdict.py judge --state verdict.jsonl
"""

import argparse
import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from coverage import LEVELS, inside
from scipy.stats import beta
from torch import Tensor

import noisewalk as nw
from noisewalk.sampling import verdict as rule
from noisewalk.sampling.summary import diagnosed

DIM, REPEATS = 16, 4
STARTS = {
    "randomized": "auto",
    "adam20": nw.Adam(20, 0.05),
    "adam200": nw.Adam(200, 0.02),
    "prior": None,
}
LENGTHS = ((4, 2), (8, 16), (20, 64))
"""Transitions of the warm-up, and from there to the last state."""
TRUTHS = 8
FIELDS = (
    *("drift", "drift_p", "drift_bound", "memory", "memory_p", "memory_bound"),
    *("memory_largest", "memory_largest_p", "fit_p", "chi2"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "judge"))
    parser.add_argument("--state", type=Path, default=Path("docs/results/verdict.jsonl"))
    parser.add_argument("--prior", help="cells of this prior in place of closed forms")
    args = parser.parse_args()
    if args.what == "judge":
        judge([json.loads(text) for text in args.state.read_text().splitlines()])
        return
    done = set()
    if args.state.is_file():
        done = {json.loads(text)["cell"] for text in args.state.read_text().splitlines()}
    work = of_prior(args.prior) if args.prior else closed_forms()
    for name, solve in work:
        if name in done:
            continue
        rows = solve()
        with args.state.open("a") as file:
            file.writelines(json.dumps({"cell": name, **row}) + "\n" for row in rows)
        first = rows[0]
        verdicts = ", ".join(row["verdict"] for row in rows)
        print(f"{name}: wrong {first['wrong']} ({first['why']}): {verdicts}", flush=True)


# Closed forms: x = f(z) and y = A(x) + noise entry by entry, so that the posterior is a product of
# densities on a line.

Function = Callable[[Tensor], Tensor]
UNEVEN = torch.logspace(-1.0, 0.5, DIM)  # a noise map: a level for each entry
MAPS: dict[str, tuple[Function, Function, float | Tensor]] = {
    "line": (lambda z: z * torch.logspace(-1.0, 1.0, DIM).to(z), lambda x: x, 0.5),
    "cubic": (lambda z: z + 0.5 * z**3, lambda x: x, 0.5),
    "tanh": (lambda z: torch.tanh(2.0 * z), lambda x: x, 0.2),
    "fold": (lambda z: z, lambda x: (x - 0.5).abs(), 0.1),  # two modes, one of more weight
    "uneven": (lambda z: z + 0.5 * z**3, lambda x: x, UNEVEN),
    "gaps": (lambda z: torch.tanh(2.0 * z), lambda x: x, UNEVEN),
}
SEEN = {"gaps": torch.arange(DIM) % 3 > 0}
"""Which entries are observed, where not all are."""


def closed_forms() -> Iterator[tuple[str, Callable[[], list[dict[str, Any]]]]]:
    for family, start, fitted, length in itertools.product(MAPS, STARTS, (True, False), LENGTHS):
        reference = "fitted" if fitted else "standard"
        name = f"{family}-{start}-{reference}-{length[0]}+{length[1]}"
        yield name, lambda c=(family, start, fitted, length): solve_closed(*c)


def solve_closed(
    family: str, start: str, fitted: bool, length: tuple[int, int]
) -> list[dict[str, Any]]:
    """The rows of a cell: one problem, several runs of 16 chains."""
    f, operator, sigma = MAPS[family]
    seed = zlib.crc32(family.encode()) % 1000
    z = nw.noise.rows(seed, 1).normal((DIM,), nw.noise.INIT)
    phi = nw.maps.Generator(Entrywise(f), (DIM,), (DIM,))
    likelihood = nw.likelihoods.Gaussian(sigma)
    y = nw.simulate(operator, likelihood, f(z), seed)
    seen = SEEN.get(family, torch.ones(DIM, dtype=torch.bool))
    target = nw.NoisePosterior(phi, operator, likelihood, y, None if seen.all() else seen)
    level = torch.where(seen, torch.as_tensor(sigma), torch.inf).double()
    mean, std = on_the_line(f, operator, y[0].double(), level)
    rows, draws = [], []
    for k in range(REPEATS):
        run = short_run(target, start, length, k, refresh="auto" if fitted else None)
        draws.append(run.draws[0, :, -1].double())
        rows.append(row_of(run, known=family == "line" and start == "randomized"))
    found = torch.cat(draws)
    off = ((found.mean(0) - mean) / std).square().mean() - 1.0 / len(found)
    bias, spread = float(off.clamp(min=0).sqrt()), float((found.std(0) / std).mean())
    wrong = bias > 0.2 or abs(spread - 1) > 0.25
    why = f"bias {bias:.2f}, spread {spread:.2f}"
    return [{**row, "wrong": wrong, "why": why} for row in rows]


class Entrywise(torch.nn.Module):
    """f of every entry."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, z: Tensor) -> Tensor:
        return self.f(z)


def on_the_line(f: Function, operator: Function, y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of x given y, entry by entry, by quadrature."""
    z = torch.linspace(-7, 7, 20001, dtype=torch.float64)[:, None].expand(-1, len(y))
    x = f(z)
    log_p = -0.5 * ((y - operator(x)) / sigma).square() - 0.5 * z.square()
    weight = (log_p - log_p.max(0)[0]).exp()
    weight = weight / weight.sum(0)
    mean = (weight * x).sum(0)
    return mean, (weight * (x - mean).square()).sum(0).sqrt()


# Priors: truths are draws of the prior, and the answer is the coverage over them.


def of_prior(name: str) -> Iterator[tuple[str, Callable[[], list[dict[str, Any]]]]]:
    for windows, task, start, length in (
        (1, "avgpool:factor=4", "randomized", (8, 16)),
        (1, "avgpool:factor=4", "adam20", (8, 4)),
        (1, "inpaint:keep=0.2,seed=0", "randomized", (8, 16)),
        (1, "inpaint:keep=0.2,seed=0", "prior", (8, 16)),
        (1, "avgpool:factor=4", "prior", (8, 4)),
        (1, "inpaint:keep=0.2,seed=0", "adam200", (8, 4)),
        (2, "avgpool:factor=4", "adam20", (8, 4)),
        (2, "avgpool:factor=4", "randomized", (8, 16)),
    ):
        field = f"{name}-windows" if windows > 1 else name
        cell = f"{field}-{task.split(':')[0]}-{start}-{length[0]}+{length[1]}"
        yield cell, lambda c=(name, windows, task, start, length): solve_prior(*c)


def map_of(name: str, windows: int) -> nw.types.NoiseMap:
    """The prior's map, or that of a field so many times as wide, in windows of the prior's side."""
    prior = nw.load_prior(name)
    if windows == 1:
        return prior.map()
    side = prior.shape[-1]
    return prior.map(shape=(side, windows * side), window=side, margin=side // 4)


def solve_prior(
    name: str, windows: int, task: str, start: str, length: tuple[int, int]
) -> list[dict[str, Any]]:
    """The rows of a cell: one run of 16 chains for each of several truths, fewer in windows."""
    phi = map_of(name, windows)
    operator = nw.operators.parse(task, tuple(phi.shape))
    likelihood, rows, hits = nw.likelihoods.Gaussian(0.1), [], []
    truths = TRUTHS // windows
    for k in range(truths):
        z = nw.noise.rows(k, 1).at((1 << 31) + 7).normal(tuple(phi.shape), nw.noise.INIT)
        with torch.no_grad():
            truth = phi(z)
        y = nw.simulate(operator, likelihood, truth, k)
        target = nw.NoisePosterior(phi, operator, likelihood, y)
        run = short_run(target, start, length, k)
        rows.append(row_of(run, known=start == "randomized"))
        hits.append(inside(run.draws[0, :, -1], truth[0], k).double().flatten(1).mean(1))
    shares = torch.stack(hits)
    off, error = shares.mean(0) - torch.tensor(LEVELS), shares.std(0) / math.sqrt(truths)
    wrong = bool(((off.abs() > 0.05) & (off.abs() > 3 * error)).any())
    told = " ".join(f"{value:.2f}" for value in shares.mean(0))
    return [{**row, "wrong": wrong, "why": f"coverage {told}"} for row in rows]


def short_run(
    target: nw.NoisePosterior, start: str, length: tuple[int, int], seed: int, **settings: Any
) -> nw.Run:
    """Short chains from a start by name, of so many transitions."""
    return nw.sample(
        target,
        plan="short_chains",
        warm_start=STARTS[start],  # type: ignore[arg-type]
        num_warmup=length[0],
        thin=length[1],
        seed=seed,
        progress=False,
        **settings,
    )


def row_of(run: nw.Run, known: bool) -> dict[str, Any]:
    """What the verdict reads of a run, and the verdict."""
    found = diagnosed(run)[1]
    values = {key: _number(getattr(found, key)) for key in FIELDS}
    started = run.spec["plan"]["warm_start"] or {}
    return {
        **values,
        "stuck": bool(found.stuck),
        "randomised": started.get("name") == "RandomizedStarts",
        "known": known,
        "verdict": rule.verdict_of(run, found)[0],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def verdict_at(row: dict[str, Any], forgotten: float, close: float, moved: float) -> str:
    """The rule of short chains at other thresholds (`noisewalk.sampling.verdict`)."""

    def of(key: str, missing: float) -> float:
        return missing if row.get(key) is None else row[key]

    misfit = of("fit_p", 1.0) < rule.FIT_LEVEL and abs(of("chi2", 1.0) - 1) > rule.FIT_SIZE
    if row["stuck"] or misfit or of("drift_p", 1.0) < rule.LEVEL:
        return rule.DOUBT
    whole, single = of("memory_bound", 1.0) < forgotten, of("memory_largest_p", 1.0) < rule.LEVEL
    if whole and not single:
        return rule.TRUST
    if not row["randomised"]:
        remembered = single if whole else of("memory_p", 1.0) < rule.LEVEL
        return rule.DOUBT if remembered else rule.CHECK
    right = of("memory", 1.0) < moved and of("drift_bound", math.inf) < close
    return rule.TRUST if right and row["known"] else rule.CHECK


def judge(rows: list[dict[str, Any]]) -> None:
    """Thresholds from one half of the cells, and both errors on the other."""
    halves: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for row in rows:
        halves[zlib.crc32(row["cell"].encode()) % 2].append(row)
    grid = itertools.product((0.05, 0.1, 0.15, 0.2, 0.3), (0.15, 0.25, 0.35), (0.3, 0.5, 0.7))
    ranked = []
    for thresholds in grid:
        trusted, alarms, useful = errors(halves[0], thresholds)
        ranked.append((trusted[0] > 0.03 * trusted[1], -useful[0], thresholds))
    best = min(ranked)[2]
    current = rule.FORGOTTEN, rule.CLOSE, rule.MOVED
    for name, thresholds in (("in the code", current), ("best on the first half", best)):
        print(f"{name}: forgotten {thresholds[0]}, close {thresholds[1]}, moved {thresholds[2]}")
        for half, some in zip(("first half", "second half"), halves, strict=True):
            trusted, alarms, useful = errors(some, thresholds)
            print(f"  {half}: false trust {share(*trusted)}")
            print(f"  {half}: false alarm (do not trust, of right runs) {share(*alarms)}")
            print(f"  {half}: trusted, of right runs {share(*useful)}")


Count = tuple[int, int]


def errors(
    rows: list[dict[str, Any]], thresholds: tuple[float, float, float]
) -> tuple[Count, Count, Count]:
    """Trusted among wrong, condemned among right, trusted among right."""
    told = [(row["wrong"], verdict_at(row, *thresholds)) for row in rows]
    wrong, right = [v for bad, v in told if bad], [v for bad, v in told if not bad]
    return (
        (wrong.count(rule.TRUST), len(wrong)),
        (right.count(rule.DOUBT), len(right)),
        (right.count(rule.TRUST), len(right)),
    )


def share(count: int, total: int) -> str:
    """A share with its 95 % interval of Clopper and Pearson."""
    if not total:
        return "of no runs"
    low = float(beta.ppf(0.025, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, total - count)) if count < total else 1.0
    return f"{count} of {total} = {count / total:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
