"""A job is `noisewalk` in a process of its own."""

import sys

import pytest

from noisewalk.app import job as of
from noisewalk.app.job import Job


@pytest.fixture
def started(tmp_path, preview, monkeypatch):
    monkeypatch.setattr(of, "PRELOADED", [])

    def start(*words):
        job = Job(tmp_path, list(words), preview)
        job.begin()
        job.wait(100)
        assert not job.alive
        return job

    return start


def test_a_job_prints_into_its_log_and_ends_well(started):
    job = started("--version")
    assert job.fault() is None
    assert (job.folder / of.LOG).read_text().strip()


def test_the_error_of_a_command_is_the_sentence_of_its_job(started):
    problem = ["--prior", "fashion32", "--operator", "identity", "--sigma-y", "1"]
    assert "absent.png does not exist" in started("sample", "absent.png", *problem).fault()


def test_a_job_that_is_stopped_before_it_begins_never_does(tmp_path, preview):
    job = Job(tmp_path, ["--version"], preview)
    job.stop()
    job.begin()
    assert (job.process, job.alive, job.fault()) == (None, False, None)


def test_a_job_that_is_killed_says_so(tmp_path, preview):
    class Killed:
        exitcode = -9

    job = Job(tmp_path, [], preview, process=Killed())
    assert "exit status -9" in job.fault()


def test_processes_are_copies_of_one_that_has_imported_the_packages_where_that_is_known():
    usual = "spawn" if sys.platform == "win32" else "forkserver"
    assert of.context().get_start_method() == usual
