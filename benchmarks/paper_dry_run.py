"""Run `noisewalk bench --paper` for every table and figure of the paper, on random weights.

    python benchmarks/paper_dry_run.py --out dry --narrow

The checkpoints have the layouts and the names of the paper's networks, and the images are noise.
The sizes are the smallest: one image, two samples, two steps. Nothing is downloaded. It shows that
every command goes through to its end, on this machine and this device, before hours are spent on
it. `--narrow` takes networks with fewer channels, which a CPU is fast enough for. On a CPU the
exact kernel is left out, whose curvature alone takes hundreds of network calls: the tables' rows,
one of figure 5's two, and with it figure 2. `--exact` asks for it.

The exit code is 1 where a command failed or a file is missing.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from random_checkpoints import write_checkpoints

TABLES = ("table1", "table2", "table3", "tableA4")
APPENDIX = {
    "bedroom256": (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
    "imagenet64": (2, 3, 6, 7, 8, 12, 13, 14),
}
"""Numbers of the appendix's figures that each data set's networks make."""
WANTED = {
    "bedroom256": (*TABLES, "figure1", "figure2", "figure3", "figure5", "figuresA"),
    "imagenet64": ("table1", "figure4", "figuresA"),
}
"""What the paper has of each data set."""
SMALLEST = ["--num-samples", "2", "--num-steps", "2", "--warm-start", "1", "--num-warmup", "1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--narrow", action="store_true", help="networks with fewer channels")
    parser.add_argument("--datasets", nargs="+", choices=sorted(WANTED), default=sorted(WANTED))
    parser.add_argument("--only", nargs="+", help="some of the tables and figures")
    parser.add_argument(
        "--exact", action="store_true", help="the exact kernel too; always on a GPU"
    )
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    exact, failed = args.exact or args.device != "cpu", 0
    for dataset in args.datasets:
        write_checkpoints(args.out / "cache", dataset, args.narrow)
        write_images(args.out / dataset / "images", dataset)
        for what in WANTED[dataset]:
            if args.only and what not in args.only:
                continue
            if what == "figure2" and not exact:
                print(f"{dataset} figure2: left out, for its exact kernel", flush=True)
            else:
                words = words_of(what, dataset, exact)
                failed += not run(what, dataset, args.out, [*words, "--device", args.device])
    sys.exit(1 if failed else 0)


def write_images(folder: Path, dataset: str) -> None:
    """Noise: WebP that is not square, as LSUN's; or a folder for each class, as ImageNet's."""
    generator = np.random.default_rng(0)
    for k, name in enumerate(("0", "207", "999")):
        pixels = generator.integers(0, 256, (260, 300, 3), np.uint8)
        path = folder / name / f"{k}.png" if dataset == "imagenet64" else folder / f"{k}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def words_of(what: str, dataset: str, exact: bool) -> list[str]:
    """The options of a command, beside its folders and its device."""
    words = list(SMALLEST)
    if dataset == "imagenet64":
        words += ["--prior", "cd_imagenet64_lpips.pt", "--labels", "folders"]
    if what != "figure2":
        words += ["--num-images", "1"]
    if what in TABLES and exact:
        words += ["--num-exact", "1"]
    if what == "figure5" and not exact:
        words += ["--methods", "ours1-em"]
    return words


def run(what: str, dataset: str, out: Path, words: list[str]) -> bool:
    """Run one command and say how it went; whether all its files are there."""
    place, images = out / dataset / what, out / dataset / "images"
    words = [what, "--paper", "--images", str(images), *words, "--out", str(place)]
    environment = {**os.environ, "NOISEWALK_CACHE": str(out.resolve() / "cache")}
    environment["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-c", "from noisewalk.cli.main import main; main()"]
    command += ["bench", *words]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lacking = [name for name in files_of(what, dataset) if not (place / name).is_file()]
    good = done.returncode == 0 and not lacking
    seconds = time.perf_counter() - began
    print(f"{dataset} {what}: {'done' if good else 'FAILED'}, {seconds:.0f} s", flush=True)
    if not good:
        why = f"exit code {done.returncode}; missing: {', '.join(lacking) or 'nothing'}"
        print(f"{why}\n{done.stderr[-2000:]}", flush=True)
    return good


def files_of(what: str, dataset: str) -> list[str]:
    """The files that a command must have written."""
    if what in TABLES:
        return ["table.md", "table.json"]
    if what == "figuresA":
        return [f"figureA{number:02}.png" for number in APPENDIX[dataset]]
    return [f"{what}.png", *(["figure1-draws.png"] if what == "figure1" else [])]


if __name__ == "__main__":
    main()
