"""The package runs as a module."""

import subprocess
import sys


def test_the_module_is_the_command():
    found = subprocess.run(
        [sys.executable, "-m", "noisewalk", "sample", "no-file.npy", "--prior", "fashion32"],
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert found.stderr.startswith("error: ")
