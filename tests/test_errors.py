"""Every error that noisewalk raises is caught by one class, and by the built-in one it refines."""

import pytest

from noisewalk import errors


def test_every_error_is_a_noisewalk_error() -> None:
    found = [one for one in vars(errors).values() if isinstance(one, type)]
    raised = [one for one in found if issubclass(one, Exception)]
    assert len(raised) >= 6
    assert all(issubclass(one, errors.NoisewalkError) for one in raised)
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)


def test_a_missing_extra_says_the_line_that_installs_it() -> None:
    with pytest.raises(errors.NoisewalkError, match=r"needs astropy.*pip install 'noisewalk\[fits"):
        raise errors.MissingExtraError("astropy", "fits")


def test_a_divergence_has_no_run_unless_one_is_kept() -> None:
    assert errors.DivergedError("all chains").run is None
