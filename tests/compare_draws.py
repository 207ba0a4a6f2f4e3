"""Compares the draws of six runs between two commits on one machine, bit by bit.

    python tests/compare_draws.py OLD NEW

Each commit is checked out into a folder of its own and samples fashion32 with seed 0:
Euler-Maruyama, MALA, the default kernel, the default kernel around the spectral Gaussian,
elliptical slice sampling and tempered SMC. Two commits are compared on one machine because the bits
of a convolution depend on the processor. The exit status is 0 if all draws are equal, 1 otherwise.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SAMPLE = """
import hashlib
import torch
import noisewalk as nw

torch.set_num_threads(2)
prior = nw.load_prior("fashion32")
phi, operator = prior.map(), nw.operators.AveragePool(4)
likelihood = nw.likelihoods.Gaussian(0.1)
with torch.no_grad():
    x = phi(nw.noise.rows(5, 2).normal(phi.shape, nw.noise.INIT))
    y = likelihood.sample(operator(x), nw.noise.rows(6, 2))
target = nw.NoisePosterior(phi, operator, likelihood, y)
given = dict(num_draws=4, num_chains=2, warm_start=nw.Adam(10), seed=0, progress=False)
as_is = dict(given, adapt=None, num_warmup=0)
runs = {
    "em": lambda: nw.sample(target, nw.Langevin(1e-3, "em"), **as_is),
    "mala": lambda: nw.sample(target, nw.Langevin(1e-3, "em", adjust=True), **as_is),
    "default": lambda: nw.sample(target, num_warmup=12, **given),
    "spectral": lambda: nw.sample(target, num_warmup=12, refresh=nw.SpectralRefresh(), **given),
    "slice": lambda: nw.sample(target, nw.EllipticalSlice(), **as_is),
    "smc": lambda: nw.tempered_smc(target, 32, num_moves=2, seed=0, progress=False),
}
for name, draw in runs.items():
    run = draw()
    sha = hashlib.sha256()
    for part in (run.draws, run.z[...], run.nll[...]):
        sha.update(part.contiguous().numpy().tobytes())
    print(name, sha.hexdigest()[:16], run.nfe, flush=True)
"""


def draws_of(commit: str) -> dict[str, str]:
    """Hash of the draws and network calls of every run at a commit; "." is the working tree."""
    with tempfile.TemporaryDirectory() as folder:
        tree = ROOT
        if commit != ".":
            tree = Path(folder)
            archive = subprocess.run(
                ["git", "archive", commit, "src"], cwd=ROOT, check=True, stdout=subprocess.PIPE
            )
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
        command = [sys.executable, "-c", SAMPLE]
        out = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    return dict(line.split(maxsplit=1) for line in out.stdout.splitlines())


def main(old: str, new: str) -> int:
    """Print a line a run; 1 if any differs."""
    before, after = draws_of(old), draws_of(new)
    for name in before:
        same = "equal" if before[name] == after[name] else "DIFFERENT"
        print(f"{name:10} {before[name]:28} {after[name]:28} {same}")
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
