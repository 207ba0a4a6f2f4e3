import pytest
import torch

from noisewalk import demo, operators
from noisewalk.data import held_out_images
from noisewalk.loop import Plan
from noisewalk.restore import restore
from noisewalk.samplers.langevin import Langevin


@pytest.fixture(scope="module")
def problems():
    return {task: demo.demo_problem(task) for task in demo.TASKS}


def test_the_truth_is_the_held_out_image_of_its_number(problems):
    pixels = torch.from_numpy(held_out_images()[demo.IMAGE])
    for problem in problems.values():
        assert torch.equal(((problem.truth[0, 0] + 1) * 127.5).round().to(torch.uint8), pixels)
        assert problem.prior_name == demo.PRIOR
        assert str(demo.IMAGE) in problem.title


@pytest.mark.parametrize("task", demo.TASKS)
def test_a_measurement_is_noisy_at_the_stated_level(problems, task):
    problem = problems[task]
    target = problem.target()
    chi2, count = float(target.chi2(problem.truth)), int(target.num_observed)
    assert problem.likelihood.sigma_y == demo.SIGMA_Y
    assert abs(chi2 - 1) < 5 * (2 / count) ** 0.5


def test_most_of_the_image_is_hidden(problems):
    hidden = problems["inpainting"].target()
    assert int(hidden.num_observed) == round(0.2 * hidden.y.numel())
    assert problems["super-resolution"].y.numel() == 1024 // 16
    assert problems["super-resolution"].target().operator == operators.AveragePool(4)


def test_the_plan_is_the_sound_default(problems):
    for problem in problems.values():
        plan = demo.demo_plan(problem)
        assert plan.kernel.adjust
        assert plan.adapt is not None
        assert plan.num_warmup > 0
        assert (plan.num_draws, plan.num_chains, plan.thin, plan.seed) == (40, 4, 1, 0)


def test_one_page_shows_every_run(problems, tmp_path):
    plan = Plan(Langevin(1e-3, adjust=True), 2, 2, 0, 1, None, None, 0)
    for task, problem in problems.items():
        restore(problem, plan, tmp_path / task, "noisewalk demo", resume=True)
    demo.combined_report([tmp_path / task for task in demo.TASKS], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(problem.operator_text in page for problem in problems.values())
    assert "http://" not in page.replace("http://www.w3.org", "")  # one self-contained file
