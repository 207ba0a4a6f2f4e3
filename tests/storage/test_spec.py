"""Hand-edited, cut or foreign metadata of a run: one line that names the file, and nothing else."""

import json
import struct

import pytest
import torch

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.spec import MOST_LEVELS, content, differences, normal, parse
from noisewalk.storage.state import encode
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State

FACTS = {
    "map": {"name": "Affine", "nfe": 1},
    "operator": {"name": "AveragePool", "factor": 4},
    "likelihood": {"name": "Gaussian", "sigma_y": 0.1},
    "y": {"shape": [1, 3], "hash": "ba1b8c94"},
    "plan": {
        "kernel": {"name": "HMC", "step_size": 0.1},
        **{"num_draws": 3, "num_chains": 2, "num_warmup": 0, "thin": 1, "seed": 7},
    },
    "problem": {"title": "a title", "prior": "toy", "range": [0.0, 255.0], "simulated": True},
    "probe": {"size": 2.0, "nll": 8.5},
    **{"command": "noisewalk sample y.npy", "microbatch": None},
    **{"dtype": "torch.float32", "device": "cpu", "num_threads": 2},
    "anything": [1, {"else": None}],
}


@pytest.fixture
def run(tmp_path):
    ones, flags = torch.ones(2), torch.ones(2, dtype=torch.bool)
    with RunStore.create_or_resume(tmp_path, FACTS, Layout(1, 2, (2,), (3,))) as store:
        store.put("y", torch.zeros(1, 3), ("image", "y_0"))
        state = State(torch.ones(2, 2), torch.ones(2, 3), ones, torch.ones(2, 2))
        store.append(state, Info(ones, flags, ~flags), {"n": 1, "z": ones})
    return tmp_path


def refused(folder, name):
    """Neither a reader nor a writer gets by, and both name the file in one line."""

    def write():
        with RunStore.create_or_resume(folder, FACTS, Layout(1, 2, (2,), (3,))) as store:
            store.cursor()

    for use in (lambda: open_store(folder), write):
        with pytest.raises(StoreError) as caught:
            use()
        message = str(caught.value)
        assert name in message
        assert "\n" not in message
        assert message.isascii()
        assert len(message) < 600
        assert any(advice in message for advice in ("restore", "give", "later"))


def edited(document, path, value):
    """A copy with another value at a dotted path; ... removes the key."""
    copy = json.loads(json.dumps(document))
    *parents, key = path.split(".")
    inside = copy
    for parent in parents:
        inside = inside[parent]
    if value is ...:
        del inside[key]
    else:
        inside[key] = value
    return copy


def deep(levels):
    return "[" * levels + "]" * levels


CONTENTS = [
    b"",
    b"{",
    b"[]",
    b"3",
    b'"text"',
    b"null",
    b"true",
    b"{}",
    b"not json",
    b"\xff\xfe\x00",
    b'{"noisewalk": "0.1.0", "format": 2, "command": "\xff"}',
    b'{"noisewalk": "0.1.0", "format": 2, "command": "\\ud800"}',
    b'{"noisewalk": "0.1.0", "format": 2, "\\ud800": 1}',
    b'{"noisewalk": "0.1.0", "format": 2, "x": ' + b"9" * 5000 + b"}",
    *(
        f'{{"noisewalk": "0.1.0", "format": {k}, "x": {deep(n)}}}'.encode()
        for k in (1, 2)
        for n in (MOST_LEVELS + 1, 400, 900, 5000, 100_000)
    ),
    deep(100_000).encode(),
    b'{"a":' * 100_000,
]
EDITS = [
    *(("format", v) for v in (..., None, True, "2", 2.0, 0, -1, 3, [2], 10**20)),
    *(("noisewalk", v) for v in (..., None, 1, ["0.1.0"])),
    *((key, v) for key in ("map", "operator", "likelihood", "y", "plan") for v in (None, "t", [1])),
    *(("problem", v) for v in (None, "text", [], 3)),
    *(("probe", v) for v in ([], {"size": "2"}, {"size": None}, {"size": float("nan")})),
    *((key, v) for key in ("command", "dtype", "device") for v in (1, None, ["a"])),
    *(("microbatch", v) for v in (0, -1, True, 1.5, "8", 10**30)),
    *(("num_threads", v) for v in (0, None, "2")),
    *(("plan.kernel", v) for v in (None, "HMC(0.1)", [])),
    *(("plan.num_draws", v) for v in (0, -3, True, "3", 10**40)),
    *((f"plan.{key}", -1) for key in ("num_chains", "num_warmup", "thin", "seed")),
    *((f"{path}.name", v) for path in ("map", "plan", "plan.kernel") for v in (3, None, ["HMC"])),
    *(("problem.range", v) for v in (None, 1, [0], [0, 0], [0, "1"], [0, True], [0, 1, 2])),
    *(("problem.range", [0.0, v]) for v in (float("inf"), float("nan"), 10**400)),
    ("problem.title", 3),
    ("problem.prior", ["toy"]),
    ("problem.operator", 4),
    ("problem.simulated", "yes"),
]


