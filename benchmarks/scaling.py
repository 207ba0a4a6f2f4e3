r"""Draws a second of `nw.sample_many` with 1 and 2 workers, and an estimate for 8, 64 and 512.

A job of n equal tasks, one file each, is measured with 1 and with 2 processes. Four costs are
measured apart from it: s, the start of a worker, with what its first task takes longer; t, what the
driver spends on handing out one task and taking its result; c_1, the time of a task with one
worker; and c_w, that with w workers at once, of which each takes a core of this machine.

The estimate is a discrete-event simulation. Worker k is ready at s_k. The driver does one thing at
a time and is free at D. It hands a task to the first worker that waits, which is free at W_k:

    D   <- max(D, W_k) + t        the driver hands the task over
    W_k <- D + c                  the worker computes it

with W_k = s_k at first. The job ends at max_k W_k, and the draws a second are n d / max_k W_k for
d draws a task. With t = 0, equal s and w workers this is s + ceil(n / w) c. With t > c / w the
driver is the bottleneck, and the job ends at s + n t + c.

Workers beyond the cores of this machine are taken to have a core each and to cost as much as one
alone. Their estimate says what the driver and the start allow, not how fast a file system is.

    python benchmarks/scaling.py --tasks 8 --chains 2
"""

import argparse
import heapq
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import noisewalk as nw
from noisewalk.engines.work import perform
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw

MEASURED, ESTIMATED = (1, 2), (8, 64, 512)
MOST_WRONG = 0.15
TASKS_A_WORKER = 8  # of the estimates beyond this machine


class Costs(NamedTuple):
    """Seconds: of a worker's start, of a transfer, and of a task."""

    start: float
    transfer: float
    task: float


def simulate(starts: Sequence[float], transfer: float, tasks: Sequence[float]) -> float:
    """When the last task ends, by the formula above."""
    driver, waiting = 0.0, list(starts)
    heapq.heapify(waiting)
    for task in tasks:
        driver = max(driver, heapq.heappop(waiting)) + transfer
        heapq.heappush(waiting, driver + task)
    return max(waiting)


def estimate(costs: Costs, workers: int, tasks: int) -> float:
    """When a job of equal tasks ends; workers without a task do not start."""
    used = min(workers, tasks)
    return simulate([costs.start] * used, costs.transfer, [costs.task] * tasks)


def sampled(shared: Any, number: int) -> float:
    """A task: the seconds that one run takes in its worker."""
    plans, targets, folder = shared
    began = time.perf_counter()
    draw(plans[number], targets[number], Path(folder) / str(number), progress=False)
    return time.perf_counter() - began


def nothing(shared: Any, number: int) -> float:
    """A task that only reads what all share, and says when."""
    return time.time()


def job(tasks: int, chains: int, steps: int) -> tuple[list[Any], list[Any]]:
    """Small problems of fashion32, and their plans."""
    prior = nw.load_prior("fashion32")
    phi, operator = prior.map(), nw.operators.AveragePool(4)
    likelihood, targets = nw.likelihoods.Gaussian(0.1), []
    for seed in range(tasks):
        z = torch.randn(1, *prior.shape, generator=torch.Generator().manual_seed(seed))
        y = nw.simulate(operator, likelihood, phi(z))
        targets.append(nw.NoisePosterior(phi, operator, likelihood, y))
    counts = {"num_chains": chains, "num_warmup": steps, "thin": steps}
    start = nw.RandomizedStarts(num_steps=steps)
    return [resolve(target, warm_start=start, **counts) for target in targets], targets


def timed(workers: int, function: Any, shared: Any, count: int) -> tuple[float, list[Any]]:
    """Seconds of a job from its first word to its last result, and the results."""
    engine, began = nw.engines.Processes(workers), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        whole = (*shared, folder)
        values = []
        for outcome in perform(engine, function, whole, range(count), folder):
            if outcome.error is not None:
                raise SystemExit(f"task {outcome.item}: {outcome.error}")
            values.append(outcome.value)
            ended = time.perf_counter()
    return ended - began, values


def overheads(workers: int, shared: Any, many: int) -> tuple[float, float]:
    """Seconds of the start of so many workers at once, and of a transfer: from empty tasks, of
    which the first waits for the start."""
    began = time.time()
    _, at = timed(workers, nothing, shared, many)
    last = sorted(at)
    transfer = (last[-1] - last[workers - 1]) / max(1, many - workers)
    return max(0.0, last[workers - 1] - began), transfer


def task_costs(workers: int, shared: Any) -> tuple[float, float]:
    """Seconds of a task with so many at once in workers that have done one, and by how much the
    first one of a worker is longer."""
    _, spent = timed(workers, sampled, shared, 2 * workers)
    first, later = (sum(part) / workers for part in (spent[:workers], spent[workers:]))
    return later, max(0.0, first - later)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=8, help="at least 4")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="of starts, warm-up and a draw")
    given = parser.parse_args()
    if given.tasks < 2 * MEASURED[-1]:
        parser.error(f"--tasks must be at least {2 * MEASURED[-1]}, got {given.tasks}")
    plans, _ = shared = job(given.tasks, given.chains, given.steps)
    draws = given.chains * plans[0].num_draws
    found: dict[int, Costs] = {}
    for workers in MEASURED:
        start, transfer = overheads(workers, shared, 100 * workers)
        task, more = task_costs(workers, shared)
        found[workers] = costs = Costs(start + more, transfer, task)
        seconds, _ = timed(workers, sampled, shared, given.tasks)
        told = estimate(costs, workers, given.tasks)
        ratio = told / seconds
        print(
            f"{workers} workers: {given.tasks * draws / seconds:.3f} draws/s measured, "
            f"{given.tasks * draws / told:.3f} foretold; {told:.1f} s over {seconds:.1f} s is "
            f"{ratio:.3f}{'' if abs(ratio - 1) <= MOST_WRONG else ', more than 15 % wrong'}",
            flush=True,
        )
    one = found[1]
    transfer = f"a transfer {1e3 * one.transfer:.2f} ms"
    print(f"a start {one.start:.2f} s, {transfer}, a task {one.task:.2f} s")
    for workers in ESTIMATED:
        tasks = TASKS_A_WORKER * workers
        seconds = estimate(one, workers, tasks)
        whole = workers * draws / one.task
        print(
            f"{workers} workers, {tasks} tasks: {tasks * draws / seconds:.2f} draws/s estimated, "
            f"{100 * tasks * draws / seconds / whole:.0f} % of {workers} x one without a start"
        )


if __name__ == "__main__":
    main()
