"""Old public names warn at the line that uses them, and give what they gave."""

import pytest

import noisewalk as nw
from noisewalk._deprecated import REMOVED_IN, warn_renamed


def test_the_warning_names_both_names_and_the_line_of_the_user() -> None:
    def library() -> None:
        warn_renamed("nw.old", "nw.new")

    with pytest.warns(FutureWarning, match=r"^nw\.old is now nw\.new; .* noisewalk ") as caught:
        library()
    assert caught[0].filename == __file__


def test_old_names_of_the_package_warn_and_work() -> None:
    with pytest.warns(FutureWarning, match=r"noisewalk\.inputs is now noisewalk\.files") as caught:
        assert nw.inputs is nw.files
    assert caught[0].filename == __file__
    assert "inputs" not in dir(nw)


def test_old_names_last_longer_than_the_release_that_has_them() -> None:
    def parts(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    assert parts(nw.__version__) < parts(REMOVED_IN)
