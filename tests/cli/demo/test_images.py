"""The images that ship with the package."""

import numpy as np
import pytest

from noisewalk.cli.demo.images import FILES, held_out_images
from noisewalk.errors import ConfigError
from noisewalk.priors.load import load_prior


def test_bundled_images_fit_their_prior():
    for prior in FILES:
        images = held_out_images(prior=prior)
        channels, height, width = load_prior(prior).shape
        assert images.shape == (100, height, width, channels)
        assert images.dtype == np.uint8


def test_landsat_crops_have_no_empty_pixel():
    assert held_out_images(prior="satellite64").min() > 0


def test_images_of_another_prior_are_told():
    with pytest.raises(ConfigError, match="satellite64"):
        held_out_images(prior="terrain128")
