"""Weights that a test needs and a machine may not have: the test then says what is missing."""

import pytest

from noisewalk._packages import locate
from noisewalk.errors import WeightsError


@pytest.fixture(params=["alex", "vgg"])
def net(request):
    """Each LPIPS network whose weights are in the cache; `make install` puts them there."""
    from noisewalk.evaluate.metrics.perceptual import ARCHIVES

    try:
        locate(**ARCHIVES[request.param])
    except WeightsError as error:
        if "is missing" not in str(error):
            raise
        pytest.skip(str(error))
    return request.param
