"""A visitor's job: it begins, is looked at, ends or is stopped."""

import math
from dataclasses import replace

import pytest
from tiny_runs import store_tiny_run

from noisewalk.app.desk import Desk, cleaned_fault, error, glance, last_look, told
from noisewalk.app.job import Job
from noisewalk.errors import ConfigError
from noisewalk.sampling.watch import Progress


class Done:
    """A process that has sampled before it is asked."""

    def __init__(self, exitcode=0):
        self.exitcode = exitcode

    def is_alive(self):
        return False

    def join(self, _):
        pass


@pytest.fixture
def job(tmp_path, preview):
    (tmp_path / "work").mkdir()
    return Job(tmp_path / "work", ["sample", "y.npy"], preview)


@pytest.fixture
def desk(root, monkeypatch):
    def begin(job):
        if not job.stopped:
            store_tiny_run(job.run)
            job.process = Done()

    monkeypatch.setattr(Job, "begin", begin)
    return Desk(root)


def test_a_job_ends_with_its_draws_a_verdict_and_files(desk, boot):
    job = desk.begin("a", boot)
    assert {path.name for path in job.folder.iterdir()} == {"ankle-boot.png"}
    *_, last = desk.looks("a")
    assert last.ended
    assert last.view.num_draws == 6
    assert last.files[0].endswith(".zip")
    assert "Done. 6 draws" in last.status
    assert "choose Careful" in last.view.verdict
    assert desk.jobs == {}


def test_a_careful_job_is_sent_to_the_command_line_for_options(job):
    store_tiny_run(job.run)
    job.process = Done()
    last = last_look(job)
    assert "press Copy command" in last.view.verdict
    assert "choose Careful" not in last.view.verdict


def test_two_visitors_have_jobs_of_their_own(desk, boot):
    jobs = [desk.begin(name, replace(boot, seed=k)) for k, name in enumerate("ab")]
    assert jobs[0].folder != jobs[1].folder
    assert desk.stop("a")
    assert (jobs[0].stopped, jobs[1].stopped) == (True, False)
    assert not desk.stop("a")
    assert list(desk.looks("b"))[-1].view.num_draws == 6


def test_a_new_job_of_a_visitor_stops_the_one_before(desk, boot):
    first = desk.begin("a", boot)
    desk.begin("a", boot)
    assert first.stopped


def test_a_job_that_was_cancelled_while_it_waited_says_nothing_more(desk):
    assert list(desk.looks("a")) == []


def test_choices_that_do_not_fit_begin_no_job(desk, boot):
    with pytest.raises(ConfigError, match="nothing is painted"):
        desk.begin("a", replace(boot, problem="A missing region, which I paint"))
    assert desk.jobs == {}


def test_new_draws_are_shown_once(job):
    assert glance(job, 0).view is None  # there is no run yet
    store_tiny_run(job.run)
    assert glance(job, 0).view.num_draws == 6
    assert glance(job, 6).view is None


def test_what_was_drawn_before_a_cancel_is_kept(job):
    store_tiny_run(job.run)
    job.process, job.stopped = Done(143), True
    look = last_look(job)
    assert look.view.num_draws == 6
    assert len(look.files) > 2
    assert look.ended


def test_a_cancel_before_the_first_draw_and_a_failure_are_sentences(job):
    job.process, job.stopped = Done(143), True
    assert "before the first draw" in last_look(job).status
    job.process, job.stopped = Done(2), False
    (job.folder / "log.txt").write_text(f"x\nerror: {job.folder}/y.npy is <bad>\n")
    assert last_look(job).status == '<p class="nw-error" role="alert">Y.npy is &lt;bad&gt;</p>'
    assert cleaned_fault(f"{job.folder}/y", job) == "y"
    assert error("a & b").endswith("A &amp; b</p>")


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("run", "begins"), "0 % network is being loaded"),
        (Progress("run", "starts", 0, 6, share=0.5, seconds_left=30.0), "50 % starts 30 s left"),
        (Progress("run", "draws", 1, 6, share=0.6, seconds_left=600.0), "1 of 6 10 min left"),
        (Progress("run", "done", 6, 6, share=1.0, seconds_left=0.0), "100 % report written"),
        (Progress("run", "draws, stopped", 1, 6, seconds_left=math.nan), "The chains draw"),
    ],
)
def test_progress_is_told_with_the_time_that_is_left(progress, words):
    html = told(progress)
    assert "<progress" in html
    assert all(word in html for word in words.split())
    assert "ends" in told(progress, stopped=True)
