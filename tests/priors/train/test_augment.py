"""Symmetries: each turned image is one of its orbit, every one equally often, and without a
symmetry nothing is drawn."""

import math

import pytest
import torch

from noisewalk.priors.train.augment import SYMMETRIES, augment, orbit

IMAGE = torch.arange(18, dtype=torch.uint8).reshape(1, 2, 3, 3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_orbits_are_the_groups_by_hand() -> None:
    turns = [torch.rot90(IMAGE, k, (-2, -1)) for k in range(4)]
    expected = {
        "none": turns[:1],
        "flip": [IMAGE, IMAGE.flip(-1)],
        "dihedral": [*turns, *(t.flip(-1) for t in turns)],
    }
    for symmetry, count in SYMMETRIES.items():
        found = orbit(IMAGE, symmetry)
        assert found.shape == (count, *IMAGE.shape)
        assert torch.equal(found[0], IMAGE)
        assert {bytes(x.contiguous().numpy()) for x in found} == {
            bytes(x.contiguous().numpy()) for x in expected[symmetry]
        }


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_every_copy_is_equally_likely_and_images_are_turned_on_their_own(symmetry: str) -> None:
    count, copies = 4000, orbit(IMAGE, symmetry)[:, 0]
    turned = augment(IMAGE.expand(count, -1, -1, -1), symmetry, seeded())
    assert turned.dtype == torch.uint8
    share = torch.stack([(turned == copy).flatten(1).all(1) for copy in copies]).double().mean(1)
    assert float(share.sum()) == pytest.approx(1.0)
    p = 1 / len(copies)
    assert float((share - p).abs().max()) <= 5 * math.sqrt(p * (1 - p) / count)


def test_without_a_symmetry_the_generator_is_left_as_it_was() -> None:
    generator = seeded()
    assert augment(IMAGE, "none", generator) is IMAGE
    assert torch.equal(generator.get_state(), seeded().get_state())
