"""On stand-ins of the same interface as deepinv 0.5, and, where deepinv is installed, on its own
classes."""

import math

import pytest
import torch
from torch import nn

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian, Laplace
from noisewalk.operators import from_deepinv, observed_of, output_shape_of
from noisewalk.operators.deepinv_noise import DeepinvPoisson

SHAPE = (2, 4, 4)


class NoiseModel(nn.Module):
    def __init__(self, **levels):
        super().__init__()
        for name, value in levels.items():
            self.register_buffer(
                name, value if isinstance(value, torch.Tensor) else torch.tensor(value)
            )


class GaussianNoise(NoiseModel):
    def forward(self, y):
        return y + self.sigma * noise.rows(5, len(y)).normal(
            tuple(y.shape[1:]), noise.PROBE, y.dtype
        )


class LaplaceNoise(NoiseModel):
    pass


class PoissonNoise(NoiseModel):
    def forward(self, y):
        k = torch.poisson(y / self.gain, generator=torch.Generator().manual_seed(3))
        return k * self.gain if self.normalize else k


class UniformGaussianNoise(NoiseModel):
    pass


class PoissonGaussianNoise(NoiseModel):
    pass


class ZeroNoise(NoiseModel):
    pass


class Physics(nn.Module):
    def __init__(self, noise_model, sensor_model=lambda y: y):
        super().__init__()
        self.noise_model, self.sensor_model = noise_model, sensor_model

    def forward(self, v):
        return self.sensor(self.noise(self.A(v)))

    def sensor(self, y):
        return self.sensor_model(y)

    def noise(self, y):
        return self.noise_model(y)

    def A(self, v):
        return v


class Mix(Physics):
    """A linear map with another shape of y."""

    def __init__(self, noise_model, **others):
        super().__init__(noise_model, **others)
        self.register_buffer("weights", noise.rows(2, 1).uniform((5, 32), noise.PROBE)[0] / 16)

    def A(self, v):
        return v.flatten(1) @ self.weights.to(v.dtype).T


class Bent(Mix):
    def A(self, v):
        return super().A(v.sin()) ** 2


class Inpainting(Physics):
    def __init__(self, noise_model, mask):
        super().__init__(noise_model)
        self.register_buffer("mask", mask)

    def A(self, v):
        return self.mask * v

    def noise(self, y):
        return self.mask * self.noise_model(y)


class Demosaicing(Inpainting):
    pass


class MultiCoilMRI(Physics):
    def __init__(self, noise_model, mask):
        super().__init__(noise_model)
        self.register_buffer("mask", mask)

    def A(self, v):
        return self.mask[:, :, None] * torch.stack((v, 2 * v, -v), 2)

    def noise(self, y):
        return self.mask[:, :, None] * self.noise_model(y)


class Own(Physics):
    def noise(self, y):
        return 2 * self.noise_model(y)


MASK = (torch.arange(32) % 3 != 0).float().reshape(1, *SHAPE)


