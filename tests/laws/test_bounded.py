"""Law: a hostile file runs nothing, takes bounded memory, and ends in one line and status 2."""

import json
import subprocess
import sys
from pathlib import Path

from bounded import CASES


def test_hostile_files_end_in_one_line_and_run_nothing():
    """In processes of their own, whose address space is limited."""
    program = Path(__file__).with_name("bounded.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in found] == list(CASES)
    for name, code, lines, ran in found:
        assert (code, len(lines), ran) == (2, 1, False), (name, lines)
        assert lines[0].startswith("error: "), name
        assert "not enough memory" not in lines[0], name
