"""Units end in outcomes: what another try would repeat at once, the rest after it was tried."""

import pytest
from units import shout, stumble

from noisewalk.engines import Processes, Serial, work
from noisewalk.errors import ConfigError


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.01)


def done(engine, function, shared, items, folder):
    return {o.item: o for o in work.perform(engine, function, shared, items, folder)}


def test_errors_are_outcomes_and_the_others_go_on(tmp_path):
    found = done(Serial(), shout, {"prefix": "-"}, ["a", "bad", "worse", "b"], tmp_path)
    assert [found[k].value[0] for k in "ab"] == ["-A", "-B"]
    assert (found["bad"].value, found["bad"].error) == (None, "bad is not allowed: give another")
    assert found["worse"].error == "RuntimeError: out of luck (tried 4 times)"


def test_a_lost_worker_and_a_busy_run_are_tried_again(tmp_path):
    found = done(Processes(1), stumble, str(tmp_path), ["a"], tmp_path)
    assert {k: (o.value, o.error) for k, o in found.items()} == {"a": (2, None)}
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a"]


def test_threads_travel_with_the_unit(tmp_path):
    import torch

    before = torch.get_num_threads()
    found = done(Serial(num_threads=3), shout, {"prefix": ""}, ["a"], tmp_path)
    assert found["a"].value[2] == 3
    assert torch.get_num_threads() == before


def test_what_cannot_be_sent_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not lambdas"):
        done(Processes(1), shout, {"prefix": lambda: 1}, ["a"], tmp_path)


def test_workers_read_only_what_the_driver_wrote(tmp_path):
    handle = work._Shared(path=str(tmp_path / "w.pkl"), sha256="0" * 64)
    (tmp_path / "w.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(OSError, match="not what the driver wrote"):
        work._opened(handle)


class Refusing(Serial):
    """An engine whose scheduler refuses some submissions."""

    def open(self, folder):
        inner, left = super().open(folder), [1, 3, 4]

        def submit(*call):
            left[:] = [k - 1 for k in left]
            if 0 in left:
                raise RuntimeError("Socket timed out")
            return plain(*call)

        plain, inner.submit = inner.submit, submit
        return inner


def test_a_submission_that_fails_is_tried_again(tmp_path):
    found = done(Refusing(), shout, {"prefix": ""}, ["a", "b"], tmp_path)
    assert {k: o.value[0] for k, o in found.items()} == {"a": "A", "b": "B"}


def test_work_that_is_done_at_once_is_told_at_once(tmp_path):
    begun = []

    def note(shared, item):
        begun.append(item)
        return item

    for k, outcome in enumerate(work.perform(Serial(), note, None, [1, 2, 3], tmp_path)):
        assert (outcome.value, begun) == (k + 1, [1, 2, 3][: k + 1])
