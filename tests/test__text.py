from dataclasses import dataclass, field
from pathlib import Path

import pytest

from noisewalk._text import printable, settings_in, split, text_from, values_in
from noisewalk.errors import ConfigError


@dataclass
class Thing:
    factor: float
    shape: tuple[int, ...]
    path: str | Path = field(default="a b", metadata={"key": "file"})
    seed: int = 0
    made: float = field(init=False, default=0.5)


def test_the_fields_are_the_keys():
    assert split(" thing : factor = 2 ") == ("thing", "factor = 2")
    assert values_in("factor = 2,seed=-3", Thing, "thing") == {"factor": 2.0, "seed": -3}
    assert values_in("file=c=d,factor=1e-2", Thing, "thing") == {"path": "c=d", "factor": 0.01}


def test_the_text_of_an_object_is_read_back():
    text = text_from(Thing(1 / 3, (2, 2), "x.npy", 7), "thing")
    assert text == f"thing:factor={1 / 3!r},file=x.npy,seed=7"
    assert values_in(split(text)[1], Thing, "thing") == {
        "factor": 1 / 3,
        "path": "x.npy",
        "seed": 7,
    }


def test_what_does_not_fit_is_named():
    for text, says in (
        ("", "factor must be given, as in thing:factor=..."),
        ("factor", "expected key=value, got 'factor'; keys of thing: factor, file, seed"),
        ("seeds=1", r"unknown key 'seeds' \(did you mean 'seed'\?\); keys of thing"),
        ("made=1", "unknown key 'made'"),
        ("shape=1", "unknown key 'shape'"),
        ("seed=1,seed=2", "seed is given twice"),
        ("seed=1.0", "seed must be a whole number, got '1.0'"),
        ("factor=inf", "factor must be a finite number, got 'inf'"),
        ("file=", "file must be a file, got ''"),
    ):
        with pytest.raises(ConfigError, match=says):
            values_in(text, Thing, "thing")


def test_the_settings_of_a_text_are_complete():
    found = settings_in("factor=2", Thing, "thing")
    assert found == {"factor": 2.0, "file": "a b", "seed": 0}


def test_bytes_that_are_not_utf8_are_escaped_and_all_else_is_kept() -> None:
    name = b"caf\xe9 \xf0\x9f\x98\x80".decode("utf-8", "surrogateescape")
    assert printable(name) == "caf\\xe9 \N{GRINNING FACE}"
    assert printable("a\\b") == "a\\b"
