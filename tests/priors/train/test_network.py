"""New networks: they have the seed and size asked for, and those that cannot be built are told."""

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.network import new_network


def test_new_networks_are_a_function_of_the_seed_and_leave_the_global_generator() -> None:
    state = torch.get_rng_state()
    a, b, c = (new_network(8, 1, (32,), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["conv_in.weight"], c["conv_in.weight"])


def test_a_new_network_has_the_size_it_was_asked_for() -> None:
    config = new_network(16, 3, (32, 64), (1,), 2).config
    assert (config["sample_size"], config["in_channels"], config["out_channels"]) == (8, 12, 12)
    assert config["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D")
    assert config["up_block_types"] == ("AttnUpBlock2D", "UpBlock2D")


def test_every_network_that_the_checks_allow_runs() -> None:
    for widths, attention, unshuffle in (
        ((32, 32), (0, 1), 3),
        ((32,), (0,), 1),
        ((64, 32), (), 2),
    ):
        network = new_network(12, 1, widths, attention, unshuffle)
        x = torch.zeros(1, 1, 12, 12)
        denoiser = NetworkDenoiser(network, "edm", (1, 12, 12), unshuffle=unshuffle)
        assert denoiser(x, torch.tensor(1.0)).shape == x.shape


def test_networks_that_can_be_built_are_allowed() -> None:
    for size, *network in (
        (32, (64, 96, 128), (2,), 2),
        (8, (32,), (), 1),
        (np.int64(8), [np.int64(32)], (), torch.tensor(1)),
        (12, (32, 32), (0, 1), 3),
        (64, (96, 160), (1,), 4),
    ):
        with torch.device("meta"):
            new_network(size, 1, *network)


def test_networks_that_cannot_be_built_are_told() -> None:
    for network, says in [
        ((32, (33,), (), 1), "widths must be multiples of 32, such as 64,96,128, got 33"),
        ((32, (64, 80), (), 1), "multiples of 32.*got 64,80"),
        ((32, (0,), (), 1), "widths must be a whole number of at least 32, got 0"),
        ((32, (-32,), (), 1), "widths must be a whole number of at least 32, got -32"),
        ((32, (64.0,), (), 1), "widths must be a whole number of at least 32, got 64.0"),
        ((32, (), (), 1), "at least one level"),
        ((32, (32, 64), (2,), 1), "attention must name levels from 0 to 1.*got 2"),
        ((32, (32,), (-1,), 1), "attention.*got -1"),
        ((32, (32,), (), 0), "unshuffle must be a whole number of at least 1"),
        ((0, (32,), (), 1), "size must be a whole number of at least 1"),
        (
            (30, (32, 64), (), 2),
            "size must be a multiple of 4 .unshuffle 2, halved 1 times.*got 30",
        ),
        ((9, (32,), (), 2), "size must be a multiple of 2.*got 9"),
    ]:
        size, *rest = network
        with pytest.raises(ConfigError, match=says):
            new_network(size, 1, *rest)
