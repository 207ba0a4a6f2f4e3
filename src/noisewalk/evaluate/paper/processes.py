"""A grid's blocks, shared out among processes: faster than threads for small images on a CPU."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

from ...engines.engine import Engine
from ...engines.work import perform
from ...errors import NoisewalkError
from ...types import Tick
from .bench import Bench
from .grid import Block, block_nfe, compute, fill

WORTH = 20_000  # network calls from which on processes are worth their start of ten seconds
MOST = 8  # processes that are started unasked: each holds the networks once more
ALONE = 3
"""A row's network call takes so much longer in the exact kernel, whose batch is of one image."""

_shared: list[Bench] = []


def usual_jobs(bench: Bench, blocks: list[Block]) -> int:
    """Processes where the user names none; one on a GPU, for large images or for little work."""
    alone = bench.images.device.type != "cpu" or bench.block == 1
    if alone or sum(block_nfe(bench, *block) for block in blocks) < WORTH:
        return 1
    return min(torch.get_num_threads(), MOST, len(blocks))


def length(nfe: int, block: Block) -> int:
    """How long a block of so many network calls takes, in calls of a usual block."""
    return nfe * (ALONE if block[1].family == "exact" else 1)


@contextmanager
def threads_of_each(jobs: int) -> Iterator[None]:
    """Give torch the threads that one of several processes has."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fill_shared(bench: Bench, blocks: list[Block], jobs: int) -> Iterator[Tick]:
    """Compute blocks, the longest first; NoisewalkError where a process ends before its work."""
    if jobs == 1:
        yield from fill(bench, blocks)
        return
    costed = [(block_nfe(bench, *block), block) for block in blocks]
    costed.sort(key=lambda pair: -length(*pair))
    before, finished = set(multiprocessing.active_children()), False
    with threads_of_each(jobs):  # as bytes: torch would share every weight through its own file
        given = (pickle.dumps(bench), torch.get_num_threads())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, given)
    try:
        with _ignoring_interrupts():
            running = {pool.submit(_one, block): (cost, block) for cost, block in costed}
        total, done = sum(cost for cost, _ in costed), 0
        yield Tick(f"{jobs} processes", 0, total, 0, float("nan"))
        for ended in as_completed(running):
            ended.result()
            cost, (task, method, _) = running[ended]
            done += cost
            yield Tick(f"{task.name} {method.name}", done, total, done, float("nan"))
        finished = True
    except BrokenProcessPool as error:
        raise NoisewalkError(
            f"one of {jobs} processes ended, perhaps for want of memory ({error}): repeat the "
            "command to go on; --jobs 1 needs the least"
        ) from error
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


def fill_by(engine: Engine, bench: Bench, blocks: list[Block]) -> Iterator[Tick]:
    """Compute blocks by an engine, the longest first; NoisewalkError where some have failed."""
    costed = {k: block_nfe(bench, *block) for k, block in enumerate(blocks)}
    order = sorted(costed, key=lambda k: -length(costed[k], blocks[k]))
    total, done, failed = sum(costed.values()), 0, []
    for outcome in perform(engine, _numbered, (bench, blocks), order, bench.out):
        task, method, _ = blocks[outcome.item]
        if outcome.error is not None:
            failed.append(f"{task.name} {method.name}: {outcome.error}")
        done += costed[outcome.item]
        yield Tick(f"{task.name} {method.name}", done, total, done, float("nan"))
    if failed:
        told = f"{len(failed)} of {len(blocks)} blocks failed ({failed[0]})"
        raise NoisewalkError(f"{told}: repeat the command to try them again")


def _numbered(shared: tuple[Bench, list[Block]], number: int) -> None:
    bench, blocks = shared
    compute(bench, *blocks[number])


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Let processes that are started here ignore Ctrl-C, which is for their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(bench: bytes, threads: int) -> None:
    """Prepare a process, which ends when its parent does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _shared[:] = [pickle.loads(bench)]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _one(block: Block) -> None:
    compute(_shared[0], *block)
