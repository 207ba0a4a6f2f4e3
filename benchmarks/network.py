"""What one network call costs: a one-step forward pass and vector-Jacobian product in z, in time
and in memory above the weights.

Ours (`load_prior`'s network, without and with activation checkpointing) beside a plain
transcription of the published layout (`plain_unet.py`), on the same weights and noise:

- values and gradients must agree to 1e-4 of the largest entry;
- time: all in turn in one process, medians, ratio to the transcription with a bootstrap interval;
- memory: each in its own process, twice. After the weights are loaded and one call at the smallest
  image size has loaded the code, the resident set's high-water mark is reset; the peak is the mark
  after one full call, less what was resident before it.

The transcription's gradient is taken by torch.autograd.grad, which computes none for its
parameters; a last row shows what .backward(), which does, costs. The imagenet64 weights are random
numbers: neither cost depends on their values. Linux only.

    python benchmarks/network.py --out network.json
"""

import argparse
import json
import multiprocessing
import re
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from overhead import interleaved, interval
from plain_unet import PlainMap, PlainUNet
from random_checkpoints import layout, random_state
from torch import Tensor

import noisewalk as nw
from noisewalk._packages import locate
from noisewalk.maps.consistency import Consistency
from noisewalk.priors.cards import read_cards
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.lean import make_lean
from noisewalk.priors.openai import infer, to_unet
from noisewalk.priors.openai_layers import Architecture
from noisewalk.priors.terrain import read_terrain

BATCH = {"terrain128": 4, "imagenet64": 1}
AIM = {"time": 0.8, "memory": 0.7, "values": 1e-4}
PLAIN, OURS, CHECKPOINT, BACKWARD = "plain", "ours", "ours, checkpoint", "plain, .backward()"
ROWS = (PLAIN, OURS, CHECKPOINT, BACKWARD)

Job = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=sorted(BATCH), default=list(BATCH))
    parser.add_argument(
        "--batch-size",
        type=int,
        help="images per call; left out: 4 for terrain128, 1 for imagenet64",
    )
    parser.add_argument("--repeats", type=int, default=10, help="timed rounds")
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    args = parser.parse_args()
    results = {}
    for name in args.networks:
        batch = args.batch_size or BATCH[name]
        state, architecture = weights(name)
        with tempfile.NamedTemporaryFile(suffix=".pt") as file:
            torch.save({"state": state, "architecture": vars(architecture)}, file.name)
            results[name] = {
                "batch": batch,
                **compare(state, architecture, batch, args.repeats),
                "memory": memory(file.name, batch),
            }
        show(name, results[name])
    if args.out:
        args.out.write_text(
            json.dumps(
                {
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "networks": results,
                },
                indent=2,
            )
        )


def weights(name: str) -> tuple[dict[str, Tensor], Architecture]:
    """The published terrain128 at difficulty 50, or random numbers in the shape of imagenet64."""
    if name == "terrain128":
        card = read_cards()[name]
        state = read_terrain(locate(**card["archive"]), 50.0)
        return state, infer(state, card["shape"][-1], card["head_channels"], name)
    imagenet = layout("imagenet64")
    return random_state(imagenet), imagenet


