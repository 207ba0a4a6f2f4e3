"""Many files in one command: the draws of each alone, failures that stop no other, one page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw

PRIOR = (
    "import torch, noisewalk as nw\n"
    "def make():\n"
    "    return nw.maps.Generator(torch.nn.Sequential(torch.nn.Tanh()), (1, 8, 8), (1, 8, 8))\n"
)
WORDS = "--chains 2 --num-draws 2 --num-warmup 2 --thin 1 --warm-start 3"
SHORT = WORDS.split()


@pytest.fixture
def files(noisewalk, tmp_path):
    """Three measurements and a prior, in the current folder."""
    Path("own.py").write_text(PRIOR)
    Path("in").mkdir()
    for k, name in enumerate("abc"):
        np.save(f"in/{name}.npy", np.random.default_rng(k).uniform(-1, 1, (4, 4)))
    return noisewalk


def options(*more):
    words = ["--prior", "own.py:make", "--operator", "avgpool:factor=2"]
    return [*words, *SHORT, *map(str, more)]


def test_a_folder_is_a_run_folder_for_each_file_and_one_page(files):
    code, out, err = files("sample", "in", *options("--sigma-y", 0.3, "--out", "out"))
    assert (code, err) == (0, "")
    assert "[2/3] in/b.npy" in out
    assert "3 of 3 files done" in out
    page = Path("out/index.html").read_text()
    for name in "abc":
        assert f'href="{name}/report.html"' in page
        assert f'src="{name}/mean.png"' in page
        summary = json.loads(Path(f"out/{name}/summary.json").read_text())
        assert summary["verdict"] in page
    assert page.count("<tr>") == 4
    assert "addEventListener" in page
    assert (
        len({json.loads(Path(f"out/{n}/spec.json").read_text())["plan"]["seed"] for n in "abc"})
        == 3
    )


def test_a_file_gives_the_same_draws_alone_and_in_a_batch_in_any_order(files):
    level = ["--sigma-y", 0.3]
    assert files("sample", "in/b.npy", *options(*level, "--out", "alone"))[0] == 0
    assert files("sample", "in/c.npy", "in/b.npy", *options(*level, "--out", "two"))[0] == 0
    assert files("sample", "in/*.npy", *options(*level, "--out", "all"))[0] == 0
    alone = nw.open_run("alone")
    for folder in ("two/b", "all/b"):
        assert torch.equal(nw.open_run(folder).draws[...], alone.draws[...])
    seeded = options(*level, "--seed", 5, "--out", "seeded")
    assert files("sample", "in", *seeded)[0] == 0
    spec = json.loads(Path("seeded/a/spec.json").read_text())
    assert spec["plan"]["seed"] == 5


def test_a_file_that_fails_stops_no_other_and_is_listed_with_its_reason(files):
    Path("in/bad.npy").write_bytes(b"no array")
    np.save("in/zz.npy", np.zeros((5, 5)))
    words = ["sample", "in", *options("--sigma-y", 0.3, "--out", "out")]
    code, out, err = files(*words)
    assert code == 3
    assert "3 of 5 files done" in out
    assert "2 of 5 files failed:" in err
    assert "in/bad.npy: in/bad.npy is not a NumPy file" in err
    assert "in/zz.npy: in/zz.npy has shape (1, 5, 5), but (1, 4, 4) is needed" in err
    assert "Traceback" not in err
    page = Path("out/index.html").read_text()
    assert "3 done, 2 failed" in page
    assert "is not a NumPy file" in page
    np.save("in/bad.npy", np.zeros((4, 4)))
    Path("in/zz.npy").unlink()
    before = nw.open_run("out/a").z[...].clone()
    code, out, err = files(*words, "--resume")
    assert (code, err) == (0, "")
    assert "4 of 4 files done" in out
    assert torch.equal(nw.open_run("out/a").z[...], before)
    code, _, err = files(*words)
    assert code == 3
    assert err.count("--resume") == 8  # each file as it fails, and all at the end


def test_a_table_gives_each_file_its_noise_and_its_mask(files):
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 1
    np.save("in/mask.npy", mask)
    np.save("in/level.npy", np.full((4, 4), 0.2))
    Path("in/list.csv").write_text(
        "file, sigma_y, mask\na.npy, 0.1, mask.npy\nb.npy, level.npy,\nc.npy,,\n"
    )
    code, _, err = files("sample", "in/list.csv", *options("--sigma-y", 0.5, "--out", "out"))
    assert (code, err) == (0, "")
    facts = [json.loads(Path(f"out/{n}/spec.json").read_text())["problem"] for n in "abc"]
    assert [f["sigma_y"] for f in facts] == [0.1, "in/level.npy", 0.5]
    assert [nw.open_run(f"out/{n}").num_observed.item() for n in "abc"] == [12, 16, 16]


def test_shared_batches_give_the_draws_of_each_file_alone(files):
    Path("list.csv").write_text("file,sigma_y\nin/a.npy,0.2\nin/b.npy,0.4\nin/c.npy,0.3\n")
    short = options("--sigma-y", 0.3)
    assert files("sample", "list.csv", *short, "--out", "each")[0] == 0
    words = ["sample", "list.csv", *short, "--share-batches", "--out", "shared"]
    code, out, err = files(*words)
    assert (code, err) == (0, "")
    assert "3 files together: in/a.npy, in/b.npy, in/c.npy" in out
    assert not Path("shared/.shared").exists()
    for name in "abc":
        alone, shared = (nw.open_run(f"{folder}/{name}") for folder in ("each", "shared"))
        assert shared.complete
        for array in ("x", "z", "nll", "step_size"):
            torch.testing.assert_close(
                shared.arrays[array][...], alone.arrays[array][...], atol=1e-4, rtol=1e-4
            )
        specs = [json.loads(Path(f, name, "spec.json").read_text()) for f in ("each", "shared")]
        assert specs[0]["plan"] == specs[1]["plan"]
        assert specs[0]["problem"] == specs[1]["problem"]
    again = [nw.open_run(f"shared/{n}").z[...].clone() for n in "abc"]
    assert files(*words, "--resume")[0] == 0
    assert all(
        torch.equal(nw.open_run(f"shared/{n}").z[...], z) for n, z in zip("abc", again, strict=True)
    )
    assert files(*words, "--num-draws", 3, "--resume")[0] == 0
    assert nw.open_run("shared/a").draws.shape[2] == 3
    code, _, err = files("sample", "in", *short, "--sigma-y", 0.7, *words[-3:], "--resume")
    assert code == 3
    assert err.count("holds another run") >= 3


def test_a_page_of_somebody_elses_is_no_index(files, refused):
    Path("site").mkdir()
    Path("site/index.html").write_text("<h1>My site</h1>")
    assert "would be lost" in refused("sample", "in", *options("--sigma-y", 0.3, "--out", "site"))
    assert Path("site/index.html").read_text() == "<h1>My site</h1>"


def test_inputs_that_make_no_batch_end_in_one_line(files, refused):
    Path("empty").mkdir()
    Path("no-file.csv").write_text("name,sigma_y\na.npy,1\n")
    Path("none.csv").write_text("file\n")
    Path("ragged.csv").write_text("file,sigma_y\nin/a.npy\n")
    Path("extra.csv").write_text("file,colour\nin/a.npy,red\n")
    Path("bytes.csv").write_bytes(b"file\n\xff\xfe.npy\n")
    for inputs, says in (
        (["empty"], "holds no file to read"),
        (["*.fits"], "holds no file to read"),
        (["no-file.csv"], "file is needed"),
        (["none.csv"], "no rows"),
        (["ragged.csv"], "line 2"),
        (["extra.csv"], "colour"),
        (["bytes.csv"], "cannot be read as a table"),
        (["absent.csv"], "cannot be read as a table"),
        (["in/a.npy", "in/a.npy"], "given more than once"),
    ):
        assert says in refused("sample", *inputs, *options("--sigma-y", 0.3, "--out", "out"))
    assert "--share-batches" in refused("sample", "in/a.npy", "--share-batches", *options())
    smc = ["--kernel", "smc", "--prior", "own.py:make", "--operator", "identity"]
    assert "as many temperatures as" in refused("sample", "in", "--share-batches", *smc)


def test_workers_give_the_draws_of_one_process_and_failures_stop_no_other(files):
    np.save("in/bad.npy", np.zeros((3, 4, 4, 4)))
    words = options("--sigma-y", 0.3)
    assert files("sample", "in/a.npy", *words, "--out", "alone")[0] == 0
    workers = ["--engine", "process", "--workers", 1, "--out", "out"]
    code, out, err = files("sample", "in", *words, *workers)
    assert code == 3
    assert "3 of 4 files done" in out
    assert "in/bad.npy: " in err
    assert torch.equal(nw.open_run("out/a").draws[...], nw.open_run("alone").draws[...])
    again, _, err = files("sample", "in/a.npy", "in/b.npy", *words, *workers)
    assert again == 3
    assert err.count("holds a run: go on by --resume") >= 2
    for flags in (["--engine", "process", "--share-batches"], ["--workers", 2]):
        assert files("sample", "in", *words, "--out", "other", *flags)[0] == 2


def test_a_representation_error_is_part_of_the_run(files):
    words = options("--sigma-y", 0.3, "--out")
    code, _, err = files("sample", "in/a.npy", *words, "no", "--representation-error", "much")
    assert code == 2
    assert "card or a number" in err


def test_one_file_in_shards_is_the_same_run_under_every_engine(files, refused):
    words = ["sample", "in/a.npy", *options("--sigma-y", 0.3)]
    shards = ["--shard-chains", 2]
    workers = ["--engine", "process", "--workers", 2, "--out", "out"]
    assert files(*words, *shards, "--out", "here")[0] == 0
    code, out, err = files(*words, *shards, *workers)
    assert (code, err) == (0, "")
    assert "open out/report.html" in out
    here, there = nw.open_run("here"), nw.open_run("out")
    assert there.complete
    assert here.draws.shape[:3] == (1, 2, 2)
    assert torch.equal(there.draws[...], here.draws[...])
    assert Path("out/shards/1/spec.json").is_file()
    assert json.loads(Path("out/summary.json").read_text())["num_chains"] == 2
    assert "go on by --resume" in refused(*words, *shards, "--out", "out")
    code, _, err = files(*words, *shards, "--out", "out", "--resume", "--num-draws", 3)
    assert (code, err) == (0, "")
    assert nw.open_run("out").draws.shape[2] == 3
    for given, says in (
        (["--engine", "process"], "one file without --shard-chains does not read --engine"),
        (["--shard-chains", 3], "2 chains cannot be in 3 shards"),
        (["--shard-chains", 0], "--shard-chains must be"),
    ):
        assert says in refused(*words, *given, "--out", "other")
    smc = ["--kernel", "smc", "--prior", "own.py:make", "--operator", "identity"]
    assert "smc does not read --shard-chains" in refused("sample", "in/a.npy", *shards, *smc)
    batch = ["sample", "in", *options("--sigma-y", 0.3), *shards]
    assert "a batch, whose units are files, does not read --shard-chains" in refused(*batch)
