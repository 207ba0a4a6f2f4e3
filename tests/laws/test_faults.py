"""Law: an error of the system at any write of a run is one line, and the run then goes on to the
draws that it would have had."""

import builtins
import errno
import os

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import StoreError
from noisewalk.storage.doctor import examine

CALLS = ("pwrite", "replace", "ftruncate", "mkdir", "open")


def run(folder):
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    likelihood = nw.likelihoods.Gaussian(0.5)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(1, 3), check=False)
    settings = {"warm_start": None, "num_warmup": 1, "progress": False}
    return nw.sample(target, nw.EllipticalSlice(), 2, 2, store=folder, **settings)


def failing(monkeypatch, at, code):
    """Let call number `at` of those that write fail; the count goes on."""
    count = 0

    def wrap(whole, writes):
        def call(*args, **kwargs):
            nonlocal count
            if writes(*args, **kwargs):
                count += 1
                if count == at:
                    raise OSError(code, os.strerror(code))
            return whole(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrap(getattr(os, name), lambda *_, **__: True))
    writing = lambda _, mode="r", *__, **___: "w" in str(mode)  # noqa: E731
    monkeypatch.setattr(builtins, "open", wrap(builtins.open, writing))
    return lambda: count


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_at_every_write_is_one_line_and_loses_nothing(tmp_path, monkeypatch, stride):
    want = run(tmp_path / "whole").draws[...]
    with monkeypatch.context() as patch:
        counted = failing(patch, -1, 0)
        run(tmp_path / "counted")
        total = counted()
    assert total > 30
    for at in range(1, total + 1, stride):
        folder, code = tmp_path / str(at), (errno.ENOSPC, errno.EROFS)[at % 2]
        with monkeypatch.context() as patch:
            failing(patch, at, code)
            with pytest.raises(StoreError) as caught:
                run(folder)
        assert "\n" not in str(caught.value)
        assert torch.equal(run(folder).draws[...], want), at
        assert examine(folder).faults == ()
