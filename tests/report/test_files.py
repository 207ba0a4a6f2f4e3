"""Files of a report are written whole."""

import pytest

from noisewalk.errors import StoreError
from noisewalk.report import build_report


def test_a_folder_that_cannot_be_written_to_is_one_line(target, sampled, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = sampled(target)
    old = build_report(folder).read_bytes()
    monkeypatch.setattr("noisewalk.report.files.write_whole", full)
    with pytest.raises(StoreError, match="No space left"):
        build_report(folder, "Another title")
    assert (folder / "report.html").read_bytes() == old
