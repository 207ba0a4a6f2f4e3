"""Law: work that is killed at random moments, and goes on, ends as work that was not killed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("NOISEWALK_KILLS", "100")
"""SIGKILLs in all; `NOISEWALK_KILLS=20` for a short look."""


@pytest.mark.slow
def test_killed_processes_lose_no_draw_and_go_on_bitwise(capsys):
    program = Path(__file__).with_name("soak.py")
    command = [sys.executable, program, KILLS, "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    with capsys.disabled():
        print(f"\n{line}")
    assert re.fullmatch(rf"{KILLS} kills, 0 draws lost, bitwise", line)
