"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from noisewalk.storage.atomic import write_file, write_whole


class KilledError(Exception):
    pass


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    def parts():
        yield b"half of the new"
        raise KilledError

    def write(path: Path) -> None:
        path.write_bytes(b"half of the new")
        raise KilledError

    path = tmp_path / "facts.json"
    for failing in (lambda: write_file(path, parts()), lambda: write_whole(path, write)):
        path.write_bytes(b"old")
        with pytest.raises(KilledError):
            failing()
        assert path.read_bytes() == b"old"


def test_the_new_file_takes_the_place_of_the_old_one_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    write_file(path, [b"first", memoryview(b" content")])
    assert path.read_bytes() == b"first content"
    write_whole(path, lambda beside: beside.write_bytes(b"second"))
    assert path.read_bytes() == b"second"
    assert [one.name for one in tmp_path.iterdir()] == ["card.json"]


def test_the_file_beside_has_the_same_suffix_and_another_name(tmp_path: Path) -> None:
    seen: list[Path] = []
    path = tmp_path / "page.html"
    write_whole(path, lambda beside: (seen.append(beside), beside.touch()))
    assert (seen[0].parent, seen[0].suffix) == (tmp_path, ".html")
    assert seen[0] != path
