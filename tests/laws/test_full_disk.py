"""Law: a command that cannot write its files ends in one line and exit status 2.

`RLIMIT_FSIZE` stands for the full disk: the system refuses to write past so many bytes of any file,
whoever asks. A folder under /proc stands for the one that cannot be written to.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PRIOR = "import noisewalk as nw\ndef make():\n    return nw.maps.Warp((1, 8, 8), 0.5)\n"
SHORT = "--chains 2 --warm-start 0 --num-warmup 2 --thin 1 --num-draws 1 --plan short_chains"
SAMPLE = f"sample y.npy --prior own.py:make --operator identity --sigma-y 0.1 {SHORT}"
COMMANDS = {
    "sample": f"{SAMPLE} --out more",
    "batch": f"sample y.npy z.npy {SAMPLE.removeprefix('sample y.npy ')} --out batch",
    "report": "report run",
    **{
        f"export {ending}": f"export run --to mean.{ending}"
        for ending in ("npy", "npz", "fits", "tif", "png", "nc", "zarr")
    },
    "calibrate": f"calibrate run --prior own.py:make --num-problems 2 {SHORT} --out found",
    "bench": "bench table1 --prior fashion32 --num-images 1 --methods dps-dm --tasks sr "
    "--num-steps 2 --extractor none --out table",
    "train": "train teacher --images clean --size 8 --num-steps 1 --batch-size 2 --widths 32,32 "
    "--out prior",
    "demo": "demo --prior fashion32 --task super-resolution --out demo",
}
LIMIT = 100  # bytes of a file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, two measurements and a prior."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "own.py").write_text(PRIOR)
    np.save(folder / "y.npy", np.zeros((8, 8), np.float32))
    np.save(folder / "z.npy", np.ones((8, 8), np.float32))
    (folder / "clean").mkdir()
    for k in range(4):
        np.save(folder / f"clean/{k}.npy", np.zeros((8, 8), np.uint8))
    assert noisewalk(folder, f"{SAMPLE} --out run").returncode == 0
    return folder


def noisewalk(folder: Path, text: str, limit: int | None = None):
    """Run a command in a process of its own, whose files may have so many bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "noisewalk", *text.split()],
        cwd=folder,
        preexec_fn=limited,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(folder)},
        timeout=300,
        check=False,
    )


def is_one_line(done) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode in (2, 3), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert len(errors) == 1 or done.returncode == 3, done.stderr[-2000:]


SLOW = [
    name if name in ("sample", "export npy") else pytest.param(name, marks=pytest.mark.slow)
    for name in COMMANDS
]


@pytest.mark.parametrize("name", SLOW)
def test_a_full_disk_is_one_line(place, name):
    is_one_line(noisewalk(place, COMMANDS[name], LIMIT))
    assert noisewalk(place, "doctor run").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if "--out" in COMMANDS[name]])
def test_a_folder_that_cannot_be_written_is_one_line(place, name):
    words, _, _ = COMMANDS[name].rpartition("--out ")
    is_one_line(noisewalk(place, f"{words}--out /proc/noisewalk/out"))
