"""`noisewalk watch`: a table of runs, or one line."""

import torch

import noisewalk as nw


def test_runs_are_shown_and_no_run_is_refused(noisewalk, refused, tmp_path):
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    likelihood = nw.likelihoods.Gaussian(0.5)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(1, 3))
    some = nw.EllipticalSlice(), 6, 2
    nw.sample(target, *some, warm_start=None, store=tmp_path / "runs/one", progress=False)
    for words in (["runs"], ["runs/one"], ["runs", "--once"]):
        code, out, err = noisewalk("watch", *words)
        assert (code, err) == (0, "")
        for text in ("run", "phase", "one", "done", "100 %", "6 of 6"):
            assert text in out
    assert "holds no run" in refused("watch", "absent")
    assert "--every" in refused("watch", "runs", "--every", "0")
