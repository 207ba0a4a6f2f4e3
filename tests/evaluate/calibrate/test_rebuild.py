"""Law: the posterior of a stored run is made anew as it was, or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk._repr import facts_of
from noisewalk.errors import ConfigError
from noisewalk.evaluate.calibrate.rebuild import _map, _typed, target_of
from noisewalk.operators.parser import held_by
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw

TEXT = "avgpool:factor=4+mask:holes.npy"


def stored(
    folder: Path, problem: Mapping[str, Any], command: str = "noisewalk sample"
) -> tuple[nw.Run, nw.NoisePosterior]:
    """A run of two draws, of a measurement with a gap, whose mask file is gone."""
    holes = folder / "holes.npy"
    np.save(holes, np.arange(64).reshape(8, 8) % 3 > 0)
    operator = nw.operators.parse(TEXT.replace("holes.npy", str(holes)), (1, 32, 32))
    holes.unlink()
    y = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    observed = torch.ones_like(y, dtype=torch.bool)
    observed[..., 0, 1] = False
    phi = nw.load_prior("fashion32").map(num_steps=2, seed=5)
    likelihood = nw.likelihoods.StudentT(3.0, 0.2)
    target = nw.NoisePosterior(phi, operator, likelihood, y, observed, microbatch=3)
    settings: dict[str, Any] = {"num_draws": 2, "num_chains": 1, "num_warmup": 0}
    plan = resolve(target, nw.EllipticalSlice(), warm_start=None, **settings)
    arrays = {name: value[None] for name, value in held_by(operator).items()}
    return draw(plan, target, folder / "run", False, problem, arrays, command), target


PROBLEM = {"prior": "fashion32", "operator": TEXT, "likelihood": "studentt:df=3.0,scale=0.2"}


def test_a_stored_runs_posterior_is_made_anew(tmp_path: Path) -> None:
    run, target = stored(tmp_path, PROBLEM)
    assert run.folder == tmp_path / "run"
    found = target_of(run)
    assert found.facts() == target.facts()
    z = run.z[:, :, 0].flatten(0, 1)
    assert torch.equal(found(z).nll, target(z).nll)
    torch.testing.assert_close(found(z).nll, run.nll[0, :, 0])
    assert target_of(run, "cpu", 7).microbatch == 7


def test_what_would_be_another_posterior_is_refused(tmp_path: Path) -> None:
    _, target = stored(tmp_path, PROBLEM)
    spec = tmp_path / "run" / "spec.json"
    told = json.loads(spec.read_text())
    del told["checksum"]
    for key, value, says in (
        ("likelihood", "studentt:df=4.0,scale=0.2", "the likelihood made anew"),
        ("operator", "avgpool:factor=4", "the operator made anew"),
        ("prior", "fashion32-ct", "the map made anew"),
    ):
        spec.write_text(json.dumps({**told, "problem": {**PROBLEM, key: value}}))
        with pytest.raises(ConfigError, match=says):
            target_of(nw.open_run(tmp_path / "run"))
    spec.write_text(json.dumps({**told, "problem": {"title": "made in Python"}}))
    with pytest.raises(ConfigError, match="target="):
        target_of(nw.open_run(tmp_path / "run"))
    memory = nw.sample(
        target, nw.EllipticalSlice(), 1, 1, num_warmup=0, warm_start=None, progress=False
    )
    with pytest.raises(ConfigError, match=r"a run in memory .*target="):
        target_of(memory)


def test_the_command_says_how_the_weights_were_read() -> None:
    words = (
        "noisewalk sample 'my --size.png' --label=30 --head-channels 32 --dtype bfloat16 --out a"
    )
    assert _typed(words) == {"label": 30.0, "head_channels": 32, "dtype": torch.bfloat16}
    assert _typed("") == {}


def test_every_map_of_a_prior_is_made_from_its_facts() -> None:
    student, teacher = nw.load_prior("fashion32"), nw.load_prior("fashion32-edm")
    for prior, phi in (
        (student, student.map()),
        (student, student.map(2, 1.5, seed=3)),
        (teacher, teacher.ode_map(num_steps=4, solver="euler", gradient="direct")),
    ):
        assert facts_of(_map(prior, facts_of(phi))) == facts_of(phi)
