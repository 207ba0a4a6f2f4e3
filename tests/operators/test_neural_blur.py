import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.noise import PROBE, rows
from noisewalk.operators import NeuralBlur, output_shape_of
from noisewalk.operators.neural_blur import adapt, expected_shapes

NEEDED = {
    key: shape
    for key, shape in expected_shapes().items()
    if not key.startswith("kernel_extractor.")
}
SMALL = 8
"""How many times narrower the network of the cheap tests is; one of 128 x 128 images, the least
that it takes."""


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, h):
        return h + self.conv2(torch.relu(self.conv1(h)))


class Level(nn.Module):
    """One level of the U-Net as the published code has it: activations overwrite what they are
    given."""

    def __init__(
        self, outer: int, inner: int, inside: "Level | None", outermost: bool = False
    ) -> None:
        super().__init__()
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=False)
        up = [nn.ReLU(True), nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=outermost)]
        self.outermost = outermost
        self.down = (
            nn.Sequential(down) if outermost else nn.Sequential(nn.LeakyReLU(0.2, True), down)
        )
        if inside is not None:
            self.submodule = inside
        self.up = nn.Sequential(*up, nn.Tanh()) if outermost else nn.Sequential(*up)

    def forward(self, h, k):
        inside = self.down(h)
        inside = (
            self.submodule(inside, k) if hasattr(self, "submodule") else torch.cat((inside, k), 1)
        )
        up = self.up(inside)
        return up if self.outermost else torch.cat((up, h), 1)


class Published(nn.Module):
    """The network in modules with the published keys, without the part that estimates k."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        steps = [nn.Conv2d(3, width, 3, 1, 1), nn.LeakyReLU(0.1)]
        steps += [
            nn.Conv2d(width, width, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.LeakyReLU(0.1),
        ]
        self.feature_extractor = nn.Sequential(*steps, *(Residual(width) for _ in range(10)))
        unet = Level(8 * width, 8 * width, None)
        for outer in (4, 2, 1):
            unet = Level(outer * width, 2 * outer * width, unet)
        self.adapter = nn.Module()
        self.adapter.model = Level(width, width, unet, outermost=True)
        steps = [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)]
        steps += [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)]
        steps += [nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv2d(width, 3, 3, 1, 1)]
        self.recon_trunk = nn.Sequential(*(Residual(width) for _ in range(20)), *steps)

    def forward(self, u, k):
        return u + self.recon_trunk(self.adapter.model(self.feature_extractor(u), k))


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return rows(seed, 1).normal(shape, PROBE, dtype)[0]


def small_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    sides = [side if side == 3 else side // SMALL for side in shape[:2]]
    return (*sides, *shape[2:])


def spread(key: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Weights that keep the size of what goes through, thirty residual blocks included."""
    return (
        draw(shape, seed)
        / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else 100)
        * (0.2 if "conv2" in key else 1)
    )


