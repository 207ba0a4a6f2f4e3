"""The demo's problems, its plan and its page."""

import pytest
import torch

from noisewalk import operators
from noisewalk.cli.demo import demo
from noisewalk.cli.demo.images import held_out_images
from noisewalk.cli.run_problem import solve
from noisewalk.errors import ConfigError
from noisewalk.kernels.langevin import Langevin
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.defaults import resolve

BOTH = [(prior, task) for prior, example in demo.EXAMPLES.items() for task in example.tasks]


@pytest.fixture(scope="module")
def problems():
    return {(prior, task): demo.demo_problem(task, prior) for prior, task in BOTH}


def test_the_truth_is_the_held_out_image_of_its_number(problems):
    for (prior, _), problem in problems.items():
        number = demo.EXAMPLES[prior].image
        pixels = torch.from_numpy(held_out_images(prior=prior)[number]).movedim(-1, 0)
        assert torch.equal(((problem.truth[0] + 1) * 127.5).round().to(torch.uint8), pixels)
        assert problem.prior_name == prior
        assert str(number) in problem.title


def test_a_measurement_is_noisy_at_the_stated_level(problems):
    for (prior, _), problem in problems.items():
        target = problem.target()
        chi2, count = float(target.chi2(problem.truth)), int(target.num_observed)
        assert problem.likelihood.sigma_y == demo.EXAMPLES[prior].sigma_y
        assert abs(chi2 - 1) < 5 * (2 / count) ** 0.5


def test_most_of_the_image_is_hidden(problems):
    hidden = problems["fashion32", "inpainting"].target()
    assert int(hidden.num_observed) == round(0.2 * hidden.y.numel())
    clouds = problems["satellite64", "clouds"].target()
    assert int(clouds.num_observed) == clouds.y.numel() // 2
    for prior, pixels in (("fashion32", 1024), ("satellite64", 3 * 4096)):
        problem = problems[prior, "super-resolution"]
        assert problem.y.numel() == pixels // 16
        assert problem.target().operator == operators.AveragePool(4)


def test_satellite_images_are_in_reflectance(problems):
    value_range = problems["satellite64", "clouds"].value_range
    assert (value_range.low, value_range.high) == (0.0, 0.2)


def test_the_plan_is_the_sound_default(problems):
    for problem in problems.values():
        plan, usual = demo.demo_plan(problem.target()), resolve(problem.target())
        assert (repr(plan.kernel), plan.adapt) == (repr(usual.kernel), usual.adapt)
        assert (plan.warm_start, plan.refresh) == (usual.warm_start, usual.refresh)
        assert (plan.num_chains, plan.num_draws, plan.seed) == (12, 1, 0)
        assert plan.num_chains < usual.num_chains


def test_a_prior_without_an_example_is_refused():
    with pytest.raises(ConfigError, match=r"satellite64, fashion32"):
        demo.demo_problem("clouds", "terrain128")


def test_without_a_choice_the_first_two_tasks_are_restored():
    assert demo.tasks_of("satellite64") == ["super-resolution", "deblurring"]
    assert demo.tasks_of("satellite64", ["box"]) == ["box"]
    with pytest.raises(
        ConfigError, match=r"'inpainting': choose one of super-resolution, deblurring, clouds, box"
    ):
        demo.tasks_of("satellite64", ["box", "inpainting"])


def test_one_page_shows_every_run(problems, tmp_path):
    plan, folders = Chains(Langevin(1e-3, adjust=True), 2, 2, 0, 1, None, None, 0), []
    for (prior, task), problem in problems.items():
        folders.append(tmp_path / prior / task)
        solve(problem, problem.target(), plan, folders[-1], "", resume=True)
    entries = demo.combined_report(folders, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(problem.operator_text in page for problem in problems.values())
    assert all(f'href="{folder.name}/mean.npy"' in page for folder in folders)
    path, verdict = demo.ending(entries[:1], tmp_path / "report.html").splitlines()
    assert path == f"open {tmp_path / 'report.html'}"
    assert verdict.endswith(".")
    assert "http://" not in page.replace("http://www.w3.org", "")  # one self-contained file
