"""A prior that is the user's own code: what it may return, what a run says of it, what fails."""

import hashlib
from pathlib import Path

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.priors.own_code import is_code, prior_of

CODE = """
import torch
import noisewalk as nw
import {beside}

def a_map():
    return nw.maps.Generator(lambda z: torch.tanh(z), (1, 8, 8), (1, 8, 8))

def a_prior(scale=1.0):
    return nw.load_prior("fashion32")

class Bare:
    shape, nfe = (3,), 2
    def __call__(self, z):
        return torch.cat([z, z], 1)

def bare():
    return Bare()

def asks(x):
    return x

def late():
    from {beside} import x
    return Bare() if x == 1 else None

def fails():
    return 1 / 0

def wrong():
    return 3

three = 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module and one that it imports, in a folder that is the current one."""
    beside = f"beside_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    (tmp_path / f"{beside}.py").write_text("x = 1\n")
    package = tmp_path / f"pack_{beside}"
    package.mkdir()
    for path in (tmp_path / "model.py", tmp_path / "copy.py", package / "inner.py"):
        path.write_text(CODE.format(beside=beside))
    monkeypatch.chdir(tmp_path)
    return package


def test_what_has_the_form_of_code() -> None:
    for source in ("model.py:make", "a/b.py:make", "/a/b.py:m1", "package.module:make", "m:f"):
        assert is_code(source)
    for source in (
        "fashion32",
        "owner/name",
        "model.py",
        "a.pt",
        "m:",
        ":f",
        "m:1f",
        "a/b:f",
        "m:f()",
    ):
        assert not is_code(source)


def test_a_map_is_a_prior_with_the_hash_of_its_source(code: Path) -> None:
    sha256 = hashlib.sha256(Path("model.py").read_bytes()).hexdigest()
    for source in ("model.py:a_map", f"{code.name}.inner:a_map"):
        prior = prior_of(source)
        assert (prior.name, prior.kind, prior.shape) == (f"{source}#{sha256[:8]}", "map", (1, 8, 8))
        assert prior.card["source_sha256"] == sha256
        z = torch.ones(2, 1, 8, 8)
        assert torch.equal(prior.map()(z), torch.tanh(z))
    Path("model.py").write_text(Path("model.py").read_text() + "# changed\n")
    assert prior_of("model.py:a_map").name != f"model.py:a_map#{sha256[:8]}"


def test_a_prior_and_a_bare_map_are_taken_as_they_are(code: Path) -> None:
    prior = prior_of("model.py:a_prior")
    assert (prior.kind, prior.shape) == ("consistency", (1, 32, 32))
    assert prior.name.startswith("model.py:a_prior#")
    assert prior.map(num_steps=2).nfe == 2
    assert prior_of("model.py:bare").shape == (6,)
    for source in ("model.py:late", f"{code.name}.inner:late"):
        assert prior_of(source).shape == (6,)  # an import where it is called
    with pytest.raises(ConfigError, match="a map as it is: leave num_steps"):
        prior_of("model.py:bare").map(num_steps=2)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nothing.py:f", "nothing.py does not exist"),
        ("no_such_package.m:f", "ModuleNotFoundError"),
        ("model.py:nothing", "has no function nothing"),
        ("model.py:three", "has no function three"),
        ("model.py:asks", "without arguments, and asks for x"),
        ("model.py:fails", r"failed at model.py:\d+: ZeroDivisionError: division by zero"),
        ("model.py:wrong", "must return a map .* or a Prior, got int"),
        ("copy.py:bare", "copy is a module already, so rename copy.py"),
        ("model.py", "code is module.py:function"),
    ],
)
def test_what_fails_is_told_in_one_line(code: Path, source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as told:
        prior_of(source)
    assert "\n" not in str(told.value)


def test_a_syntax_error_is_told(code: Path) -> None:
    Path("broken.py").write_text("def f(:\n")
    with pytest.raises(ConfigError, match=r"broken.py:f failed at .*SyntaxError"):
        prior_of("broken.py:f")


def test_load_prior_never_imports_code(code: Path) -> None:
    Path("evil.py").write_text("raise SystemExit('imported')\n")
    with pytest.raises(ConfigError, match="unknown prior"):
        nw.load_prior("evil.py:f")
