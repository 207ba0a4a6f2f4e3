"""Lazy packages: a name is imported when it is first used."""

import sys
from types import ModuleType

import pytest

from noisewalk._lazy import lazy


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty package `trial` with a module `trial.shelf` that defines `book`."""
    made, shelf = ModuleType("trial"), ModuleType("trial.shelf")
    made.__path__ = []  # type: ignore[attr-defined]
    shelf.book, shelf.hidden = "a book", "a note"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trial", made)
    monkeypatch.setitem(sys.modules, "trial.shelf", shelf)
    return made


def test_a_name_is_looked_up_once_and_then_kept(package: ModuleType) -> None:
    load, names, everything = lazy("trial", {"shelf": "book"}, {"room": "shelf"})
    assert "book" not in vars(package)
    assert load("book") == "a book"
    assert package.book == "a book"
    assert load("room") is sys.modules["trial.shelf"]
    assert names() == everything == ["book", "room"]


def test_other_names_are_no_attributes(package: ModuleType) -> None:
    load, _, _ = lazy("trial", {"shelf": "book"})
    for name in ("hidden", "shelf", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'trial' has no attribute '{name}'"):
            load(name)


def test_an_old_name_warns_each_time_and_is_listed_nowhere(package: ModuleType) -> None:
    old = {"tome": "book", "hidden": "book", "annex": "room"}
    load, names, everything = lazy("trial", {"shelf": "book hidden"}, {"room": "shelf"}, old)
    assert names() == everything == ["book", "room"]
    for name, new, value in (
        ("tome", "book", "a book"),
        ("hidden", "book", "a note"),  # which keeps an object of its own
        ("annex", "room", sys.modules["trial.shelf"]),
    ):
        for _ in range(2):
            with pytest.warns(FutureWarning, match=rf"trial\.{name} is now trial\.{new}; "):
                assert load(name) is value


def test_the_package_itself_tells_its_version() -> None:
    assert "__version__" in lazy("noisewalk", {})[2]
    assert "__version__" not in lazy("trial", {})[2]
