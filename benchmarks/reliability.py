"""The figures of docs/reliability.md: what bad inputs, kills and flipped bits do, and how memory
grows with the number of draws.

Bad inputs and kills are the lists of the tests. For the flipped bits, every file of a small run has
one bit changed at a time, at --flips places, and the run is read; a change of a zarr.json of an
array alone is not tried, since only other programs read it. Memory is the most that a process holds
of its own, without mapped files (RssAnon, looked at every 5 ms), beyond what it held after the same
work on 100 draws; each number of draws has a process of its own.

    python benchmarks/reliability.py --kills 100
"""

import argparse
import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import noisewalk as nw

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("laws", "cli", "storage")]
PRIOR = "import noisewalk as nw\ndef make():\n    return nw.maps.Warp((1, 8, 8), 0.5)\n"
SIDE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--flips", type=int, default=40, help="places a file")
    parser.add_argument("--draws", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.measure, args.draws[0])
        return
    torch.set_num_threads(1)
    bad, tracebacks = hostile()
    print(f"{bad} bad inputs, {tracebacks} tracebacks", flush=True)
    soak = [sys.executable, str(ROOT / "tests" / "laws" / "soak.py"), str(args.kills), "0"]
    print(output(soak).splitlines()[-1], flush=True)
    tried, accepted = flipped(args.flips)
    print(f"{tried} flipped bits, {accepted} silently accepted", flush=True)
    print("draws    sampling    report")
    for count in args.draws:
        sizes = (memory_of(kind, count) for kind in ("sampling", "report"))
        print(f"{count:5,}", *(f"{size / 1e6:8.1f} MB" for size in sizes), flush=True)


def hostile() -> tuple[int, int]:
    """Bad inputs tried, and those that did not end in one line and status 2."""
    from bounded import tried_all

    found = [(code, lines) for code, lines, _ in tried_all().values()] + list(malformed())
    wrong = [one for one in found if one[0] != 2 or len(one[1]) != 1]
    return len(found), len(wrong)


def malformed() -> Iterator[tuple[int, list[str]]]:
    """The exit status and the lines of every file and value that no command takes."""
    from malformed import FILES, VALUES, make_files

    from noisewalk.cli.main import main as command

    usual = {"--prior": "own.py:make", "--operator": "identity", "--sigma-y": "0.1", "--out": "run"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("own.py").write_text(PRIOR)
        make_files()
        for file, options in [(f, "") for f, _ in FILES] + [("y.npy", o) for o, _ in VALUES]:
            words = shlex.split(options)
            more = [w for pair in usual.items() if pair[0] not in words for w in pair]
            if "poisson" in options or "--sigma-y" in words:
                more = [w for w in more if w not in ("--sigma-y", "0.1")]
            sys.argv, said = ["noisewalk", "sample", file, *more, *words], io.StringIO()
            code = 1
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                    command()
            except SystemExit as left:
                code = int(left.code or 0)
            except Exception as error:  # a traceback on the command line
                said.write(repr(error))
            yield code, said.getvalue().splitlines()


def flipped(most: int) -> tuple[int, int]:
    """Changed bits tried in a run, and those that its reader did not tell."""
    from run_edits import flip

    tried = accepted = 0
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        draw(run, 3)
        for path in sorted(p for p in run.rglob("*") if p.is_file() and p.name != ".lock"):
            if path.name == "zarr.json" and path.parent.name != "run.zarr":
                continue
            size = path.stat().st_size
            for at in range(0, size, max(1, size // most)):
                flip(path, at, at % 8)
                tried += 1
                accepted += readable(run)
                flip(path, at, at % 8)
        assert readable(run)
    return tried, accepted


def readable(run: Path) -> bool:
    """Whether all that a run stores is read without an error."""
    from noisewalk.storage.store import open_store

    try:
        for array in open_store(run).arrays.values():
            array[...]
    except nw.errors.StoreError:
        return False
    return True


def draw(folder: Path, draws: int) -> None:
    """Draw from a small problem into a folder."""
    phi, y = nw.maps.Warp((1, SIDE, SIDE), 0.5), torch.zeros(1, 1, SIDE // 2, SIDE // 2)
    operator, likelihood = nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.2)
    target = nw.NoisePosterior(phi, operator, likelihood, y)
    plain: dict[str, Any] = {"warm_start": None, "num_warmup": 0, "thin": 1, "progress": False}
    nw.sample(target, nw.EllipticalSlice(), draws, 4, store=folder, **plain)


def memory_of(kind: str, draws: int) -> int:
    """Bytes that sampling, or a report, takes in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, "--draws", str(draws)]
    return int(output(command).splitlines()[-1])


def measure(kind: str, draws: int) -> None:
    """Print what the work takes beyond the same work of a few draws."""
    from noisewalk.report.build import build_report

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        draw(small, 100)
        build_report(small)
        if kind == "report":
            draw(large, draws)
        before = held()
        with watched() as peak:
            draw(large, draws) if kind == "sampling" else build_report(large)
        print(max(peak) - before)


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
    """What this process holds, looked at every 5 ms."""
    found, done = [held()], threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            found.append(held())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def held() -> int:
    """Bytes of memory that is this process's own: without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def output(command: list[str]) -> str:
    """What a program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return done.stdout


if __name__ == "__main__":
    main()
