"""The schedule of refreshes in a warm-up."""

import pytest

from noisewalk.errors import ConfigError
from noisewalk.gaussians.refresh import Refresh


def test_a_refresh_falls_on_its_shares_of_the_warm_up() -> None:
    refresh = Refresh(at=(0.0, 0.25, 0.5))
    assert [t for t in range(60) if refresh.due(t, 40)] == [0, 10, 20]
    assert not refresh.due(0, 0)
    for bad in ((), (0.5, 0.2), (1.0,), (-0.1,)):
        with pytest.raises(ConfigError):
            Refresh(at=bad)
