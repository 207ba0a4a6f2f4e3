"""The files of a command: malformed ones, names of folders, and seeds from content."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from malformed import FILES, VALUES, make_files

from noisewalk._checks import LARGEST_SEED
from noisewalk.cli.inputs import Entry, entries_of, names_of, seed_from
from noisewalk.errors import ConfigError

PRIOR = "import noisewalk as nw\ndef make():\n    return nw.maps.Warp((1, 8, 8), 0.5)\n"
USUAL = {"--prior": "own.py:make", "--operator": "identity", "--sigma-y": "0.1", "--out": "run"}


def test_malformed_files_and_values_end_in_one_line(refused):
    Path("own.py").write_text(PRIOR)
    make_files()
    cases = [(file, "", says) for file, says in FILES]
    cases += [("y.npy", options, says) for options, says in VALUES]
    assert len(cases) >= 60
    for file, options, says in cases:
        words = shlex.split(options)
        usual = [w for pair in USUAL.items() if pair[0] not in words for w in pair]
        if "poisson" in options or "--sigma-y" in words:
            usual = [w for w in usual if w not in ("--sigma-y", "0.1")]
        line = refused("sample", file, *usual, *words)
        assert says in line, (file, options, line)
        assert not Path("run").exists(), (file, options)


def test_a_folders_name_tells_files_apart():
    paths = [
        Path(p) for p in ("a.tif", "in/b.fits[SCI]", "b.fits.gz", "b.npy", "x/c.npy", "y/c.npy")
    ]
    names = names_of(paths)
    assert names[:4] == ["a", "b-SCI", "b.fits.gz", "b.npy"]
    assert names[4] != names[5]
    assert all(name.startswith("c-") for name in names[4:])
    assert names_of(paths[::-1]) == names[::-1]


def test_one_file_is_no_batch_and_a_folder_with_one_is(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((2, 2)))
    assert entries_of([tmp_path / "y.npy"]) is None
    assert entries_of([tmp_path / "absent[1].npy"]) is None
    assert entries_of([tmp_path]) == [Entry(tmp_path / "y.npy")]
    for pattern in ("*.npy", "[x-z].npy", "?.npy"):
        assert entries_of([tmp_path / pattern]) == [Entry(tmp_path / "y.npy")]


def test_a_seed_is_that_of_the_content_and_the_part(tmp_path):
    for name, value in (("a", 0), ("b", 0), ("c", 1)):
        np.savez(tmp_path / f"{name}.npz", y=np.full((2, 2), value))
    os.utime(tmp_path / "b.npz", (0, 0))
    a, b, c = (seed_from(tmp_path / f"{name}.npz") for name in "abc")
    part = seed_from(Path(f"{tmp_path}/a.npz[y]"))
    assert a == b
    assert len({a, c, part}) == 3
    assert all(0 <= seed <= LARGEST_SEED for seed in (a, c, part))
    with pytest.raises(ConfigError, match="does not exist"):
        seed_from(tmp_path / "absent.npz")
