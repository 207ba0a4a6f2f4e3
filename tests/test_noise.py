import math

import pytest
import torch

from noisewalk import noise
from noisewalk.errors import ConfigError

KNOWN_ANSWERS = [  # counter, key -> output: the philox4x32 10 lines of Random123's kat_vectors
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
ERRORS = 5.0
"""Standard errors; one of the about 80 statistics here is outside by chance once in 20000 seeds."""


def words(text):
    return tuple(int(word, 16) for word in text.split())


def key_and_counter(seed, image, chain, step, slot, block=0):
    """The documented layout: key (seed, slot), counter (block, step, chain, image); a seed beyond
    32 bits fills the slot's word from below."""
    return (seed % 2**32, slot * 2**24 + seed // 2**32), tuple(
        torch.tensor([c]) for c in (block, step, chain, image)
    )


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_known_answers(counter, key, expected):
    out = noise.philox(tuple(torch.tensor([word]) for word in words(counter)), words(key))
    assert tuple(int(word) for word in out) == words(expected)


def test_philox_is_vectorised_over_rows_of_different_counters():
    counters = torch.tensor(
        [words(KNOWN_ANSWERS[0][0]), words(KNOWN_ANSWERS[1][0]), (0, 0, 0, 0)]
    ).T
    out = torch.stack(noise.philox(tuple(counters), (0, 0)), -1)
    assert tuple(out[0].tolist()) == tuple(out[2].tolist()) == words(KNOWN_ANSWERS[0][2])
    assert out[1].tolist() != out[0].tolist()


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**56 - 1])
@pytest.mark.parametrize("slot", [noise.INIT, noise.PROBE, 255])
def test_uniforms_are_the_words_of_the_rows_key_and_counter(seed, slot):
    image, chain, step = 3, 2, 2**32 - 1
    drawn = noise.Noise(seed, torch.tensor([image]), torch.tensor([chain]), step).uniform(
        (6,), slot
    )
    expected = []
    for block in (0, 1):
        key, counter = key_and_counter(seed, image, chain, step, slot, block)
        expected += [(float(word) + 0.5) / 2**32 for word in noise.philox(counter, key)]
    assert drawn.tolist() == [expected[:6]]


def test_normals_are_box_and_muller_of_the_words():
    key, counter = key_and_counter(5, 1, 0, 4, noise.PROPOSAL)
    u = [(float(word) + 0.5) / 2**32 for word in noise.philox(counter, key)]
    expected = []
    for first, second in (u[:2], u[2:]):
        radius = math.sqrt(-2 * math.log(first))
        expected += [
            radius * math.cos(2 * math.pi * second),
            radius * math.sin(2 * math.pi * second),
        ]
    drawn = noise.Noise(5, torch.tensor([1]), torch.tensor([0]), 4).normal(
        (2, 2), noise.PROPOSAL, torch.float64
    )
    torch.testing.assert_close(
        drawn.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=1e-14
    )


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    rows = noise.rows(1, 2, 2)
    for size in (1, 3, 4, 5, 9):
        assert torch.equal(
            rows.normal((size,), noise.INIT), rows.normal((12,), noise.INIT)[:, :size]
        )
        assert torch.equal(
            rows.uniform((size,), noise.INIT), rows.uniform((12,), noise.INIT)[:, :size]
        )


def test_rows_are_image_major():
    rows = noise.rows(9, 2, 3)
    assert rows.image.tolist() == [0, 0, 0, 1, 1, 1]
    assert rows.chain.tolist() == [0, 1, 2, 0, 1, 2]
    assert rows.step == 0


def test_four_chains_begin_with_the_two_chains_of_a_smaller_run():
    four, two = (
        noise.rows(2, 3, chains).normal((5,), noise.INIT).reshape(3, chains, 5) for chains in (4, 2)
    )
    assert torch.equal(four[:, :2], two)


def test_a_float32_draw_is_the_rounded_float64_draw():
    rows = noise.rows(3, 1, 4)
    assert torch.equal(
        rows.normal((7,), noise.INIT, torch.float64).float(), rows.normal((7,), noise.INIT)
    )


