"""Law: the presets are the paper's tables, cell by cell, and say where each value is from."""

import json
from dataclasses import astuple
from pathlib import Path

import pytest

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.presets import (
    APPENDIX_D,
    SMALL,
    TABLE_A1,
    TABLE_A2,
    Guided,
    Walk,
    dataset_of,
    preset,
)
from noisewalk.evaluate.paper.tasks import LINEAR, SIGMA_Y, TASKS

ZETAS = {  # Table A.1, row by row as printed
    "dps-dm": (25, 7, 25, 15, 10, 5),
    "mpgd-dm": (25, 15, 25, 7, 1, 5),
    "lgd-dm": (25, 25, 7, 9, 1, 30),
    "dps-cm": (25, 7, 25, 8, 9, 4),
    "mpgd-cm": (None, None, None, 15, 3, 30),
    "lgd-cm": (25, 7, 5, 15, 0.5, 15),
}
COPIES = {"lgd-dm": (1, 10, 25, 10, 10, 10), "lgd-cm": (1, 1, 1, 10, 10, 10)}
WALKS = {  # K, learning rate, tau
    "ours1": (
        (800, 5e-3, 1e-5),
        (800, 5e-3, 1e-6),
        (800, 5e-3, 1e-5),
        (800, 5e-3, 5e-6),
        (200, 1e-3, 1e-6),
        (800, 5e-3, 1e-6),
    ),
    "ours2": (
        (800, 5e-3, 1e-5),
        (800, 5e-3, 1e-7),
        (800, 5e-3, 1e-5),
        (500, 5e-3, 5e-6),
        (500, 1e-7, 1e-6),
        (500, 5e-3, 1e-6),
    ),
}
ZETAS_64 = {
    "dps-dm": (20, 15, 30),
    "lgd-dm": (3, 1, 5),
    "dps-cm": (30, 30, 25),
    "lgd-cm": (3, 7, 6),
}
WALKS_64 = {
    "ours1": ((800, 1e-2, 5e-4), (800, 1e-2, 3e-5), (800, 1e-2, 1e-4)),
    "ours2": ((500, 5e-2, 1e-4), (500, 5e-2, 3e-5), (500, 5e-2, 1e-4)),
}


def test_table_a1_guided():
    for method in ZETAS:
        for k, task in enumerate(TASKS):
            cell, zeta = TABLE_A1[method][task], ZETAS[method][k]
            assert (None if cell is None else cell.zeta) == zeta
            if cell is not None:
                assert (cell.num_steps, cell.num_mc, cell.source) == (
                    100,
                    COPIES.get(method, [None] * 6)[k],
                    "Table A.1",
                )


def test_ours():
    both = (TABLE_A1, WALKS, "Table A.1"), (TABLE_A2, WALKS_64, "Table A.2")
    for table, walks, source in both:
        for method, cells in walks.items():
            assert len(table[method]) == len(cells)
            for task, cell in zip(TASKS, cells, strict=False):
                assert astuple(table[method][task]) == (*cell, (0.9, 0.999), 10, source)


def test_table_a2_guided():
    assert set(TABLE_A2) == {*ZETAS_64, "ours1", "ours2"}
    for method, zetas in ZETAS_64.items():
        copies = 10 if method.startswith("lgd") else None
        assert [TABLE_A2[method][task] for task in LINEAR] == [
            Guided(zeta, 100, copies, "Table A.2") for zeta in zetas
        ]


def test_appendix_d_changes_the_step_alone():
    assert APPENDIX_D == {"inpaint": 4e-4, "sr": 9e-4, "blur": 5e-5}
    for task, tau in APPENDIX_D.items():
        found, base = preset("imagenet64", "diverse", task), TABLE_A2["ours1"][task]
        assert (found.step_size, found.source) == (tau, "Appendix D")
        assert (found.adam_steps, found.lr, found.betas) == (base.adam_steps, base.lr, base.betas)


