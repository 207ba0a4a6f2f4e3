import os
import signal
from collections.abc import Iterator

import pytest

from noisewalk import _progress as progress
from noisewalk._progress import finishing_steps, show, signal_of
from noisewalk.types import Tick

TICKS = [
    Tick("warm start", 1, 4, 40, float("nan")),
    Tick("warm-up", 2, 4, 1234, 0.5),
    Tick("draws", 3, 4, 2000, 0.5),
    Tick("draws", 4, 4, 1234567, 0.5),
]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_ticks_pass_through_unchanged_and_silently_when_disabled(terminal, capfd):
    assert list(show(iter(TICKS), False)) == TICKS
    assert capfd.readouterr() == ("", "")


def test_off_a_terminal_there_is_a_line_now_and_then(monkeypatch, capsys):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert list(show(iter(TICKS), True)) == TICKS
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "warm start: 1 of 4  NFE 40"
    assert err.splitlines()[-1] == "draws: 4 of 4  NFE 1,234,567  acceptance 0.50"


def test_off_a_terminal_a_short_run_is_silent(monkeypatch, capfd):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    assert list(show(iter(TICKS), True)) == TICKS
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_it_shows_phase_cost_and_acceptance_on_stderr(terminal, capsys):
    shown = show(iter(TICKS), True)
    assert list(shown) == TICKS
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("draws", "4/4", "NFE 1,234,567", "acceptance 0.50", "left"):
        assert text in err
    assert "nan" not in err


@pytest.mark.parametrize("enabled", [True, False])
def test_it_takes_one_tick_at_a_time(enabled, terminal, capsys):
    taken = []

    def ticks():
        for tick in TICKS:
            taken.append(tick)
            yield tick

    shown = show(ticks(), enabled)
    assert taken == []
    next(shown)
    assert taken == TICKS[:1]
    shown.close()


def test_an_error_of_the_loop_passes_through(terminal, capsys):
    def ticks():
        yield TICKS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(show(ticks(), True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_after_the_step(number: signal.Signals) -> None:
    done: list[int] = []

    def steps() -> Iterator[Tick]:
        for k in range(5):
            if k == 2:
                os.kill(os.getpid(), number)
            done.append(k)  # the step is finished
            yield Tick("draws", k + 1, 5, k, 0.5)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), finishing_steps():
        list(show(steps(), False))
    assert done == [0, 1, 2]
    assert signal_of() == number
    assert signal.getsignal(number) is before


def test_a_second_signal_and_one_outside_a_loop_stop_at_once() -> None:
    def stubborn() -> Iterator[Tick]:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError
        yield Tick("draws", 1, 2, 0, 0.5)

    with pytest.raises(KeyboardInterrupt), finishing_steps():
        list(show(stubborn(), False))
    with pytest.raises(KeyboardInterrupt), finishing_steps():
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_last_step_is_not_interrupted_after_it_is_done() -> None:
    def one() -> Iterator[Tick]:
        os.kill(os.getpid(), signal.SIGTERM)
        yield Tick("draws", 1, 1, 0, 0.5)

    with finishing_steps():
        assert len(list(show(one(), False))) == 1
