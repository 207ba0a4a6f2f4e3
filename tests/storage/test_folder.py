import json
import re
import shutil

import pytest
import torch

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State

SPEC = {
    "prior": "toy",
    "plan": {"kernel": {"name": "mala", "step_size": 0.1}, "num_draws": 3},
    "limits": [1, 2],
    "bad": float("nan"),
}


def make(folder, spec=SPEC, chains=2, **options):
    return RunStore.create_or_resume(folder, spec, Layout(1, chains, (2,), (3,)), **options)


def one_draw(store):
    flags = torch.ones(2, dtype=torch.bool)
    store.append(
        State(torch.ones(2, 2), torch.ones(2, 3), torch.ones(2), torch.ones(2, 2)),
        Info(torch.ones(2), flags, ~flags),
        {"n": 1},
        {},
    )


@pytest.fixture
def run(tmp_path):
    with make(tmp_path / "run") as store:
        one_draw(store)
    return tmp_path / "run"


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(folder, message, **options):
    before = snapshot(folder)
    with pytest.raises(StoreError, match=message) as caught:
        make(folder, **options).close()
    assert "\n" not in str(caught.value)
    assert snapshot(folder) == before


def test_the_same_specification_goes_on(run):
    for _ in range(2):
        with make(run) as store:
            assert store.cursor() == (1, {"n": 1})
    assert json.loads((run / "spec.json").read_text())["plan"] == SPEC["plan"]
    assert {k: v for k, v in open_store(run).spec.items() if k != "bad"} == {
        k: v for k, v in SPEC.items() if k != "bad"
    }


def test_another_specification_is_refused_key_by_key(run):
    kernel = {"name": "mala", "step_size": 0.2, "scheme": "ei"}
    other = {**SPEC, "plan": {"kernel": kernel, "num_draws": 3}, "limits": [1, 3]}
    del other["prior"]
    refused(
        run,
        r"limits is \[1, 2\] there, \[1, 3\] here; "
        r'plan.kernel.scheme is "\(not set\)" there, "ei" here; '
        r'plan.kernel.step_size is 0.1 there, 0.2 here; prior is "toy" there, "\(not set\)" here',
        spec=other,
    )


def test_a_run_that_kept_nothing_gives_way_to_another(tmp_path):
    """It failed at its start; with a state of the start or a draw it would stay."""
    run = tmp_path / "run"
    with make(run) as store:
        store.put("y", torch.zeros(1, 2), ("image", "y_0"))
    other = {**SPEC, "plan": {**SPEC["plan"], "num_draws": 7}, "prior": "another"}
    with make(run, other, resume=False) as store:
        store.put("y", torch.ones(1, 2), ("image", "y_0"))
        store.checkpoint({"start_steps": 1})
    assert torch.equal(open_store(run).arrays["y"], torch.ones(1, 2))
    assert open_store(run).spec["prior"] == "another"
    refused(run, "holds another run")
    refused(run, "--resume", spec=other, resume=False)


def test_a_long_value_is_shown_where_it_differs(tmp_path):
    run = tmp_path / "fresh"
    there, here = (
        f"Target({'map, ' * 100}sigma_y={sigma}, {'more, ' * 100})" for sigma in (0.1, 0.25)
    )
    with make(run, {**SPEC, "target": there}) as store:
        one_draw(store)
    refused(
        run,
        r"target is \.\.\..{20}1, more, .*\.\.\. there, \.\.\..{20}25, more, .*\.\.\. here; give",
        spec={**SPEC, "target": here},
    )


def test_free_keys_may_change_and_reopen_a_complete_run(run):
    with make(run) as store:
        store.mark_complete()
    with make(run):
        assert open_store(run).complete
    with make(run, {**SPEC, "plan": {**SPEC["plan"], "num_draws": 5}}) as store:
        assert not open_store(run).complete
        assert store.num_draws == 1
    assert open_store(run).spec["plan"]["num_draws"] == 5
    refused(run, "plan.num_draws is 5 there, 3 here", spec=SPEC, free=())


def test_another_layout_is_refused(run):
    refused(run, r"x float32 \(1, 2, 3\).* but x float32 \(1, 4, 3\)", chains=4)
    refused(run, "energy", extras=("energy",))


def test_the_segment_length_of_a_run_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("noisewalk.storage.zarr_group.MOST_DRAWS", 2)
    with make(tmp_path) as store:
        one_draw(store)
    monkeypatch.setattr("noisewalk.storage.zarr_group.MOST_DRAWS", 5)
    with make(tmp_path) as store:
        one_draw(store)
        one_draw(store)
    assert (tmp_path / "run.zarr/x/c.0.0.1.0").is_file()


def test_without_resume_an_existing_run_is_left_alone(run):
    refused(run, "--resume", resume=False)
    shutil.rmtree(run / "run.zarr")
    refused(run, "--resume", resume=False)