def job(
    row: str, state: dict[str, Tensor], a: Architecture
) -> tuple[Callable[[Tensor], Tensor], Job]:
    """The map z -> x of one row of the table, and its forward pass with the product J^T w."""
    label = None if a.num_classes is None else 207
    if row in (OURS, CHECKPOINT):
        shape = (a.in_channels, a.size, a.size)
        network = to_unet(state, a)
        make_lean(network)  # as load_prior does
        phi: Any = Consistency(
            NetworkDenoiser(
                network, "consistency", shape, label=label, checkpoint=row == CHECKPOINT
            )
        )
    else:
        with torch.device("meta"):
            network = PlainUNet(a)
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        network.load_state_dict(
            {key: value.reshape(shapes[key]) for key, value in state.items()}, assign=True
        )
        phi = PlainMap(network.eval().requires_grad_(True), label)

    def vjp(z: Tensor, w: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        x = phi(z)
        if row != BACKWARD:
            return torch.autograd.grad(x, z, w)[0]
        phi.zero_grad(set_to_none=True)
        x.backward(w)
        assert z.grad is not None
        return z.grad

    return phi, vjp


def inputs(a: Architecture, batch: int) -> tuple[Tensor, Tensor]:
    noise, shape = nw.noise.rows(0, batch), (a.in_channels, a.size, a.size)
    return noise.normal(shape, nw.noise.INIT), noise.normal(shape, nw.noise.PROBE)


def compare(state: dict[str, Tensor], a: Architecture, batch: int, repeats: int) -> dict[str, Any]:
    """Seconds per image of every row, and how far its values and products are from the
    transcription's, over the largest entry."""
    z, w = inputs(a, batch)
    made = {row: job(row, state, a) for row in ROWS}
    with torch.no_grad():
        x = {row: phi(z) for row, (phi, _) in made.items()}
    back = {row: vjp(z, w) for row, (_, vjp) in made.items()}
    difference = {
        row: max(distance(x[row], x[PLAIN]), distance(back[row], back[PLAIN])) for row in ROWS
    }
    same = torch.equal(x[OURS], x[CHECKPOINT]) and torch.equal(back[OURS], back[CHECKPOINT])
    times = interleaved(
        {row: (lambda vjp=vjp: vjp(z, w)) for row, (_, vjp) in made.items()}, repeats
    )
    return {
        "difference": difference,
        "checkpoint_is_bitwise_ours": same,
        "seconds": {row: statistics.median(values) / batch for row, values in times.items()},
        "ratio": {row: interval(values, times[PLAIN]) for row, values in times.items()},
    }


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def memory(path: str, batch: int) -> dict[str, list[float]]:
    """MiB per image above the weights of every row, in two fresh processes each."""
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {}
    for row in ROWS:
        for _ in range(2):
            with spawn.Pool(1) as pool:
                found.setdefault(row, []).append(
                    pool.apply(peak, (row, path, batch, torch.get_num_threads())) / batch
                )
    return found


def peak(row: str, path: str, batch: int, threads: int) -> float:
    """MiB by which one call raises the resident set; run in a process of its own."""
    torch.set_num_threads(threads)
    file = torch.load(path, weights_only=True)
    a = Architecture(**file["architecture"])
    small = replace(a, size=2 ** (len(a.channel_mult) - 1))
    _, vjp = job(row, file.pop("state"), a)
    vjp(*inputs(small, 1))
    z, w = inputs(a, batch)
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # sets the high-water mark to what is resident now
    before = resident("VmRSS")
    vjp(z, w)
    return resident("VmHWM") - before


def resident(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {key}: this benchmark needs Linux")
    return int(found[1]) / 1024


def show(name: str, result: dict[str, Any]) -> None:
    print(
        f"{name}, batch {result['batch']}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )
    print(
        f"  {'':20} {'s / image':>10} {'ratio (95 %)':>22} {'MiB / image':>14} {'ratio':>7} "
        f"{'difference':>11}"
    )
    base = min(result["memory"][PLAIN])
    ratios = {row: result["seconds"][row] / result["seconds"][PLAIN] for row in ROWS}
    for row in ROWS:
        (low, high), held = result["ratio"][row], result["memory"][row]
        spread = f"{ratios[row]:.3f} ({low:.3f} to {high:.3f})"
        print(
            f"  {row:20} {result['seconds'][row]:10.3f} {spread:>22} {max(held):14.0f} "
            f"{max(held) / base:7.2f} {result['difference'][row]:11.1e}"
        )
    met = {
        "time": ratios[OURS],
        "memory": max(result["memory"][OURS]) / base,
        "values": result["difference"][OURS],
    }
    print(
        "  ours against the aim: "
        + ", ".join(
            f"{k} {v:.2g} of at most {AIM[k]:g} {'yes' if v <= AIM[k] else 'NO'}"
            for k, v in met.items()
        )
    )
    print(
        "  checkpointing gives the same bits: "
        f"{'yes' if result['checkpoint_is_bitwise_ours'] else 'NO'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
