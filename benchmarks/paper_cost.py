"""What the paper's tables and figures cost at full size: network calls, hours and memory.

    python benchmarks/paper_cost.py
    python benchmarks/paper_cost.py --measure --device cuda
    python benchmarks/paper_cost.py --dataset bedroom256 --seconds 0.02 0.06

The calls are those of `noisewalk bench --paper` at its defaults; no weights are needed for them.
The exact kernel's are an estimate. `--measure` times calls on this machine, on random weights in
the layout of the paper's networks, and prints the memory of a call. `--seconds` takes a call's
seconds without and with its gradient from you: `noisewalk bench` prints both before it starts.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from network import resident
from paper_dry_run import WANTED
from random_checkpoints import LAYOUTS, layout, random_state

from noisewalk.cli.bench import BenchOptions
from noisewalk.cli.bench_inputs import PAPER_PRIOR, sheets_of, sizes_of, without_exact
from noisewalk.evaluate.paper.bench import Bench
from noisewalk.evaluate.paper.estimate import WITHOUT_GRADIENT, duration
from noisewalk.evaluate.paper.figure2 import COUNTS, calls2
from noisewalk.evaluate.paper.grid import Grid
from noisewalk.evaluate.paper.runs import expected_nfe
from noisewalk.evaluate.paper.tables import TABLES
from noisewalk.evaluate.paper.tasks import tasks_for
from noisewalk.priors.cards import read_cards
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.openai import to_unet
from noisewalk.priors.openai_layers import expected_shapes
from noisewalk.priors.prior import Prior

STUDENTS = {"bedroom256": PAPER_PRIOR, "imagenet64": "cd_imagenet64_lpips.pt"}
ROWS = {"bedroom256": 4, "imagenet64": 1}  # images that `bench --paper` gives to one call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", nargs="+", choices=sorted(LAYOUTS), default=sorted(LAYOUTS))
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--measure", action="store_true", help="time calls on this machine")
    way.add_argument("--seconds", type=float, nargs=2, metavar=("PLAIN", "GRADIENT"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, help="images a call; default 4, or 1 for imagenet64")
    args = parser.parse_args()
    for dataset in args.dataset:
        seconds = tuple(args.seconds) if args.seconds else None
        if args.measure:
            seconds = measure(dataset, args.device, args.rows or ROWS[dataset])
        print(
            f"{'':24} {'images':>7} {'samples':>7} {'plain calls':>14} {'with gradient':>14}",
            end="",
        )
        print(f" {'time':>9}" if seconds else "")
        for what in WANTED[dataset]:
            images, samples, plain, graded = calls(what, dataset)
            line = f"{dataset + ' ' + what:24} {images:7} {samples:7} {plain:14,} {graded:14,}"
            if seconds:
                line += f" {duration(plain * seconds[0] + graded * seconds[1]):>9}"
            print(line, flush=True)


def calls(what: str, dataset: str) -> tuple[int, int, int, int]:
    """Images, samples of each, and network calls without and with the gradient."""
    options = BenchOptions(what, paper=True)
    images, samples, exact = sizes_of(options, None)
    bench = bench_of(dataset, samples)
    if what == "figure2":
        return images, samples, 0, calls2(bench, COUNTS)
    rows = None if exact or what not in TABLES else without_exact(what)
    plain = graded = 0
    for sheet in sheets_of(what, None, rows).values():
        for task, method, block in Grid(sheet.tasks, sheet.methods, images, exact).blocks(bench):
            found = expected_nfe(bench, method, task.name) * len(block)
            plain += found if method.family in WITHOUT_GRADIENT else 0
            graded += 0 if method.family in WITHOUT_GRADIENT else found
    return images, samples, plain, graded


def bench_of(dataset: str, samples: int) -> Bench:
    """The paper's bench, with networks that take no memory."""
    a, name = layout(dataset), STUDENTS[dataset]
    blank = {key: torch.empty(size, device="meta") for key, size in expected_shapes(a).items()}
    shape, network = (3, a.size, a.size), to_unet(blank, a)
    cards = read_cards()
    student = Prior(name, cards[name], NetworkDenoiser(network, "consistency", shape))
    edm = f"edm_{dataset}_ema.pt"
    teacher = Prior(edm, cards[edm], NetworkDenoiser(network, "edm", shape))
    return Bench(student, teacher, torch.zeros(1, *shape), tasks_for(shape), Path("none"), samples)


def measure(dataset: str, device: str, rows: int) -> tuple[float, float]:
    """Seconds of one row's call without and with the gradient; memory is printed."""
    a = layout(dataset)
    network = to_unet(random_state(a), a).to(device)
    label = None if a.num_classes is None else 0
    denoiser = NetworkDenoiser(network, "consistency", (3, a.size, a.size), label=label)
    x = torch.randn(rows, 3, a.size, a.size, device=device)
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark is what is resident now
    weights = 4 * sum(p.numel() for p in network.parameters())
    found = []
    for gradient in (False, True):
        took = []
        for _ in range(1 if device == "cpu" else 4):
            took.append(_timed(denoiser, x, gradient))
        found.append(min(took) / rows)
    peak = torch.cuda.max_memory_allocated() if device != "cpu" else 2**20 * resident("VmHWM")
    print(f"{dataset} on {device}, {torch.get_num_threads()} threads, {rows} rows a call, float32:")
    print(f"  weights {weights / 1e9:.2f} GB, at most {peak / 1e9:.1f} GB in use with the gradient")
    print(f"  {found[0]:.4f} s a row without the gradient, {found[1]:.4f} s with it")
    return found[0], found[1]


def _timed(denoiser: Any, x: torch.Tensor, gradient: bool) -> float:
    """Seconds of one call; on a CPU those of the processor, which other work does not lengthen."""
    clock = time.process_time if x.device.type == "cpu" else time.perf_counter
    began = clock()
    with torch.set_grad_enabled(gradient):
        leaf = x.clone().requires_grad_(gradient)
        out = denoiser(leaf, torch.tensor(1.0, device=x.device))
        if gradient:
            (out,) = torch.autograd.grad(out.sum(), leaf)
    float(out.detach().sum())  # waits for a device
    return clock() - began


if __name__ == "__main__":
    main()