def test_every_strange_specification_is_one_line(run):
    path = run / "spec.json"
    whole = json.loads(path.read_text())
    for raw in CONTENTS:
        path.write_bytes(raw)
        refused(run, "spec.json")
    for key, value in EDITS:
        path.write_text(json.dumps(edited(whole, key, value)))
        refused(run, "spec.json")
    path.write_text(json.dumps(whole)[:-40])
    refused(run, "spec.json")
    path.unlink()
    refused(run, "spec.json")
    path.mkdir()
    refused(run, "spec.json")


def test_what_is_wrong_is_told_with_what_is_allowed(tmp_path):
    for key, value, message in (
        (
            "problem.range",
            [1, 1],
            r"problem.range must be two different finite numbers, got \[1, 1\]",
        ),
        ("microbatch", 0, "microbatch must be null or a whole number of at least 1, got 0"),
        ("plan.kernel.name", 3, "a name must be a text, got 3"),
    ):
        text = json.dumps({"noisewalk": "0.1.0", "format": 2, **edited(FACTS, key, value)})
        with pytest.raises(StoreError, match=message):
            parse(text.encode(), tmp_path / "spec.json")


def test_facts_come_back_and_unknown_keys_are_kept(run):
    stored = open_store(run)
    assert stored.spec == FACTS
    assert stored.format == 2
    spec = parse(content(FACTS, "0.0.9"), run)
    assert (spec.version, spec.format, spec.facts) == ("0.0.9", 2, FACTS)


def test_what_is_refused_on_reading_is_refused_on_writing():
    loop: dict[str, object] = {}
    loop["loop"] = loop
    nested = json.loads(deep(900))
    for facts in (loop, {"x": nested}, {"x": {1, 2}}, {"noisewalk": "1"}, {"name": 3}):
        with pytest.raises(ConfigError):
            normal(facts)
    for key, value in EDITS[14:]:
        with pytest.raises(ConfigError):
            normal(edited({"noisewalk": "0", "format": 2, **FACTS}, key, value))
        with pytest.raises(ConfigError):
            normal(edited(FACTS, key, value))


def test_differences_leave_out_free_paths_and_take_one_for_one_point_zero():
    one, other = {"a": {"b": 1, "c": 2}, "d": 1.0}, {"a": {"b": 1, "c": 3}, "d": 1}
    assert list(differences(one, other)) == ["a.c is 2 there, 3 here"]
    assert list(differences(one, other, ["a.c"])) == []
    assert list(differences({"x": float("nan")}, {"x": float("nan")})) == []


