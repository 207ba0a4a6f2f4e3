"""A damaged run is cut back to its last good draw, and goes on bitwise."""

import pytest
import torch
from run_edits import as_format, flip

import noisewalk as nw
from noisewalk.errors import StoreError
from noisewalk.storage.doctor import examine, repair
from noisewalk.storage.store import open_store


def target():
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    return nw.NoisePosterior(phi, abs, nw.likelihoods.Gaussian(0.5), torch.ones(1, 3))


def drawn(folder, num_draws=6):
    return nw.sample(
        target(), num_draws=num_draws, num_chains=2, num_warmup=4, store=folder, progress=False
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    drawn(folder)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    import shutil

    return shutil.copytree(whole, tmp_path / "run")


def test_a_whole_run_is_clean(run):
    health = examine(run)
    assert (health.faults, health.num_draws, health.good_draws) == ((), 6, 6)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert repair(run) == health or repair(run).faults == ()
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_finished_run_stores_no_more_than_its_draws(run):
    for array in open_store(run).arrays.values():
        if hasattr(array, "_array"):
            sizes = [p.stat().st_size for p in array._array.folder.glob("c.*")]
            assert sum(sizes) == 6 * array._array.slab


def test_a_flipped_draw_is_cut_with_those_after_it_and_the_run_goes_on_bitwise(run, whole):
    stored = open_store(run).arrays["x"]._array
    flip(run / "run.zarr/x/c.0.0.0.0", 3 * stored.slab + 2)
    assert examine(run).good_draws == 3
    assert "draw 3 of x" in examine(run).faults[0]
    repair(run)
    assert examine(run).faults == ()
    kept, want = nw.open_run(run), nw.open_run(whole)
    assert (kept.draws.shape[2], kept.complete) == (3, False)
    assert torch.equal(kept.draws[...], want.draws[:, :, :3])
    for _ in range(2):  # the second time there is nothing to do
        again = drawn(run)
    assert again.complete
    for name in ("x", "z", "nll", "acceptance_rate"):
        assert torch.equal(again.arrays[name][...], want.arrays[name][...]), name
    assert examine(run).faults == ()


def test_a_repaired_run_that_is_stopped_again_goes_on_where_it_was(run, whole):
    stored = open_store(run).arrays["x"]._array
    flip(run / "run.zarr/x/c.0.0.0.0", 4 * stored.slab)
    repair(run)
    for count in (2, 3, 5, 6):  # in the draws that are made once more, and beyond them
        found = drawn(run, count)
        assert found.draws.shape[2] == max(count, 4)
    assert torch.equal(found.draws[...], nw.open_run(whole).draws[...])


def test_a_lost_state_costs_no_draw(run, whole):
    (state,) = run.glob("state-*")
    flip(state, 40)
    assert len(examine(run).faults) == 1
    repair(run)
    assert torch.equal(nw.open_run(run).draws[...], nw.open_run(whole).draws[...])
    assert torch.equal(drawn(run, 7).draws[:, :, :6], nw.open_run(whole).draws[...])


def test_a_lost_measurement_is_written_again(run):
    flip(run / "run.zarr/y/c.0.0", 2)
    with pytest.raises(StoreError, match=r"y/c\.0\.0"):
        nw.open_run(run)
    repair(run)
    assert nw.open_run(run).y is None
    assert torch.equal(drawn(run).y, torch.ones(1, 3))


def test_cut_files_are_found(run):
    path = run / "run.zarr/nll/crc32c"
    path.write_bytes(path.read_bytes()[:10])
    assert examine(run).good_draws == 2
    (run / "run.zarr/z/c.0.0.0.0").unlink()
    assert examine(run).good_draws == 0
    repair(run)
    assert nw.open_run(run).draws.shape[2] == 0


def test_runs_without_checksums_are_cut_where_a_segment_is(run):
    as_format(run, 2)
    (run / "run.zarr/z/c.0.0.0.0").unlink()
    repair(run)
    health = examine(run)
    assert (health.faults, health.num_draws, health.checked) == ((), 0, True)


def test_what_is_no_run_and_what_cannot_be_repaired_is_told(run, tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(StoreError):
            examine(folder)
    flip(run / "run.zarr/zarr.json", 30)
    assert examine(run).root is None
    with pytest.raises(StoreError, match="cannot be repaired"):
        repair(run)
