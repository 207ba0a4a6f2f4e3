"""`noisewalk app`: its options, and what it says without gradio."""

import sys


def test_a_missing_gradio_is_named(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "pip install 'noisewalk[app]'" in refused("app")


def test_the_options_are_shown(noisewalk):
    code, out, _ = noisewalk("app", "--help")
    assert code == 0
    for option in ("--port", "--share", "--prior", "--device"):
        assert option in out
