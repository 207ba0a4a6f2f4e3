"""Kills real processes at random moments, lets others go on with their files, and compares what
comes out with the same work that nobody killed, bit by bit.

`python tests/laws/soak.py [KILLS] [SEED]` prints one line at the end. The workers are forked from
this process, which has imported everything and computes nothing itself, and are ended by SIGKILL.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import noisewalk as nw
from noisewalk.cli import batch, bench, calibrate, main, sample, train, training  # noqa: F401
from noisewalk.priors import load
from noisewalk.report import build, calibration  # noqa: F401
from noisewalk.sampling import chains, smc  # noqa: F401
from noisewalk.storage.doctor import examine
from noisewalk.storage.store import open_store
from noisewalk.storage.zarr_group import GROUP, META, read_root

MOST_OF_ONE = 4
"""Kills of one piece of work before it may end."""
KEPT = ("cells/**/*.npz", "calibration.json", "diffusion_pytorch_model.safetensors")
"""Results that are no runs; a table also holds the time it took."""
TINY = ["--size", 8, "--widths", 32, "--unshuffle", 1, "--num-images", 80, "--batch-size", 2]
OWN = (
    "import torch, noisewalk as nw\n"
    "def make():\n"
    "    return nw.maps.Generator(torch.nn.Sequential(torch.nn.Tanh()), (1, 8, 8), (1, 8, 8))\n"
)
QUIET: dict[str, Any] = {"progress": False}


def target() -> nw.NoisePosterior:
    phi = nw.maps.Warp((1, 8, 8), 0.5)
    y = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    return nw.NoisePosterior(phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.2), y)


def drawing(folder: Path) -> None:
    plain = {"warm_start": None, "num_warmup": 0, "thin": 2}
    nw.sample(target(), nw.EllipticalSlice(), 60, 4, store=folder, **plain, **QUIET)


def starting(folder: Path) -> None:
    nw.sample(target(), num_draws=1, num_chains=4, store=folder, **QUIET)


def warming_up(folder: Path) -> None:
    plan = {"plan": "long_chains", "warm_start": nw.Adam(5), "thin": 1}
    nw.sample(target(), num_draws=2, num_chains=2, num_warmup=60, store=folder, **plan, **QUIET)


def tempering(folder: Path) -> None:
    nw.tempered_smc(target(), 16, store=folder, **QUIET)


def many(folder: Path) -> None:
    plan = {"num_draws": 6, "num_chains": 2, "num_warmup": 4, "warm_start": nw.Adam(4)}
    nw.sample_many({name: target() for name in "abc"}, folder, thin=1, **plan, **QUIET)


def command(*words: Any) -> None:
    """The command line."""
    sys.argv = ["noisewalk", *map(str, words)]
    main.main()


def files(folder: Path) -> None:
    (folder / "in").mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(OWN)
    for k, name in enumerate("ab"):
        np.save(folder / "in" / name, np.random.default_rng(k).uniform(-1, 1, (4, 4)))
    os.chdir(folder)
    words = "--chains 2 --num-draws 4 --num-warmup 2 --thin 1 --warm-start 3 --sigma-y 0.3"
    given = "sample in --prior own.py:make --operator avgpool:factor=2 --out out --resume"
    command(*given.split(), *words.split())


def teaching(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = folder.with_name("images.npz")
    command("train", "diffusion", "--data", data, "--out", folder, *TINY, "--attention", "")


def table(folder: Path) -> None:
    words = "--prior fashion32 --num-images 1 --num-samples 2 --num-steps 2 --warm-start 1"
    what = "--extractor none --tasks sr --methods dps-dm,cmedit,ours1-em"
    command("bench", "table1", *words.split(), *what.split(), "--out", folder)


def ranks(folder: Path) -> None:
    if (folder / "calibration.json").exists():
        shutil.rmtree(folder)  # it keeps nothing before its end, and takes an empty folder
    words = "--operator avgpool:factor=16 --sigma-y 0.2 --num-problems 20 --num-draws 2"
    chosen = "--prior fashion32 --kernel mala --step-size 1e-3"
    command("calibrate", *chosen.split(), *words.split(), "--out", folder)


WORK: dict[str, Callable[[Path], None]] = {
    "sampling": drawing,
    "start": starting,
    "warm-up": warming_up,
    "SMC": tempering,
    "train": teaching,
    "bench": table,
    "calibrate": ranks,
    "batch": files,
    "sample_many": many,
}


def begun(work: Callable[[Path], None], folder: Path) -> int:
    """The process that does the work; it keeps its state often, so that kills meet that too."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        out = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        chains.CHECKPOINT_SECONDS = 0.0
        settings = training.settings_of
        training.settings_of = lambda *a, **k: replace(settings(*a, **k), checkpoint_seconds=0.0)
        work(folder)
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float, folder: Path) -> bool:
    """Whether a process ends by itself within a time; RuntimeError where it fails."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            if status:
                said = folder.with_suffix(".log").read_text().splitlines()[-1:]
                raise RuntimeError(f"{folder.name} ended with wait status {status}: {said}")
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.002)


def committed(folder: Path) -> dict[Path, int]:
    """The draws that the runs in a folder hold."""
    roots = folder.rglob(f"{GROUP}/{META}")
    return {root: read_root(root.parents[1]).num_draws for root in roots}


def results(folder: Path) -> dict[str, str]:
    """The hash of every array of every run, and of other results."""
    found = {}
    for spec in folder.rglob("spec.json"):
        assert not examine(spec.parent).faults
        for name, array in open_store(spec.parent).arrays.items():
            data = array[...].contiguous().numpy().tobytes()
            place = spec.parent.relative_to(folder) / name
            found[str(place)] = hashlib.sha256(data).hexdigest()
    for path in (path for name in KEPT for path in folder.rglob(name)):
        found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def soak(kills: int, seed: int, folder: Path, tell: Callable[[str], None] = print) -> int:
    """Kill as often as asked, all kinds of work in turn; the draws lost. RuntimeError where a
    result differs."""
    chance, done, lost, turn = random.Random(seed), 0, 0, 0
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8), np.uint8)
    np.savez(folder / "images.npz", images=images)
    want, span = {}, {}
    for name, work in WORK.items():
        start = time.monotonic()
        ended(begun(work, folder / f"{name}-whole"), 600, folder / f"{name}-whole")
        span[name], want[name] = time.monotonic() - start, results(folder / f"{name}-whole")
        assert want[name], name
    while done < kills:
        name = list(WORK)[turn % len(WORK)]
        place, here = folder / f"{name}-{turn}", 0
        while True:
            pid = begun(WORK[name], place)
            spared = here == MOST_OF_ONE or done == kills
            if ended(pid, 600 if spared else chance.uniform(0, span[name]), place):
                break
            before = committed(place)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            after = committed(place)
            done, here = done + 1, here + 1
            lost += sum(max(0, count - after.get(run, 0)) for run, count in before.items())
        if (found := results(place)) != want[name]:
            wrong = sorted(key for key, value in want[name].items() if found.get(key) != value)
            raise RuntimeError(f"{name} differs after {here} kills: {', '.join(wrong)}")
        tell(f"{name}: {here} kills, bitwise ({done} of {kills})")
        shutil.rmtree(place, ignore_errors=True)
        turn += 1
    return lost


def program(kills: int, seed: int) -> None:
    """Print what was found."""
    torch.set_num_threads(1)
    load.load_prior = cache(load.load_prior)
    nw.load_prior = load.load_prior
    for prior in ("fashion32", "fashion32-edm"):
        load.load_prior(prior)
    with tempfile.TemporaryDirectory() as folder:
        lost = soak(kills, seed, Path(folder), lambda line: print(line, flush=True))
    print(f"{kills} kills, {lost} draws lost, bitwise", flush=True)
    if lost:
        raise SystemExit(1)


if __name__ == "__main__":
    program(*[int(word) for word in (sys.argv[1:] + ["100", "0"][len(sys.argv) - 1 :])])
