"""Units of work, an operator that kills its process, and targets."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import noisewalk as nw
from noisewalk.errors import BusyError, ConfigError
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.shards import draw_shards


def shout(shared, item):
    """The item, louder, with the process and the threads."""
    if item == "bad":
        raise ConfigError("bad is not allowed: give another")
    if item == "worse":
        raise RuntimeError("out of luck")
    return shared["prefix"] + item.upper(), os.getpid(), torch.get_num_threads()


def stumble(shared, item):
    """Fail in another way each of the first times."""
    tries = Path(shared) / item
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if count == 1:
        raise BusyError("another process is writing")
    return count


@dataclass(frozen=True)
class Deadly:
    """The identity; kills its process at one call of it, or at one of so many rows, once."""

    marker: str
    at: int
    rows: int | None = None

    def __call__(self, x):
        """x itself."""
        if self.rows not in (None, len(x)):
            return x
        calls = _calls[self.marker] = _calls.get(self.marker, 0) + 1
        if calls == self.at and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    def __repr__(self):
        return "Deadly()"


@dataclass(frozen=True)
class Slow:
    """The identity, so slow that a run can be stopped in its middle."""

    seconds: float

    def __call__(self, x):
        """x itself."""
        time.sleep(self.seconds)
        return x

    def __repr__(self):
        return "Deadly()"


FEW = {
    **{"kernel": nw.EllipticalSlice(), "warm_start": None, "num_warmup": 2},
    **{"num_chains": 2, "num_draws": 3, "progress": False},
}
"""A run of a few calls."""
_calls: dict[str, int] = {}


def target(level, operator=None):
    """A small posterior."""
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    y = torch.full((1, 3), float(level))
    return nw.NoisePosterior(
        phi, operator or torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y, check=False
    )


def same(one, other):
    """Whether two sets of runs have the same draws, bit by bit."""
    names = ("x", "z", "nll", "acceptance_rate")
    return one.keys() == other.keys() and all(
        torch.equal(one[k].arrays[name][...], other[k].arrays[name][...])
        for k in one
        for name in names
    )


def in_shards(folder, posterior, engine):
    """A run of five chains in two shards by an engine."""
    settings = {"num_warmup": 6, "num_draws": 6, "thin": 2, "warm_start": None}
    plan = resolve(posterior, nw.HMC(0.3, 2), num_chains=5, plan="long_chains", **settings)
    return draw_shards(plan, posterior, folder, False, engine=engine, num_shards=2)
