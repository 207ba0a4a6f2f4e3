"""The simulation of benchmarks/scaling.py, where the answer is known."""

import importlib.util
import math
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scaling.py"


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("tasks", [1, 7, 64, 100])
def test_without_a_transfer_the_tasks_go_in_rounds(scaling, workers, tasks):
    found = scaling.estimate(scaling.Costs(3.0, 0.0, 2.0), workers, tasks)
    assert found == pytest.approx(3.0 + 2.0 * math.ceil(tasks / workers))


def test_one_worker_takes_the_sum(scaling):
    tasks = [1.0, 4.0, 0.5]
    assert scaling.simulate([2.0], 0.25, tasks) == pytest.approx(2.0 + 3 * 0.25 + 5.5)


def test_a_slow_driver_is_the_bottleneck(scaling):
    found = scaling.estimate(scaling.Costs(1.0, 0.5, 2.0), 100, 100)
    assert found == pytest.approx(1.0 + 100 * 0.5 + 2.0)
    more = scaling.estimate(scaling.Costs(1.0, 0.5, 2.0), 512, 100)
    assert more == found


def test_a_worker_that_starts_late_gets_fewer_tasks(scaling):
    # one takes the tasks that end at 1, 2 and 3; the other, there from 2.5, that which ends at 3.5
    assert scaling.simulate([0.0, 2.5], 0.0, [1.0] * 4) == pytest.approx(3.5)


def test_a_short_task_frees_its_worker_for_the_next(scaling):
    assert scaling.simulate([0.0, 0.0], 0.0, [5.0, 1.0, 1.0, 1.0]) == pytest.approx(5.0)
