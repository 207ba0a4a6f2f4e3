"""The tuned weights on the bundled prior: guidance lowers the residual of the measurement on the
linear tasks."""

from functools import partial

import pytest
import torch

import noisewalk as nw
from noisewalk.cli.demo.images import held_out_images
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.presets import SMALL, Guided, preset
from noisewalk.evaluate.paper.tasks import LINEAR, tasks_for
from noisewalk.priors.train.data import to_unit

GUIDED = [name for name in SMALL if not name.startswith("ours")]


@pytest.fixture(scope="module")
def priors() -> dict[str, nw.types.Denoiser]:
    return {
        "cm": nw.load_prior("fashion32").denoiser,
        "dm": nw.load_prior("fashion32-edm").denoiser,
    }


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    """A real held-out image."""
    return to_unit(torch.from_numpy(held_out_images(1)).movedim(-1, 1))


@pytest.mark.parametrize("name", GUIDED)
def test_a_tuned_weight_lowers_the_residual_of_every_linear_task(priors, truth, name: str) -> None:
    method = METHODS[name]
    for task in (tasks_for(tuple(truth.shape[1:]))[key] for key in LINEAR):
        found = preset("small", name, task.name)
        assert isinstance(found, Guided)
        operator, likelihood = (
            nw.operators.parse(task.operator, tuple(truth.shape[1:])),
            nw.likelihoods.Gaussian(task.sigma_y),
        )
        y = likelihood.sample(
            operator(truth), nw.noise.rows(0, 1), getattr(operator, "observed", None)
        )
        copies = {} if found.num_mc is None else {"num_mc": found.num_mc}
        run = partial(
            getattr(nw.baselines, method.family),
            priors[method.backbone],
            operator,
            y,
            1,
            found.num_steps,
            **copies,
        )
        seen = getattr(operator, "observed", None)
        residual = {}
        for zeta in (0.0, found.zeta):
            gap = operator(run(zeta=zeta)[:, 0]) - y
            residual[zeta] = float(
                (gap if seen is None else gap[seen.expand_as(gap)]).square().mean().sqrt()
            )
        assert residual[found.zeta] < 0.8 * residual[0.0], (task.name, residual)
