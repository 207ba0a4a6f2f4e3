import numpy as np
import pytest
import torch

from noisewalk import operators
from noisewalk.cli.demo import demo
from noisewalk.cli.demo.images import FILES, held_out_images
from noisewalk.cli.main import main
from noisewalk.cli.restore import restore
from noisewalk.errors import ConfigError
from noisewalk.kernels.langevin import Langevin
from noisewalk.priors.load import load_prior
from noisewalk.sampling.chains import Chains

BOTH = [(prior, task) for prior, example in demo.EXAMPLES.items() for task in example.tasks]


@pytest.fixture(scope="module")
def problems():
    return {(prior, task): demo.demo_problem(task, prior) for prior, task in BOTH}


@pytest.mark.parametrize(("prior", "task"), BOTH)
def test_the_truth_is_the_held_out_image_of_its_number(problems, prior, task):
    problem, number = problems[prior, task], demo.EXAMPLES[prior].image
    pixels = torch.from_numpy(held_out_images(prior=prior)[number]).movedim(-1, 0)
    assert torch.equal(((problem.truth[0] + 1) * 127.5).round().to(torch.uint8), pixels)
    assert problem.prior_name == prior
    assert str(number) in problem.title


@pytest.mark.parametrize(("prior", "task"), BOTH)
def test_a_measurement_is_noisy_at_the_stated_level(problems, prior, task):
    problem = problems[prior, task]
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


@pytest.mark.parametrize(("prior", "task"), BOTH)
def test_the_plan_is_the_sound_default(problems, prior, task):
    plan, example = demo.demo_plan(problems[prior, task]), demo.EXAMPLES[prior]
    assert plan.kernel.adjust
    assert plan.adapt is not None
    assert (plan.num_draws, plan.num_warmup, plan.num_chains, plan.thin, plan.seed) == (
        example.num_draws,
        example.num_warmup,
        4,
        1,
        0,
    )


def test_a_prior_without_an_example_is_refused():
    with pytest.raises(ConfigError, match=r"satellite64, fashion32"):
        demo.demo_problem("clouds", "terrain128")


def test_without_a_choice_the_first_two_tasks_are_restored():
    assert demo.tasks_of("satellite64") == ["super-resolution", "clouds"]
    assert demo.tasks_of("satellite64", ["box"]) == ["box"]
    with pytest.raises(
        ConfigError,
        match=r"no task 'inpainting': choose --task from super-resolution, clouds, box, deblurring",
    ):
        demo.tasks_of("satellite64", ["box", "inpainting"])


def test_one_page_shows_every_run(problems, tmp_path):
    plan = Chains(Langevin(1e-3, adjust=True), 2, 2, 0, 1, None, None, 0)
    for (prior, task), problem in problems.items():
        restore(problem, plan, tmp_path / prior / task, "noisewalk demo", resume=True)
    demo.combined_report(
        [tmp_path / prior / task for prior, task in BOTH], tmp_path / "report.html"
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(problem.operator_text in page for problem in problems.values())
    assert "http://" not in page.replace("http://www.w3.org", "")  # one self-contained file


def test_the_command_restores_both_priors_into_one_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        demo,
        "demo_plan",
        lambda problem, seed: Chains(Langevin(1e-3, adjust=True), 2, 2, 0, 1, None, None, seed),
    )
    for prior, tasks in {
        "satellite64": ["--task", "deblurring", "--task", "box"],
        "fashion32": [],
    }.items():
        monkeypatch.setattr(
            "sys.argv", ["noisewalk", "demo", "--prior", prior, *tasks, "--out", str(tmp_path)]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, capsys.readouterr().err
        assert demo.EXAMPLES[prior].source in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "fashion32-inpainting",
        "fashion32-super-resolution",
        "satellite64-box",
        "satellite64-deblurring",
    ]


@pytest.mark.parametrize("prior", FILES)
def test_bundled_images_fit_their_prior(prior):
    images = held_out_images(prior=prior)
    channels, height, width = load_prior(prior).shape
    assert images.shape == (100, height, width, channels)
    assert images.dtype == np.uint8


def test_landsat_crops_have_no_empty_pixel():
    assert held_out_images(prior="satellite64").min() > 0


def test_images_of_another_prior_are_told():
    with pytest.raises(ConfigError, match="satellite64"):
        held_out_images(prior="terrain128")
