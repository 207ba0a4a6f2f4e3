r"""Which distillation recipe makes the best student for the same small budget? Each is run by
`noisewalk train distill` and scored on validation images.

The budget is counted in forward passes of the network: a forward pass without gradient 1, with
gradients 3, a forward derivative 2 more. So an image costs `trajectory` 3, and each trajectory 17;
`ct` 4; `cd` 6; `scd` 6. LPIPS's own network is not counted: the seconds say what it takes. Scored
is KID in the features of EfficientNet-Lite0 (times 1,000) of one-step and two-step samples
(midpoint 1) against --val, the teacher's first. A finished student in --out is not trained again.

    python benchmarks/recipes.py --teacher fashion32-edm --train train.npz --val val.npz --out
    recipes python benchmarks/recipes.py --teacher satellite64-edm --train satellite/train.npz --val
    satellite/select.npz --out recipes --passes 2400000 \
        --num-trajectories 60000 --batch-size 256 --lr-decay 0.2 --seed 7 --augment dihedral --dtype
        bfloat16 --device cuda --num-samples 600 \ --recipes trajectory+lpips-alex cd+lpips-alex
        ct+lpips-alex scd
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.priors.train.data import load_images, to_unit

CALLS = {"trajectory": 3, "ct": 4, "cd": 6, "scd": 6}
PER_TRAJECTORY = 17
ENTRY = "import sys; from noisewalk.cli.main import main; sys.argv[0] = 'noisewalk'; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument(
        "--recipes",
        nargs="+",
        default=[
            "trajectory+huber",
            "trajectory+lpips-alex",
            "cd+lpips-alex",
            "ct+huber",
            "ct+lpips-alex",
            "scd",
        ],
    )
    parser.add_argument(
        "--passes",
        type=int,
        default=300_000,
        help="forward passes, of trajectories and training together",
    )
    parser.add_argument("--num-trajectories", type=int, default=6_000)
    parser.add_argument("--augment", default="none")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--device",
        default="cpu",
        help="of the trainings; samples and features are computed on the CPU",
    )
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr-decay", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-samples", type=int, default=2_000)
    parser.add_argument("--out", type=Path, required=True, help="folder of the students")
    args = parser.parse_args()
    teacher = nw.load_prior(args.teacher)
    held_out = nw.metrics.features(
        to_unit(load_images(args.val, teacher.shape[-1], teacher.shape[0]))
    )
    row(
        f"teacher {args.teacher}, 18 Heun steps",
        teacher.ode_map(18, gradient="direct"),
        held_out,
        args.num_samples,
    )
    for name in args.recipes:
        folder, seconds = args.out / name, args.out / name / "seconds.txt"
        if not (folder / "card.json").exists():
            began = time.perf_counter()
            train(name, folder, args)
            seconds.write_text(f"{time.perf_counter() - began:.0f}")
        prior = nw.load_prior(folder)
        print(
            f"{name}: {prior.card['images_seen']:,} images"
            + (f", trained in {seconds.read_text()} s" if seconds.exists() else ""),
            flush=True,
        )
        row("  one step", prior.map(), held_out, args.num_samples)
        row("  two steps", prior.map(2, midpoint=1.0), held_out, args.num_samples)


def train(name: str, folder: Path, args: argparse.Namespace) -> None:
    """One run of the command."""
    recipe, _, distance = name.partition("+")
    spent = PER_TRAJECTORY * args.num_trajectories if recipe == "trajectory" else 0
    options = {
        "data": args.train,
        "teacher": args.teacher,
        "out": folder,
        "recipe": recipe,
        "distance": distance or "huber",
        "num-images": (args.passes - spent) // CALLS[recipe],
        "num-trajectories": args.num_trajectories,
        "augment": args.augment,
        "dtype": args.dtype,
        "device": args.device,
        "batch-size": args.batch_size,
        "lr-decay": args.lr_decay,
        "seed": args.seed,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(
        [sys.executable, "-c", ENTRY, "train", "distill", *words],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def row(name: str, phi: nw.types.NoiseMap, held_out: Tensor, count: int) -> None:
    """KID of samples of the map against the features of held-out images."""
    with torch.no_grad():
        x = torch.cat(
            [phi(z) for z in nw.noise.rows(1, count).normal(phi.shape, nw.noise.INIT).split(250)]
        )
    value, error = nw.metrics.kid(nw.metrics.features(x), held_out)
    print(f"{name:40} KID x 1000 {1e3 * value:7.2f} +- {1e3 * error:.2f}", flush=True)


if __name__ == "__main__":
    main()