ROOT_CONTENTS = [b"", b"{}", b"[]", b"null", b"3", b"\xff", b'{"attributes": {"format": 2}}']
ROOT_CONTENTS += [deep(100_000).encode(), b'{"attributes":' * 5000, b'{"attributes": []}']
META = "consolidated_metadata.metadata"
ROOT_EDITS = [
    *(
        (f"attributes.{key}", v)
        for key in ("num_draws", "serial")
        for v in (-1, True, "1", 1.0, ...)
    ),
    *(("attributes.num_draws", v) for v in (0, 2, 10**30)),
    *(("attributes.serial", v) for v in (0, 7, 10**30)),
    *(("attributes.complete", v) for v in (0, None, "no", ...)),
    *(("attributes.format", v) for v in (0, 3, True, "2", None, ...)),
    *((path, v) for path in ("attributes", META) for v in (None, [], "text", 3)),
    *((f"{META}.{name}", ...) for name in ("x", "z", "nll", "accepted")),
    *((f"{META}.{name}", v) for name in ("x", "y") for v in (None, [], {}, "text")),
    *(
        (f"{META}.x.shape", v)
        for v in (None, [1, 2], [1, 2, True, 3], [1, 2, -1, 3], [1, 2, 1.0, 3])
    ),
    *((f"{META}.y.shape", v) for v in (None, [1], [True, 3], [-1, -3], [1, 2**62, 2**62], [1, 4])),
    (f"{META}.x.data_type", "float63"),
    (f"{META}.y.data_type", "object"),
    (f"{META}.y.data_type", ["float32"]),
    (f"{META}.y.dimension_names", "image"),
    (f"{META}.y.dimension_names", [1, 2]),
    (f"{META}.x.chunk_grid.configuration.chunk_shape", [1, 2, 10**30, 3]),
    (f"{META}.x.chunk_grid.configuration.chunk_shape", [1, 2, 1024, 4]),
    (f"{META}.nll.data_type", "float32"),
    (f"{META}.x.codecs", []),
]


def test_every_strange_root_of_the_arrays_is_one_line(run):
    path = run / "run.zarr" / "zarr.json"
    whole = json.loads(path.read_text())
    for raw in ROOT_CONTENTS:
        path.write_bytes(raw)
        refused(run, "zarr.json")
    for key, value in ROOT_EDITS:
        path.write_text(json.dumps(edited(whole, key, value)))
        refused(run, "run.zarr" if key != "attributes.serial" else "")
    docs = whole["consolidated_metadata"]["metadata"]
    for name in ("../../etc", "/etc/passwd", "", ".", "a b", "x/y", "\ud800"):
        for of in ("x", "y"):
            docs[name] = docs[of]
            path.write_text(json.dumps(whole))
            refused(run, "zarr.json")
            del docs[name]


def test_every_strange_state_is_one_line(run):
    path = next(run.glob("state-*"))
    whole = path.read_bytes()

    def header(text):
        return struct.pack("<Q", len(text)) + text

    def told(state):
        return header(json.dumps({"__metadata__": {"state": state}}).encode())

    contents = [
        b"",
        b"\xff" * 7,
        b"\xff" * 8,
        whole[:-1],
        whole[:20],
        header(b"\xff"),
        header(b"[]"),
    ]
    contents += [header(b"{}"), header(b'{"__metadata__": 3}'), header(deep(100_000).encode())]
    states = [3, None, "", "{", "[]", "3", "null", '{"tensor": "9"}', '{"tensor": ["0"]}']
    states += ['{"dict": 3}', '{"dict": []}', '{"tuple": 3}', '{"float": 1}', '{"float": "00"}']
    states += ['{"what": 1}', '{"a": 1, "b": 2}', '{"dict": {"n": {"tuple": []', deep(900)]
    states += ['{"dict": {"a": ' * 2000 + "1" + "}}" * 2000, deep(100_000), "\ud800"]
    for raw in [*contents, *map(told, states)]:
        path.write_bytes(raw)
        refused(run, path.name)
    path.write_bytes(b"".join(encode({"n": 1})))
    assert open_store(run).sampler == {"n": 1}
    path.unlink()
    refused(run, path.name)
    path.mkdir()
    refused(run, "")