def images(num: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return noise.rows(seed, num).normal(SHAPE, noise.PROBE, dtype).tanh()


def gaussian(sigma: float | torch.Tensor = 0.25) -> GaussianNoise:
    return GaussianNoise(sigma=sigma)


def poisson(gain: float | torch.Tensor = 0.25, normalize: bool = True) -> PoissonNoise:
    return PoissonNoise(gain=gain, normalize=normalize)


EVERY = [
    Physics(gaussian()),
    Mix(gaussian()),
    Bent(gaussian()),
    Inpainting(gaussian(), MASK),
    MultiCoilMRI(gaussian(), MASK),
]


class TestTheOperator:
    def test_is_the_physics_on_the_data_range(self):
        for physics in EVERY:
            for data_range in [(0, 1), (-1, 1), (0.0, 255.0), [2, 5]]:
                operator, _ = from_deepinv(physics, data_range)
                x, (low, high) = images(3), data_range
                v = low + (high - low) * (x + 1) / 2
                torch.testing.assert_close(operator(x), physics.A(v), rtol=1e-12, atol=1e-10)
                ends = torch.stack((torch.full(SHAPE, -1.0), torch.full(SHAPE, 1.0)))
                expected = physics.A(
                    torch.stack((torch.full(SHAPE, float(low)), torch.full(SHAPE, float(high))))
                )
                assert torch.equal(operator(ends), expected)

    def test_knows_the_shape_of_y(self):
        for physics in EVERY:
            for data_range in [(0, 1), (-1, 1), (0.0, 255.0), [2, 5]]:
                operator, _ = from_deepinv(physics, data_range)
                assert output_shape_of(operator, SHAPE) == tuple(operator(images(2)).shape[1:])

    def test_a_row_does_not_depend_on_its_neighbours_and_nothing_is_changed(self):
        for physics in EVERY:
            for data_range in [(0, 1), (-1, 1), (0.0, 255.0), [2, 5]]:
                operator, _ = from_deepinv(physics, data_range)
                x, state = images(3), torch.get_rng_state()
                x[0], x[2] = torch.nan, torch.inf
                kept = x.clone()
                torch.testing.assert_close(
                    operator(x)[1:2], operator(x[1:2]), rtol=1e-12, atol=1e-12
                )
                assert torch.equal(x.nan_to_num(), kept.nan_to_num())
                assert torch.equal(torch.get_rng_state(), state)


def test_gradient_is_the_derivative_and_agrees_forward_and_reverse():
    for physics in EVERY:
        operator, _ = from_deepinv(physics, (0, 3))
        x, v = images(1).requires_grad_(), images(1, 1)
        assert torch.autograd.gradcheck(operator, x)
        y, jv = torch.func.jvp(operator, (x,), (v,))
        back = torch.func.vjp(operator, x)[1](y.detach().cos())[0]
        torch.testing.assert_close((jv * y.cos()).sum(), (back * v).sum(), rtol=1e-12, atol=1e-12)


def test_gaussian_noise_keeps_its_level_on_the_scale_of_y():
    physics = Mix(gaussian(0.125))
    operator, likelihood = from_deepinv(physics, (0, 255))
    x = images(2)
    y = physics(255 * (x + 1) / 2)
    assert isinstance(likelihood, Gaussian)
    assert likelihood.sigma_y == 0.125
    expected = -torch.distributions.Normal(physics.A(255 * (x + 1) / 2), 0.125).log_prob(y).sum(1)
    torch.testing.assert_close(likelihood.nll(operator(x), y), expected, rtol=1e-12, atol=1e-10)


def test_laplace_noise_keeps_its_scale():
    operator, likelihood = from_deepinv(Mix(LaplaceNoise(b=torch.tensor([0.5]))))
    x, y = images(2), images(2, 1).flatten(1)[:, :5]
    assert likelihood == Laplace(0.5)
    expected = -torch.distributions.Laplace(operator(x), 0.5).log_prob(y).sum(1)
    torch.testing.assert_close(likelihood.nll(operator(x), y), expected, rtol=1e-12, atol=1e-12)


def test_poisson_noise_takes_y_as_the_physics_makes_it():
    for normalize in [True, False]:
        for gain in [0.25, 1.0, 3.0]:
            for data_range in [(0, 1), (2, 40)]:
                physics = Mix(poisson(gain, normalize))
                operator, likelihood = from_deepinv(physics, data_range)
                x, (low, high) = images(4), data_range
                v = low + (high - low) * (x + 1) / 2
                y = physics(v)
                counts = y / gain if normalize else y
                expected = (
                    -torch.distributions.Poisson(physics.A(v) / gain)
                    .log_prob(counts.round())
                    .sum(1)
                )
                torch.testing.assert_close(
                    likelihood.nll(operator(x), y), expected, rtol=1e-10, atol=1e-10
                )
                assert likelihood == DeepinvPoisson(gain, normalize)
                target = nw.NoisePosterior(nw.maps.Warp(SHAPE, 0.1), operator, likelihood, y)
                assert torch.isfinite(target(images(4)).grad).all()


def test_what_the_physics_masks_is_unobserved():
    for physics, expected in [
        (Inpainting(gaussian(), MASK), MASK[0]),
        (Demosaicing(gaussian(), MASK), MASK[0]),
        (Inpainting(gaussian(), MASK[:, :1]), MASK[0, :1]),
        (MultiCoilMRI(gaussian(), MASK), MASK[0][:, None]),
    ]:
        operator, likelihood = from_deepinv(physics)
        observed = observed_of(operator, SHAPE)
        assert torch.equal(observed, expected == 1)
        x = images(2)
        y = physics((x + 1) / 2)
        assert (operator(x)[~observed.expand(y.shape)] == 0).all()
        target = nw.NoisePosterior(nw.maps.Warp(SHAPE, 0.1), operator, likelihood, y)
        assert target.num_observed.tolist() == [int(observed.expand(y.shape[1:]).sum())] * 2


def test_everything_else_is_observed():
    assert from_deepinv(Mix(gaussian()))[0].observed is None


def test_prints_the_physics_by_its_content():
    one, other = (repr(from_deepinv(Mix(gaussian(sigma)))[0]) for sigma in (0.1, 0.2))
    assert one.startswith("DeepinvOperator(physics=Mix#")
    assert one == repr(from_deepinv(Mix(gaussian(0.1)))[0])
    assert one != other


def test_a_posterior_of_a_physics_is_sampled():
    physics = Mix(gaussian(0.5))
    operator, likelihood = from_deepinv(physics)
    y = physics((images(1, dtype=torch.float32) + 1) / 2)
    target = nw.NoisePosterior(nw.maps.Warp(SHAPE, 0.1), operator, likelihood, y)
    mean, jvp, vjp = target.linearize(images(1, dtype=torch.float32))
    assert mean.shape == jvp(images(1, 1, torch.float32)).shape == (1, 5)
    assert vjp(mean).shape == (1, *SHAPE)


def test_what_has_no_counterpart_is_refused_by_name():
    for make, message in [
        (
            lambda: from_deepinv(nn.Identity()),
            "needs a deepinv physics, with A and noise_model, got Identity",
        ),
        (lambda: from_deepinv(None), "got NoneType"),
        (
            lambda: from_deepinv(Physics(gaussian()), (1, 0)),
            r"must have the lower number first, got \(1, 0\)",
        ),
        (lambda: from_deepinv(Physics(gaussian()), (0, 0)), "lower number first"),
        (
            lambda: from_deepinv(Physics(gaussian()), (0, math.inf)),
            "data_range .* finite number, got inf",
        ),
        (
            lambda: from_deepinv(Physics(gaussian()), 255),
            "two finite numbers, for -1 and 1, got 255",
        ),
        (lambda: from_deepinv(Physics(gaussian()), (0, 1, 2)), "two finite numbers"),
        (
            lambda: from_deepinv(Physics(ZeroNoise())),
            "can use GaussianNoise, LaplaceNoise and PoissonNoise, but the measurement is "
            "exact: set physics.noise_model",
        ),
        (lambda: from_deepinv(Physics(None)), "the measurement is exact"),
        (
            lambda: from_deepinv(Physics(UniformGaussianNoise())),
            "UniformGaussianNoise has no counterpart here",
        ),
        (
            lambda: from_deepinv(Physics(PoissonGaussianNoise())),
            "PoissonGaussianNoise has no counterpart here",
        ),
        (lambda: from_deepinv(Physics(lambda y: y)), "function has no counterpart here"),
        (
            lambda: from_deepinv(Physics(gaussian(torch.tensor([0.1, 0.2])))),
            r"GaussianNoise: sigma must be one number for all images, got a tensor of shape \(2,\)",
        ),
        (lambda: from_deepinv(Physics(gaussian(0.0))), "GaussianNoise: .*above 0"),
        (
            lambda: from_deepinv(Physics(poisson(0.0))),
            "PoissonNoise: .*gain must be a finite number above 0, got 0.0",
        ),
        (
            lambda: from_deepinv(Physics(poisson(torch.ones(3)))),
            r"gain must be one number for all images, got a tensor of shape \(3,\)",
        ),
        (
            lambda: from_deepinv(Physics(gaussian(), lambda y: y.clamp(0, 1))),
            "sensor_model changes y",
        ),
        (
            lambda: from_deepinv(Physics(gaussian(), lambda y: y @ torch.ones(3, 3))),
            "sensor_model changes y",
        ),
        (
            lambda: from_deepinv(Own(gaussian())),
            r"Own has a way of its own to add noise \(Own.noise\)",
        ),
        (
            lambda: from_deepinv(Inpainting(gaussian(), 0.5 * MASK)),
            "Inpainting's mask must hold 0 and 1 only",
        ),
        (
            lambda: from_deepinv(Inpainting(gaussian(), MASK.expand(3, -1, -1, -1))),
            r"one tensor \(1, ...\) for all images, got of shape \(3, 2, 4, 4\)",
        ),
        (lambda: from_deepinv(Inpainting(gaussian(), None)), "one tensor .* got None"),
        (
            lambda: from_deepinv(Physics(gaussian()))[0](torch.zeros(1, *SHAPE, dtype=torch.uint8)),
            "floating-point images",
        ),
        (
            lambda: from_deepinv(Mix(gaussian()))[0](torch.zeros(1, 1, 4, 4)),
            r"A of Mix fails on real torch.float32 images of shape \(1, 4, 4\) on cpu: .*shapes",
        ),
        (
            lambda: from_deepinv(Stack(gaussian()))[0](torch.zeros(1, *SHAPE)),
            "A of Stack must return one real tensor, got list",
        ),
        (
            lambda: from_deepinv(Fourier(gaussian()))[0](torch.zeros(1, *SHAPE)),
            "A of Fourier must return one real tensor, got torch.complex64",
        ),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()


class Stack(Physics):
    def A(self, v):
        return [v, v]


class Fourier(Physics):
    def A(self, v):
        return torch.fft.fft2(v)


class TestWithDeepinvItself:
    """The same on deepinv's own classes."""

    @pytest.fixture
    def dinv(self):
        return pytest.importorskip("deepinv").physics

    def test_gaussian_noise_on_a_blur(self, dinv):
        physics = dinv.Blur(
            filter=torch.ones(1, 1, 3, 3) / 9,
            padding="circular",
            noise_model=dinv.GaussianNoise(0.25),
        )
        operator, likelihood = from_deepinv(physics)
        x = images(2, dtype=torch.float32)
        torch.testing.assert_close(operator(x), physics.A((x + 1) / 2))
        assert likelihood.sigma_y == 0.25
        assert output_shape_of(operator, SHAPE) == tuple(physics((x + 1) / 2).shape[1:])

    def test_poisson_noise_takes_y_as_the_physics_makes_it(self, dinv):
        for normalize in [True, False]:
            physics = dinv.Denoising(
                dinv.PoissonNoise(
                    gain=0.125, normalize=normalize, rng=torch.Generator().manual_seed(0)
                )
            )
            operator, likelihood = from_deepinv(physics)
            x = images(2, dtype=torch.float32)
            v = (x + 1) / 2
            y = physics(v)
            counts = y.double() / (0.125 if normalize else 1)
            expected = (
                -torch.distributions.Poisson(v.double() / 0.125).log_prob(counts).flatten(1).sum(1)
            )
            torch.testing.assert_close(
                likelihood.nll(operator(x), y), expected, rtol=1e-5, atol=1e-4
            )

    def test_masks_are_known(self, dinv):
        physics = dinv.Inpainting(img_size=SHAPE, mask=MASK, noise_model=dinv.GaussianNoise(0.25))
        operator, _ = from_deepinv(physics)
        assert torch.equal(operator.observed, MASK[0] == 1)
        assert from_deepinv(dinv.Denoising(dinv.GaussianNoise(0.25)))[0].observed is None
        mri = dinv.MRI(mask=MASK[:, :1], img_size=SHAPE, noise_model=dinv.GaussianNoise(0.25))
        operator, _ = from_deepinv(mri)
        y = mri(images(3, dtype=torch.float32))
        hidden = ~operator.observed.expand(y.shape)
        assert hidden.any()
        assert (y[hidden] == 0).all()
        assert (y[~hidden] != 0).all()

    def test_stacked_measurements_are_refused(self, dinv):
        physics = dinv.Denoising(dinv.GaussianNoise(0.1))
        with pytest.raises(ConfigError, match="way of its own to add noise"):
            from_deepinv(physics.stack(physics))

    def test_other_noise_is_refused(self, dinv):
        for model in (
            dinv.UniformGaussianNoise(),
            dinv.PoissonGaussianNoise(),
            dinv.LogPoissonNoise(),
            dinv.ZeroNoise(),
            dinv.GaussianNoise(0.1) * dinv.ZeroNoise(),
        ):
            with pytest.raises(ConfigError, match="from_deepinv can use"):
                from_deepinv(dinv.Denoising(model))
