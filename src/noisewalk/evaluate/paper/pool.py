"""A grid's blocks, shared out among processes: on a CPU several networks of one thread are faster
than one of several threads on small images."""

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

from ...errors import NoisewalkError
from ...types import Tick
from .grid import Bench, Block, block_nfe, compute, fill

WORTH = 20_000
"""Network calls from which on processes are worth their start of about ten seconds."""
MOST = 8
"""Processes that are started unasked: each holds the networks once more."""
ALONE = 3
"""How much longer a network call of the exact kernel takes for each row (fashion32, one thread):
its batch is one image's chains, where the others' is a block's images."""

_shared: list[Bench] = []


def usual_jobs(bench: Bench, blocks: list[Block]) -> int:
    """Processes where the user names none.

    Arguments:
        bench: the grid's.
        blocks: those to compute.

    Returns:
        As many as torch has threads, eight and the blocks at most; one on a GPU, for large images,
        and for little work.
    """
    if (
        bench.images.device.type != "cpu"
        or bench.block == 1
        or sum(block_nfe(bench, *block) for block in blocks) < WORTH
    ):
        return 1
    return min(torch.get_num_threads(), MOST, len(blocks))


def length(nfe: int, block: Block) -> int:
    """How long a block takes beside others.

    Arguments:
        nfe: its network calls.
        block: task, method and images.

    Returns:
        Calls of a block's usual length.
    """
    return nfe * (ALONE if block[1].family == "exact" else 1)


@contextmanager
def threads_of_each(jobs: int) -> Iterator[None]:
    """Give torch the threads that one of several processes has.

    Arguments:
        jobs: processes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fill_shared(bench: Bench, blocks: list[Block], jobs: int) -> Iterator[Tick]:
    """Compute blocks in several processes and store their cells, the longest first.

    Arguments:
        bench: the grid's.
        blocks: from `pending`.
        jobs: processes; one computes here.

    Yields:
        Progress in estimated network calls.

    Raises:
        NoisewalkError: a process ended before its work did.
    """
    if jobs == 1:
        yield from fill(bench, blocks)
        return
    longest_first = sorted(
        ((block_nfe(bench, *block), block) for block in blocks), key=lambda pair: -length(*pair)
    )
    total, done = sum(cost for cost, _ in longest_first), 0
    before = set(multiprocessing.active_children())
    with threads_of_each(jobs):
        given = (
            pickle.dumps(bench),
            torch.get_num_threads(),
        )  # as bytes: torch would share every weight through a file of its own
    finished = False
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, given)
    try:
        with _deaf():
            running = {pool.submit(_one, block): (cost, block) for cost, block in longest_first}
        yield Tick(f"{jobs} processes", 0, total, 0, float("nan"))
        for ended in as_completed(running):
            ended.result()
            cost, (task, method, _) = running[ended]
            done += cost
            yield Tick(f"{task.name} {method.name}", done, total, done, float("nan"))
        finished = True
    except BrokenProcessPool as error:
        text = (
            f"one of {jobs} processes ended, perhaps for want of memory ({error}): the same "
            "command goes on, and --jobs 1 needs the least"
        )
        raise NoisewalkError(text) from error
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here do not hear Ctrl-C, which is their parent's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(bench: bytes, threads: int) -> None:
    """A process begins, and ends when its parent does."""
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
