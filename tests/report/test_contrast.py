"""The contrast stretch."""

import numpy as np

from noisewalk.report.contrast import contrast_of, stretch


def test_a_dark_image_is_stretched_and_its_file_keeps_its_range(make):
    dark = np.linspace(-1.0, -0.8, 64).reshape(1, 8, 8)
    flat = {"mean": dark, "truth": dark, "samples": np.broadcast_to(dark, (3, 2, 1, 8, 8))}
    found = contrast_of(make(value_range=(0.0, 200.0, "K"), **flat))
    low, high = found["stretch"][0]
    assert 0.0 <= low < 1.0
    assert 19.0 < high <= 20.0
    assert found["ends"] == [0.0, 200.0]


def test_each_channel_has_a_stretch_of_its_own_too(make):
    found = contrast_of(make(shape=(3, 8, 8)))
    assert len(found["stretch"]) == 4


def test_a_flat_image_has_a_stretch(make):
    flat = np.zeros((1, 8, 8))
    low, high = stretch(make(mean=flat, truth=None, samples=np.zeros((3, 1, 1, 8, 8))))
    assert low < 0 < high
