"""Law: the tasks are the paper's, fitted to the images, and say what differs."""

from pathlib import Path

import pytest

from noisewalk.evaluate.paper.tasks import LINEAR, SIGMA_Y, TASKS, tasks_for
from noisewalk.operators import output_shape_of, parse


def test_the_noise_is_appendix_b3s():
    assert {**dict.fromkeys(TASKS, 0.1), "phase": 0.05} == SIGMA_Y


@pytest.mark.parametrize(
    ("shape", "texts"),
    [
        ((3, 256, 256), ("factor=8", "=61", "keep=0.1")),
        ((1, 32, 32), ("factor=4", "=31", "keep=0.2")),
    ],
)
def test_the_tasks_fit_the_images_and_say_what_differs(shape, texts):
    tasks = tasks_for(shape)
    assert tuple(tasks) == TASKS
    for task in tasks.values():
        assert len(output_shape_of(parse(task.operator, shape), shape)) == 3
    assert all(text in tasks[name].operator for name, text in zip(LINEAR, texts, strict=True))
    assert bool(tasks["blur"].note) == (shape[-1] < 61)
    assert "camera motion" in tasks["nonlinear"].note


def test_the_neural_blur_is_for_the_papers_size_alone():
    assert (
        tasks_for((3, 256, 256), neural_blur=Path("w.pth"))["nonlinear"].operator
        == "neuralblur:weights=w.pth,seed=0"
    )
    assert tasks_for((3, 64, 64), neural_blur=Path("w.pth"))["nonlinear"].operator.startswith(
        "motion"
    )
