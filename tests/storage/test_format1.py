import json

import pytest
import torch
from run_edits import as_format

from noisewalk.errors import StoreError
from noisewalk.storage.format1 import converted, named, value_of
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State

KERNEL = (
    "HMC(step_size=0.1, num_leapfrog=8, integrator='gaussian', preconditioner=None, friction=inf)"
)
TARGET = (
    "NoisePosterior(phi=Affine(matrix=Tensor[3, 3]#9e3fd54a, offset=None, nfe=1), "
    "operator=__main__.<lambda>#25ab463f, likelihood=Gaussian(sigma_y=0.5), "
    "y=Tensor[1, 3]#ba1b8c94, observed=None)"
)
ADAM = "Adam(num_steps=200, lr=0.01, betas=(0.9, 0.999), objective='likelihood')"
OLD = {
    "target": TARGET,
    **{"microbatch": None, "dtype": "torch.float32", "device": "cpu", "num_threads": 1},
    "kernel": KERNEL,
    **{"num_draws": 2, "num_chains": 2, "num_warmup": 12, "thin": 1, "warm_start": ADAM},
    **{"adapt": "None", "seed": 0},
    "problem": {"title": "t", "operator": "avgpool:factor=4", "value_range": [0.0, 255.0]},
    "probe": {"size": 2.0},
    "command": "noisewalk sample y.npy",
}


@pytest.fixture
def run(tmp_path):
    """A folder as noisewalk of format 1 left it: the arrays are laid out the same."""
    ones, flags = torch.ones(2), torch.ones(2, dtype=torch.bool)
    with RunStore.create_or_resume(tmp_path, {}, Layout(1, 2, (2,), (3,))) as store:
        state = State(torch.ones(2, 2), torch.ones(2, 3), ones, torch.ones(2, 2))
        store.append(state, Info(ones, flags, ~flags), {"n": 1}, {})
        store.mark_complete()
    as_format(tmp_path, 1)
    old = {"noisewalk": "0.1.0", "format": 1, **OLD}
    (tmp_path / "spec.json").write_text(json.dumps(old, indent=2))
    return tmp_path


def test_a_run_of_format_1_is_read_in_the_shape_of_format_2(run):
    stored = open_store(run)
    assert (stored.format, stored.version, stored.num_draws, stored.complete) == (
        1,
        "0.1.0",
        1,
        True,
    )
    assert torch.equal(stored.arrays["x"][...], torch.ones(1, 2, 1, 3))
    assert stored.sampler == {"n": 1}
    assert stored.spec == {
        "map": {
            "name": "Affine",
            "text": "Affine(matrix=Tensor[3, 3]#9e3fd54a, offset=None, nfe=1)",
        },
        "operator": {"name": "__main__.<lambda>", "text": "__main__.<lambda>#25ab463f"},
        "likelihood": {"name": "Gaussian", "sigma_y": 0.5, "text": "Gaussian(sigma_y=0.5)"},
        "y": {"name": "Tensor", "text": "Tensor[1, 3]#ba1b8c94"},
        "plan": {
            "kernel": {
                **{"name": "HMC", "step_size": 0.1, "num_leapfrog": 8, "integrator": "gaussian"},
                **{"preconditioner": None, "friction": "inf", "exact": True, "text": KERNEL},
            },
            **{"num_draws": 2, "num_chains": 2, "num_warmup": 12, "thin": 1, "seed": 0},
            "warm_start": {
                **{"name": "Adam", "num_steps": 200, "lr": 0.01, "betas": [0.9, 0.999]},
                **{"objective": "likelihood", "text": ADAM},
            },
            "adapt": None,
        },
        "problem": {"title": "t", "operator": "avgpool:factor=4", "range": [0.0, 255.0]},
        **{key: OLD[key] for key in ("microbatch", "dtype", "device", "num_threads")},
        **{key: OLD[key] for key in ("probe", "command")},
    }


def test_a_run_of_format_1_is_not_continued_and_not_touched(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for resume in (True, False):
        with pytest.raises(
            StoreError, match="format 1: it can be read and reported, not continued"
        ):
            RunStore.create_or_resume(run, {}, Layout(1, 2, (2,), (3,)), resume=resume)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_edited_specifications_of_format_1_are_one_line(run):
    changes = [{"kernel": 3}, {"kernel": None}, {"num_draws": "two"}, {"problem": []}, {"probe": 1}]
    changes += [{"problem": {"value_range": [0, 0]}}, {"command": 3}, {"thin": True}]
    for change in changes:
        text = json.dumps({"noisewalk": "0.1.0", "format": 1, **OLD, **change})
        (run / "spec.json").write_text(text)
        with pytest.raises(StoreError, match=r"spec\.json") as caught:
            open_store(run)
        assert "\n" not in str(caught.value)


def test_text_that_does_not_parse_stays_text():
    assert converted({"target": 3, "kernel": "mine.Walk#12345678"}) == {
        "target": 3,
        "plan": {"kernel": {"name": "mine.Walk", "text": "mine.Walk#12345678", "exact": False}},
    }
    assert named("Langevin(step_size=0.1, adjust=True)")["adjust"] is True
    assert (
        converted({"kernel": "Langevin(step_size=0.1, adjust=False)"})["plan"]["kernel"]["exact"]
        is False
    )
    for text in ("mine.Walk#1", "{1, 2}", "b'x'", "1j", "(" * 500, "\ud800", "a\0b", "-" * 10_000):
        assert value_of(text) == text
    assert value_of("0.5") == 0.5
    assert value_of(7) == 7
