"""Damage and refusals are told in one line."""

import errno
from pathlib import Path

import pytest

from noisewalk.errors import StoreError
from noisewalk.storage.damage import EXCERPT, damaged, excerpt, reported


def test_damage_is_one_short_line_with_the_file_and_the_advice() -> None:
    told = str(damaged(Path("run/spec.json"), f"a\n  reason {'x' * 1000}"))
    assert "\n" not in told
    assert told.startswith("run/spec.json is missing or damaged (a reason xxx")
    assert len(told) < 4 * EXCERPT
    assert told.endswith("restore it from a copy or start another run")
    assert "(no 'plan')" in str(damaged(Path("spec.json"), KeyError("plan")))


def test_an_excerpt_shows_where_text_was_left_out() -> None:
    assert excerpt("short") == "short"
    assert excerpt("abcdef", most=3) == "abc..."
    assert excerpt("abcdef", start=2, most=2) == "...cd..."
    assert excerpt("abcdef", start=4, most=2) == "...ef"


def test_a_refusal_of_the_system_names_what_and_why_and_what_to_do() -> None:
    for code, why in ((errno.ENOSPC, "no space left on the disk"), (errno.EACCES, "denied")):
        for hint in ("free some", lambda: "free some"):
            with (
                pytest.raises(StoreError, match=f"cannot write: .*{why}.*; free some"),
                reported("cannot write", hint),
            ):
                raise OSError(code, "denied")


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), reported("cannot write", "free some"):
        raise ValueError("mine")