def test_every_preset_names_its_source():
    for dataset in ("bedroom256", "imagenet64", "small"):
        for method in {m.preset for m in METHODS.values()}:
            for task in SIGMA_Y:
                found = preset(dataset, method, task)
                assert found is None or found.source.startswith(
                    ("Table A.1", "Table A.2", "Appendix D", "assumed", "tuned")
                )


def test_another_prior_than_the_tuned_one_is_said_to_take_its_settings():
    for method in ("dps-dm", "ours1", "cmedit"):
        assert preset("small", method, "sr", prior="own").source.startswith("assumed")
    assert preset("small", "dps-dm", "sr").source.startswith("tuned")
    assert preset("small", "dps-dm", "sr", prior="satellite64").source.startswith("tuned")
    assert preset("small", "dps-dm", "hdr", prior="satellite64").source.startswith("assumed")


def test_what_the_paper_does_not_print_is_assumed():
    assert (
        "assumed" in preset("bedroom256", "ours1", "sr", num_samples=25).source
    )  # Table A.3 has no values
    assert "assumed" in preset("bedroom256", "cmedit", "inpaint").source
    assert preset("bedroom256", "cmedit", "sr") is None
    assert preset("bedroom256", "mpgd-cm", "blur") is None
    assert preset("imagenet64", "mpgd-dm", "sr") is None
    assert preset("imagenet64", "ours1", "hdr") is None


def test_small_priors_have_every_row_at_one_share_of_the_papers_budget():
    for method in SMALL:
        assert set(SMALL[method]) == set(SIGMA_Y)
        assert all(preset("small", method, task) for task in SIGMA_Y)
    assert preset("small", "dps-dm", "sr").num_steps / TABLE_A2["dps-dm"]["sr"].num_steps == 0.4
    for method in ("ours1", "ours2"):
        for task in LINEAR:
            found, papers = preset("small", method, task), TABLE_A2[method][task]
            assert found.adam_steps / papers.adam_steps == 0.4
            assert (found.betas, found.step_size, found.num_draws) == (
                papers.betas,
                papers.step_size,
                papers.num_draws,
            )
        assert isinstance(preset("small", method, "hdr"), Walk)


@pytest.mark.parametrize("prior", ["fashion32", "satellite64"])
def test_tuned_values_are_those_of_the_log(prior):
    name = {"fashion32": "tune_baselines.json", "satellite64": "tune_satellite64.json"}[prior]
    log = json.loads((Path(__file__).parents[3] / "benchmarks" / name).read_text())
    assert log["prior"] == prior
    assert set(log["trials"]) == set(SMALL)
    for method, tasks in log["trials"].items():
        assert set(tasks) == set(SIGMA_Y if prior == "fashion32" else {*LINEAR, "nonlinear"})
        for task, trial in tasks.items():
            found = preset("small", method, task, prior=prior)
            assert (found.lr if isinstance(found, Walk) else found.zeta) == trial["chosen"]
            assert found.source.startswith("tuned")
            tried = sorted(map(float, trial["psnr"]))
            assert tried[0] < trial["chosen"] < tried[-1]  # not at the end of what was tried
            lowering = [value for value, left in trial["residual"].items() if left < 0.8]
            assert trial["psnr"][str(trial["chosen"])] == max(
                trial["psnr"][value] for value in lowering
            )


def test_the_settings_follow_the_prior():
    assert dataset_of("openai/diffusers-cd_bedroom256_lpips") == "bedroom256"
    assert dataset_of("cd_imagenet64_lpips.pt") == "imagenet64"
    assert dataset_of("fashion32") == "small"


def test_an_unknown_cell_is_refused():
    cells = ("moon", "ours1", "sr"), ("small", "nobody", "sr"), ("small", "ours1", "colouring")
    for change in cells:
        with pytest.raises(ConfigError):
            preset(*change)
