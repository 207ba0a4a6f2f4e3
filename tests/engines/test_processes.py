"""A worker that is killed takes its own unit with it and no other."""

import os
import signal
import time
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool

import pytest

from noisewalk.engines import Processes


def test_a_killed_worker_breaks_one_unit_and_is_replaced(tmp_path):
    with Processes(2).open(tmp_path) as executor:
        doomed, safe = executor.submit(time.sleep, 60), executor.submit(os.getpid)
        assert safe.result() != os.getpid()
        pools = executor._pools
        (victim,) = pools[0]._processes
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            doomed.result(30)
        others = [executor.submit(os.getpid) for _ in range(4)]
        assert not wait(others, 60).not_done
        assert all(o.result() not in (victim, os.getpid()) for o in others)


def test_cancelled_work_ends_at_once(tmp_path):
    executor = Processes(1).open(tmp_path)
    running, waiting = executor.submit(time.sleep, 60), executor.submit(os.getpid)
    while not executor._pools or not executor._pools[0]._processes:
        time.sleep(0.01)
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(BrokenProcessPool):
        running.result(30)
