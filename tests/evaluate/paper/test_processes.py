"""Law: several processes store the cells that one would, and an interruption or a killed process
loses none that was stored."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from noisewalk.engines import Processes, Serial
from noisewalk.errors import NoisewalkError
from noisewalk.evaluate.paper import processes
from noisewalk.evaluate.paper.grid import Grid, pending
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.processes import fill_by, fill_shared, threads_of_each, usual_jobs
from noisewalk.evaluate.paper.table_cells import read_cell

GRID = Grid(("sr",), ("dps-dm", "lgd-cm", "ours1-em"), 2, 1)


def numbers(bench):
    """Every stored number but what is of the machine."""
    of_machine = {"seconds", "cpu_seconds", "threads"}
    cells = [
        (task.name, method.name, i, read_cell(bench, task, method, i))
        for task, method, images in GRID.blocks(bench)
        for i in images
    ]
    return [
        (*where, {key: value for key, value in cell.items() if key not in of_machine})
        for *where, cell in cells
    ]


@pytest.mark.parametrize("engine", [Serial(), Processes(1)], ids=repr)
def test_engines_store_the_cells_of_one_process(make_bench, tmp_path, engine):
    alone, before = make_bench(out=tmp_path / "alone"), torch.get_num_threads()
    torch.set_num_threads(1)
    list(fill_shared(alone, pending(alone, GRID), 1))
    torch.set_num_threads(before)
    shared = replace(alone, out=tmp_path / "shared")
    ticks = list(fill_by(engine, shared, pending(shared, GRID)))
    assert ticks[-1].done == ticks[-1].total > 0
    assert numbers(shared) == numbers(alone)
    assert list(fill_by(engine, shared, pending(shared, GRID))) == []


def test_several_processes_store_the_cells_of_one(make_bench, tmp_path):
    alone = make_bench(out=tmp_path / "alone")
    before = torch.get_num_threads()
    with threads_of_each(before):
        assert torch.get_num_threads() == 1
        assert [tick.done for tick in fill_shared(alone, pending(alone, GRID), 1)][-1] > 0
    torch.set_num_threads(2)
    shared = replace(alone, out=tmp_path / "shared")
    ticks = list(fill_shared(shared, pending(shared, GRID), 2))
    torch.set_num_threads(before)
    assert len(ticks) == 1 + 3
    assert ticks[-1].done == ticks[-1].total
    assert pending(shared, GRID) == []
    assert multiprocessing.active_children() == []
    assert numbers(shared) == numbers(alone)


def test_a_block_of_the_exact_kernel_is_longer_than_its_calls():
    blocks = [(None, METHODS["dps-dm"], range(8)), (None, METHODS["ours2-exact"], range(1))]
    assert processes.length(1000, blocks[0]) == 1000
    assert processes.length(500, blocks[1]) > 1000


def test_an_interruption_ends_the_processes_and_keeps_what_was_stored(make_bench):
    bench = make_bench()
    blocks = pending(bench, GRID)
    ticks = fill_shared(bench, blocks, 2)
    next(ticks), next(ticks)
    children = multiprocessing.active_children()
    ticks.close()
    deadline = time.monotonic() + 30
    while any(
        child.is_alive() for child in children
    ):  # join does not do: the pool's own thread may be collecting the same child
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(pending(bench, GRID)) < len(blocks)


def test_a_killed_process_is_said(make_bench):
    bench = make_bench()
    ticks = fill_shared(bench, pending(bench, GRID), 2)
    next(ticks)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(NoisewalkError, match=r"one of 2 processes ended.*--jobs 1"):
        list(ticks)


def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    code = """
import multiprocessing, time
from noisewalk.evaluate.paper import processes
if __name__ == "__main__":
    from concurrent.futures import ProcessPoolExecutor
    given = processes.pickle.dumps(None), 1
    spawn = multiprocessing.get_context("spawn")
    held = ProcessPoolExecutor(1, spawn, processes._begin, given)
    print(held.submit(processes.os.getpid).result(), flush=True)
    time.sleep(600)
"""
    (tmp_path / "parent.py").write_text(code)
    with subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(300):
        if not alive(child):
            break
        time.sleep(0.1)
    assert not alive(child)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as told:
        return told.read().rpartition(")")[2].split()[0] != "Z"


def test_processes_are_started_unasked_where_there_is_much_to_do(make_bench, monkeypatch):
    bench = make_bench()
    blocks = pending(bench, GRID)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert usual_jobs(bench, blocks) == 1
    monkeypatch.setattr(processes, "WORTH", 1)
    assert usual_jobs(bench, blocks) == 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert usual_jobs(bench, blocks) == 2
