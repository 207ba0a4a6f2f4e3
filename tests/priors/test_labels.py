"""One label, or one for each image of a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.maps.per_image import Labels
from noisewalk.priors.labels import checked_label, class_of

CARD = {"label": {"name": "class", "lowest": 0, "highest": 9, "whole": True}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A consistency and a diffusion model of ten classes."""
    from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,),
            layers_per_block=1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
            norm_num_groups=4, num_class_embeds=10,
        )  # fmt: skip
    found = {}
    for name, scheduler in (("cm", CMStochasticIterativeScheduler()), ("ddim", DDIMScheduler())):
        found[name] = tmp_path_factory.mktemp(name)
        network.save_pretrained(found[name] / "unet")
        scheduler.save_pretrained(found[name] / "scheduler")
    return found


def map_of(prior: Any) -> Any:
    return prior.map() if prior.kind == "consistency" else prior.ode_map(2)


@pytest.mark.parametrize("name", ["cm", "ddim"])
def test_chains_of_an_image_have_its_label(name: str, folders: dict[str, Path]) -> None:
    both = map_of(nw.load_prior(folders[name], label=[3, 5]))
    three, five = (map_of(nw.load_prior(folders[name], label=k)) for k in (3, 5))
    z = nw.noise.rows(0, 4).normal(both.shape, nw.noise.INIT)
    with torch.no_grad():
        wanted = torch.cat([three(z[:2]), five(z[2:])])
        assert not torch.allclose(wanted, three(z), atol=1e-4)
        torch.testing.assert_close(both(z), wanted)
    operator, likelihood = nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.3)
    y = torch.zeros(2, 1, 4, 4)
    target = nw.NoisePosterior(both, operator, likelihood, y, microbatch=3)
    state = target(z)
    torch.testing.assert_close(state.x, wanted)
    alone = [nw.NoisePosterior(phi, operator, likelihood, y[:1]) for phi in (three, five)]
    grads = [one(part).grad for one, part in zip(alone, z.split(2), strict=True)]
    torch.testing.assert_close(state.grad, torch.cat(grads), rtol=1e-4, atol=1e-4)


def test_windows_take_one_label(folders: dict[str, Path]) -> None:
    prior = nw.load_prior(folders["cm"], label=[3, 5])
    assert prior.map(shape=(16, 16))(torch.zeros(2, 1, 16, 16)).shape == (2, 1, 16, 16)
    with pytest.raises(ConfigError, match="windows take one label for all images"):
        prior.map(shape=(16, 16), window=8, margin=0)


def test_a_label_is_checked_one_by_one() -> None:
    assert checked_label("p", CARD, 3.0) == 3
    assert checked_label("p", CARD, np.array([3, 5])) == (3, 5)
    assert checked_label("p", CARD, torch.tensor([3, 5])) == (3, 5)
    assert isinstance(class_of("p", dict(CARD), (3, 5), 10), Labels)
    assert class_of("p", dict(CARD), 3, 10) == 3
    for bad, told in ((12, "got 12"), ([3, 12], "got 12"), ("x", "got 'x'"), ([], "holds no")):
        with pytest.raises(ConfigError, match=told):
            checked_label("p", CARD, bad)
    with pytest.raises(ConfigError, match=r"takes no label, got \[3\]"):
        checked_label("p", {}, [3])
    with pytest.raises(ConfigError, match="needs a label"):
        checked_label("p", CARD, None)