def test_at_changes_the_step_alone():
    rows = noise.rows(4, 2, 2)
    later = rows.at(8)
    assert (later.seed, later.step, rows.step) == (4, 8, 0)
    assert later.image is rows.image
    assert later.chain is rows.chain


def test_normals_have_the_moments_of_a_standard_normal():
    z = noise.rows(11, 20, 100).normal((100,), noise.PROPOSAL, torch.float64).flatten()
    for power, moment, variance in (
        (1, 0, 1),
        (2, 1, 2),
        (3, 0, 15),
        (4, 3, 96),
    ):  # of z^p: mean and variance E z^2p - (E z^p)^2
        error = math.sqrt(variance / z.numel())
        assert abs(float((z**power).mean()) - moment) < ERRORS * error


def test_normals_follow_their_distribution_function():
    z = noise.rows(12, 1, 100).normal((1000,), noise.INIT, torch.float64).flatten().sort().values
    probability = torch.special.ndtr(z)
    steps = torch.arange(z.numel() + 1, dtype=torch.float64) / z.numel()
    distance = max(float((steps[1:] - probability).max()), float((probability - steps[:-1]).max()))
    assert distance * math.sqrt(z.numel()) < 2.5  # Kolmogorov: 2 exp(-2 * 2.5^2) = 7e-6


def test_uniforms_are_uniform_and_never_0_or_1():
    u = noise.rows(13, 20, 100).uniform((100,), noise.ACCEPT)
    assert u.dtype == torch.float64
    assert 0 < float(u.min()) <= float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < ERRORS * math.sqrt(1 / 12 / u.numel())
    share = torch.histc(u, 16, 0, 1) / u.numel()
    assert ((share - 1 / 16).abs() < ERRORS * math.sqrt(15 / 256 / u.numel())).all()


@pytest.mark.parametrize(
    "along", ["image", "chain", "step", "slot", "seed", "seed beyond 32 bits", "place"]
)
def test_neighbouring_keys_are_uncorrelated(along):
    shape, rows = (2000,), noise.rows(14, 1, 5)
    draws = {
        "image": lambda k: noise.Noise(14, rows.image + k, rows.chain, 0).normal(shape, 0),
        "chain": lambda k: noise.Noise(14, rows.image, rows.chain + 5 * k, 0).normal(shape, 0),
        "step": lambda k: rows.at(k).normal(shape, 0),
        "slot": lambda k: rows.normal(shape, k),
        "seed": lambda k: noise.rows(14 + k, 1, 5).normal(shape, 0),
        "seed beyond 32 bits": lambda k: noise.rows(14 + (k << 32), 1, 5).normal(shape, 0),
        "place": lambda k: rows.normal((2001,), 0)[:, k : k + 2000],
    }[along]
    one, other = draws(0).double().flatten(), draws(1).double().flatten()
    assert abs(float((one * other).mean())) < ERRORS / math.sqrt(one.numel())
    assert abs(float(((one**2 - 1) * (other**2 - 1)).mean())) < ERRORS * 2 / math.sqrt(one.numel())


@pytest.mark.parametrize("seed", [-1, 2**56])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigError, match="a whole number from 0 to"):
        noise.rows(seed, 1)


def test_images_with_a_seed_each_have_the_noise_that_each_has_alone():
    seeds = (5, 2**56 - 1, 1 << 40)
    together = noise.rows(seeds, 3, 2)
    assert not together.is_shared
    for k, seed in enumerate(seeds):
        alone, rows = noise.rows(seed, 1, 2), slice(2 * k, 2 * k + 2)
        for step in (0, 4):
            given = together.at(step).normal((3, 5), 1)[rows], alone.at(step).normal((3, 5), 1)
            assert torch.equal(*given)
            given = together.at(step).uniform((7,), 2)[rows], alone.at(step).uniform((7,), 2)
            assert torch.equal(*given)
    with pytest.raises(ConfigError, match="a whole number from 0 to"):
        noise.rows((1, -1), 2)
