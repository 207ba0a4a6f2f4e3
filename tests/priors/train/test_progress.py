"""What a training says: nothing is changed on the way, and a log gets the loss, the throughput and
the time left."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from torch import nn

from noisewalk.priors.train import progress as module
from noisewalk.priors.train.ema import PowerEMA
from noisewalk.priors.train.loop import TrainProgress
from noisewalk.priors.train.progress import show


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds that the module reads, to be set."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def steps(
    clock: list[float], first: int, last: int, seconds: float, loss: float = 0.25
) -> Iterator[TrainProgress]:
    average = PowerEMA(nn.Linear(1, 1))
    for k in range(first, last + 1):
        clock[0] += seconds
        yield TrainProgress(k, 10 * k, loss, average)


def lines(capsys: Any) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_the_steps_pass_unchanged(clock: list[float], capsys: Any) -> None:
    assert [p.step for p in show(steps(clock, 3, 7, 1.0), 70)] == [3, 4, 5, 6, 7]


def test_without_progress_nothing_is_shown(clock: list[float], capsys: Any) -> None:
    assert len(list(show(steps(clock, 1, 100, 5.0), 1000, False))) == 100
    assert lines(capsys) == []


def test_a_log_gets_a_line_a_minute_and_one_at_the_end(clock: list[float], capsys: Any) -> None:
    list(show(steps(clock, 1, 100, 5.0), 1000))
    found = lines(capsys)
    assert len(found) == 9  # eight whole minutes of 500 seconds, and the end
    assert found[0] == "120 of 1,000 images  loss 0.25  2 images/s  left 7 min"
    assert found[-1] == "1,000 of 1,000 images  loss 0.25  2 images/s"


def test_a_resumed_training_counts_only_its_own_images(clock: list[float], capsys: Any) -> None:
    list(show(steps(clock, 900, 1000, 1.0), 10_000))
    assert re.fullmatch(
        r"9,590 of 10,000 images  loss 0\.25  10 images/s  left 41 s", lines(capsys)[0]
    )


def test_the_loss_is_a_running_mean(clock: list[float], capsys: Any) -> None:
    def falling() -> Iterator[TrainProgress]:
        yield from steps(clock, 1, 1, 1.0, 1.0)
        yield from steps(clock, 2, 2, 1.0, 0.0)

    list(show(falling(), 20))
    assert "loss 0.98 " in lines(capsys)[-1]