@pytest.mark.parametrize(
    "left",
    [None, [], [".lock"], [".lock", "spec.json.tmp"], ["spec.json"], [".lock", "run.zarr.tmp/x"]],
    ids=str,
)
def test_a_folder_killed_before_its_specification_starts(tmp_path, left):
    for resume in (True, False):
        folder = tmp_path / str(resume) / "b"
        if left is not None:
            folder.mkdir(parents=True)
        for name in left or ():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        with make(folder, resume=resume) as store:
            assert store.cursor() == (0, None)
            one_draw(store)
        names = [".lock", "run.zarr", "spec.json", "state-1.safetensors"]
        assert sorted(p.name for p in folder.iterdir()) == names


def test_a_cut_specification_starts_again_but_never_over_draws(run):
    content = (run / "spec.json").read_bytes()
    for end in (3, 30, len(content) - 3):
        (run / "spec.json").write_bytes(content[:end])
        refused(run, r"spec\.json is missing, damaged")
    shutil.rmtree(run / "run.zarr")
    make(run).close()
    assert (run / "spec.json").read_bytes() == content


def test_a_run_without_its_arrays_yet_gets_them(run):
    shutil.rmtree(run / "run.zarr")
    with pytest.raises(StoreError, match="no run that has started"):
        open_store(run)
    with make(run) as store:
        assert store.cursor() == (0, None)


def test_foreign_folders_and_files_are_left_alone(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abcd":
        (folder / name).write_text("mine")
    refused(folder, r"not a run folder \(it holds a, b, c, \.\.\.\)")
    for text in ("mine", "[]", '{"spec": 1}', '{"format": 1}'):
        (folder / "spec.json").write_text(text)
        refused(folder, "not a noisewalk run's")
    (folder / "spec.json").unlink()
    (folder / "run.zarr").mkdir()
    refused(folder, "missing")
    for way in (folder / "a", folder / "a" / "below"):
        with pytest.raises(StoreError, match=r"is a file|Not a directory"):
            make(way)
        with pytest.raises(StoreError):
            open_store(way)


def test_what_the_system_refuses_is_one_line(tmp_path, monkeypatch):
    def no(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("noisewalk.storage.folder.os.open", no)
    with pytest.raises(
        StoreError, match=r"^cannot use .*: Permission denied; give a folder that can be written$"
    ):
        make(tmp_path)


def test_one_writer_at_a_time(tmp_path):
    with make(tmp_path) as store:
        refused(tmp_path, "another process is writing")
        open_store(tmp_path)
        one_draw(store)
    with make(tmp_path) as store:
        assert store.num_draws == 1


def test_a_refused_run_does_not_stay_locked(run):
    refused(run, "there", spec={})
    make(run).close()


def test_another_format_is_refused(run):
    for path in (run / "run.zarr/zarr.json", run / "spec.json"):
        path.write_text(re.sub('"format": 3', '"format": 4', path.read_text()))
        refused(run, "has format 4")
        with pytest.raises(StoreError, match="has format 4"):
            open_store(run)


@pytest.mark.parametrize(
    "victim",
    [
        "run.zarr/zarr.json",
        "run.zarr/x/c.0.0.0.0",
        "run.zarr/nll/c.0.0.0",
        "state-1.safetensors",
        "spec.json",
    ],
)
def test_damage_is_named(run, victim):
    def both():
        with pytest.raises(StoreError, match=re.escape(victim)):
            open_store(run)
        with pytest.raises(StoreError, match=re.escape(victim)), make(run) as store:
            store.cursor()

    path = run / victim
    path.write_bytes(path.read_bytes()[:-30])
    both()
    path.unlink()
    both()


def test_a_strange_root_is_damage(run):
    for root in ("{}", "[]", "null", '{"attributes": {"format": 2}}'):
        (run / "run.zarr/zarr.json").write_text(root)
        refused(run, "damaged")


def test_arrays_of_different_lengths_are_damage(run):
    path = run / "run.zarr/zarr.json"
    root = json.loads(path.read_text())
    root["consolidated_metadata"]["metadata"]["nll"]["shape"][2] = 0
    path.write_text(json.dumps(root))
    refused(run, "nll has 0 of 1 draws")


def test_impossible_arguments_are_refused(tmp_path):
    for options in (
        {"spec": {"format": 1}},
        {"spec": {"f": print}},
        {"spec": {"plan": {"kernel": "HMC(step_size=0.1)"}}},
        {"spec": {"map": {"name": 3}}},
        {"spec": {"command": "sample \ud800.png"}},
        {"chains": 0},
        {"chains": True},
        {"chains": 2.0},
        {"extras": ("a/b",)},
    ):
        with pytest.raises(ConfigError):
            make(tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_what_a_kill_left_behind_is_removed(run):
    before = snapshot(run)
    for name in (
        "state-0.safetensors",
        "state-2.safetensors.tmp",
        "state-7.safetensors",
        "spec.json.tmp",
        "run.zarr/zarr.json.tmp",
        "run.zarr/x/zarr.json.tmp",
    ):
        (run / name).write_text("half")
    for name in ("summary.json", "notes.tmp"):
        (run / name).write_text("not the store's")
        before[(run / name).relative_to(run)] = b"not the store's"
    make(run).close()
    assert snapshot(run) == before
