"""Whether a plan fits this machine: its memory and its disk are estimated before anything is
allocated, and its time from one timed call."""

import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError
from ..types import Plan

DAY = 86_400.0  # seconds of work from which on the estimate is told
MANY_CALLS = 20_000  # network calls from which on it may take a day
WAY_OUT = "ask for fewer chains, particles, problems or draws"
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def admit(plan: Plan, target: Any, folder: Path | None, progress: bool, force: bool) -> None:
    """Check that a run fits the machine, and say with `progress` if it is long."""
    check_size(plan, target, folder, force)
    if progress:
        tell_time(plan, target)


def check_size(plan: Plan, target: Any, folder: Path | None, force: bool = False) -> None:
    """Raise a ConfigError where a plan needs more memory or disk than the machine has, unless
    forced: draws without a folder are kept in memory."""
    estimate = plan.estimate(target)
    memory = estimate.memory + (estimate.disk if folder is None else 0)
    check_memory(memory, target.y.device, force)
    if folder is None or force:
        return
    free = free_disk(folder) + _used(folder)
    if estimate.disk > free:
        raise ConfigError(
            f"the draws would take about {size_text(estimate.disk)} on the disk, and "
            f"{size_text(free)} are free at {folder}: {WAY_OUT}, or go on with --force"
        )


def check_memory(memory: int, device: torch.device | str, force: bool = False) -> None:
    """Raise a ConfigError where that many bytes are more than the device has, unless forced."""
    there = total_memory(torch.device(device))
    if memory > there and not force:
        raise ConfigError(
            f"the states and draws would take about {size_text(memory)} of memory, and this "
            f"machine has {size_text(there)}: {WAY_OUT}, or go on with --force"
        )


def total_memory(device: torch.device) -> int:
    """Bytes of memory: of a GPU, or of this machine or the group of processes it grants memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    granted = Path("/sys/fs/cgroup/memory.max")
    text = granted.read_text().strip() if granted.is_file() else "max"
    return min(physical, int(text)) if text.isdigit() else physical


def free_disk(folder: Path) -> int:
    """Bytes free where a folder is or will be."""
    there = next((p for p in (folder, *folder.absolute().parents) if p.is_dir()), Path("/"))
    return shutil.disk_usage(there).free


def _used(folder: Path) -> int:
    """Bytes that the run already has."""
    places = ("run.zarr/*/c.*", "shards/*/run.zarr/*/c.*")
    return sum(p.stat().st_blocks * 512 for place in places for p in folder.glob(place))


def tell_time(plan: Plan, target: Any) -> None:
    """Print the estimate of a run that takes longer than a day, from one timed call of a row."""
    calls = plan.estimate(target).calls
    if calls < MANY_CALLS:
        return
    nfe, began = target.nfe, time.perf_counter()
    row = torch.zeros(1, dtype=torch.int64, device=target.y.device)
    target.value(target.y.new_zeros(1, *target.shape), row, target.num_images)
    target.nfe = nfe
    seconds = (time.perf_counter() - began) / max(1, target.phi.nfe) * calls
    if seconds > DAY:
        what = f"about {calls:,} network calls, {seconds / DAY:,.0f} days at the pace of one alone"
        print(f"this run takes long: {what}", file=sys.stderr, flush=True)


def size_text(size: float) -> str:
    """A number of bytes for people, such as 1.5 GB."""
    power = min(int(math.log10(max(size, 1)) // 3), len(_UNITS) - 1)
    return f"{size / 1000**power:.3g} {_UNITS[power]}"