SMALL_WEIGHTS = {
    key: spread(key, small_shape(shape), 10 + i) for i, (key, shape) in enumerate(NEEDED.items())
}
CODE = draw((512 // SMALL, 1, 1), 1)


def small(x: torch.Tensor) -> torch.Tensor:
    return adapt(SMALL_WEIGHTS, x, CODE)


def hollow(
    shapes: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """Tensors of these shapes that hold one number each in memory and in a file."""
    return {
        key: torch.full((1,), 0.001, dtype=dtype).expand(shape) for key, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Iterator[Path]:
    """A file of the whole layout with random numbers where A reads."""
    path = tmp_path_factory.mktemp("bkse") / "GOPRO_wVAE.pth"
    generator = torch.Generator().manual_seed(0)
    bounds = {
        key: 1 / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else 100)
        for key, shape in NEEDED.items()
    }
    weights = {
        key: torch.empty(shape).uniform_(-bounds[key], bounds[key], generator=generator)
        for key, shape in NEEDED.items()
    }
    torch.save(hollow(expected_shapes()) | weights, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def operator(full) -> NeuralBlur:
    return NeuralBlur(full, seed=3)


def test_the_layout_has_the_published_totals():
    count = {key: math.prod(shape) for key, shape in expected_shapes().items()}
    assert (len(count), sum(count.values())) == (159, 115_265_475)
    assert sum(count[key] for key in NEEDED) == 23_662_531


def test_the_keys_are_those_of_the_published_modules():
    with torch.device("meta"):
        network = Published()
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == NEEDED


def test_equals_the_published_network_with_its_activations_in_place():
    network = Published(64 // SMALL).double()
    network.load_state_dict(SMALL_WEIGHTS)
    x = draw((2, 3, 128, 128)).sigmoid()
    with torch.no_grad():
        expected = network(x.clone(), CODE.expand(2, *CODE.shape))
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-12)
    assert (small(x) - x).abs().max() > 0.05
    assert (adapt(SMALL_WEIGHTS, x, 2 * CODE) - small(x)).abs().max() > 1e-4


def test_the_operator_is_the_network_of_the_file_on_the_unit_scale(operator, full):
    weights = torch.load(full, weights_only=True)
    with torch.device("meta"):
        network = Published()
    network.load_state_dict({key: weights[key] for key in NEEDED}, assign=True)
    x, state = draw((1, 3, 256, 256), 5, torch.float32).tanh(), torch.get_rng_state()
    kept = x.clone()
    with torch.no_grad():
        y, expected = operator(x), 2 * network((x + 1) / 2, operator.code[None]) - 1
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_code_is_drawn_once_from_the_seed(operator, full):
    assert operator.code.shape == (512, 2, 2)
    assert torch.equal(NeuralBlur(full, 3).code, operator.code)
    assert not torch.equal(NeuralBlur(full, 4).code, operator.code)
    variance, count = float((operator.code**2).mean()), operator.code.numel()
    assert variance == pytest.approx(1.44, abs=4.5 * 1.44 * math.sqrt(2 / count))
    assert abs(float(operator.code.mean())) < 4.5 * 1.2 / math.sqrt(count)


def test_holds_what_it_needs_and_no_gradients(operator):
    assert {key: tuple(weight.shape) for key, weight in operator.weights.items()} == NEEDED
    assert not any(weight.requires_grad for weight in operator.weights.values())
    assert all(
        weight.dtype == torch.float32 and weight.is_contiguous()
        for weight in operator.weights.values()
    )


def test_survives_pickling_and_prints_file_seed_and_content(operator, full, tmp_path):
    copy = pickle.loads(pickle.dumps(operator))
    assert repr(copy) == repr(operator)
    assert all(torch.equal(copy.weights[key], operator.weights[key]) for key in NEEDED)
    assert repr(operator).startswith(f"NeuralBlur(weights_path={str(full)!r}, seed=3, digest='")
    torch.save(hollow(expected_shapes()), tmp_path / "other.pth")
    assert NeuralBlur(tmp_path / "other.pth", 3).digest != operator.digest


def test_works_in_the_type_of_x_also_after_a_forward_derivative(full, monkeypatch):
    operator = NeuralBlur(full, seed=3)
    object.__setattr__(
        operator, "weights", {key: weight.float() for key, weight in SMALL_WEIGHTS.items()}
    )
    object.__setattr__(operator, "code", CODE.float())
    monkeypatch.setattr("noisewalk.operators.neural_blur.SHAPE", (3, 128, 128))
    x = draw((1, 3, 128, 128)).tanh()
    y, jv = torch.func.jvp(operator, (x,), (torch.ones_like(x),))
    leaf = x.clone().requires_grad_()
    again = operator(leaf)
    (gradient,) = torch.autograd.grad(again.sum(), leaf)
    assert again.dtype == jv.dtype == torch.float64
    assert torch.equal(again.detach(), y)
    torch.testing.assert_close(gradient.sum(), jv.sum(), rtol=1e-10, atol=0)
    single = operator(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(
        single.double(), y, rtol=0, atol=70 * math.sqrt(72) * 2**-24
    )  # about 70 layers of sums of 72 terms


def test_gradient_is_the_derivative_and_agrees_forward_and_reverse():
    x, v = draw((1, 3, 128, 128)).sigmoid(), draw((1, 3, 128, 128), 2)
    y, jv = torch.func.jvp(small, (x,), (v,))
    step = 1e-8
    central = (small(x + step * v) - small(x - step * v)) / (2 * step)
    # A share of the order of the step of all activations has its kink within the step: the norms
    # differ by that share's square root.
    assert (jv - central).norm() < 10 * math.sqrt(step) * jv.norm()
    back = torch.func.vjp(small, x)[1](y.cos())[0]
    torch.testing.assert_close((jv * y.cos()).sum(), (back * v).sum(), rtol=1e-10, atol=0)


def test_a_row_does_not_depend_on_its_neighbours():
    x = draw((3, 3, 128, 128)).sigmoid()
    x[0], x[2] = torch.nan, torch.inf
    alone = small(x[1:2])
    assert torch.isfinite(alone).all()
    torch.testing.assert_close(small(x)[1:2], alone, rtol=0, atol=1e-12)


def test_only_images_of_256_are_taken(operator):
    for shape in [(3, 128, 128), (1, 256, 256), (256, 256), (3, 256, 255)]:
        with pytest.raises(ConfigError, match=r"shape \(3, 256, 256\) only, got"):
            operator(torch.zeros(1, *shape))
        with pytest.raises(ConfigError, match=r"shape \(3, 256, 256\) only, got"):
            output_shape_of(operator, shape)
        assert output_shape_of(operator, (3, 256, 256)) == (3, 256, 256)


def test_whole_numbers_are_no_images(operator):
    with pytest.raises(ConfigError, match=r"floating-point images"):
        operator(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))


def without(key: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in hollow(expected_shapes()).items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            without("recon_trunk.28.bias"),
            r"is not the network GOPRO_wVAE.pth: missing recon_trunk\.28\.bias$",
        ),
        (
            without("kernel_extractor.model.7.weight"),
            r"missing kernel_extractor\.model\.7\.weight$",
        ),
        (without("") | {"adapter.extra": torch.zeros(1)}, r"unexpected adapter\.extra$"),
        (
            without("") | {"recon_trunk.28.bias": torch.zeros(4)},
            r"recon_trunk\.28\.bias has shape \(4,\), expected \(3,\)$",
        ),
        (
            without("") | {"recon_trunk.28.bias": torch.zeros(3, dtype=torch.int64)},
            r"recon_trunk\.28\.bias is torch.int64, expected floating point$",
        ),
        (
            without("") | {"recon_trunk.28.bias": torch.tensor([0.0, torch.nan, 0.0])},
            r"recon_trunk\.28\.bias holds numbers that are not finite$",
        ),
        (
            hollow({f"module.{key}": shape for key, shape in expected_shapes().items()}),
            r"missing feature_extractor\.0\.weight; .* and 313 more$",
        ),
        ({}, "missing feature_extractor.0.weight"),
        ([torch.zeros(1)], "something other than named tensors"),
        ({"epoch": 3}, "something other than named tensors"),
        ({"path": Path("x")}, r"holds more than tensors \(none of its code was run\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_content_is_refused_by_name(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        NeuralBlur(tmp_path / "w.pth")


def test_the_old_format_of_torch_and_half_precision_are_read(tmp_path):
    torch.save(
        hollow(expected_shapes(), torch.float16),
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=False,
    )
    assert {weight.dtype for weight in NeuralBlur(tmp_path / "w.pth").weights.values()} == {
        torch.float32
    }


@pytest.mark.parametrize("damage", ["empty", "noise", "truncated", "flipped", "folder"])
def test_damaged_files_are_refused(tmp_path, damage):
    path, whole = tmp_path / "w.pth", tmp_path / "whole.pth"
    torch.save(hollow(expected_shapes()), whole)
    content = bytearray(whole.read_bytes())
    where = content.index(torch.full((1,), 0.001).numpy().tobytes())
    flipped = content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "noise": b"\x00\x01" * 99,
                "truncated": content[:-300],
                "flipped": flipped,
            }[damage]
        )
    with pytest.raises(WeightsError, match=r"w\.pth"):
        NeuralBlur(path)


def test_bad_arguments_are_refused_by_name():
    for make, error, message in [
        (
            lambda: NeuralBlur("absent.pth"),
            WeightsError,
            r"absent\.pth is not a file: give the path of your GOPRO_wVAE\.pth",
        ),
        (lambda: NeuralBlur(3), ConfigError, "weights_path must be the path .* got 3"),
        (lambda: NeuralBlur("absent.pth", seed=-1), ConfigError, "seed.*got -1"),
        (
            lambda: NeuralBlur("absent.pth", seed=2**56),
            ConfigError,
            "seed must be a whole number from 0 to 72057594037927935",
        ),
    ]:
        with pytest.raises(error, match=message):
            make()
