"""spec.json: whatever a hand, a cut or another program left there ends in one line."""

import json

import pytest
from run_edits import FACTS, deep, edited, flip, refused, unsealed

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.checksum import crc32c
from noisewalk.storage.doctor import examine
from noisewalk.storage.spec import MOST_LEVELS, content, differences, normal, parse, sealed
from noisewalk.storage.store import Layout, RunStore, open_store

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
    *(("format", v) for v in (..., None, True, "2", 2.0, 0, -1, 4, [2], 10**20)),
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


def test_every_strange_specification_is_one_line(small_run):
    path = small_run / "spec.json"
    whole = unsealed(small_run)
    for raw in CONTENTS:
        path.write_bytes(raw)
        refused(small_run, "spec.json")
    for key, value in EDITS:
        path.write_text(json.dumps(edited(whole, key, value)))
        refused(small_run, "spec.json")
    path.write_text(json.dumps(whole)[:-40])
    refused(small_run, "spec.json")
    path.unlink()
    refused(small_run, "spec.json")
    path.mkdir()
    refused(small_run, "spec.json")


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


def test_facts_come_back_and_unknown_keys_are_kept(small_run):
    stored = open_store(small_run)
    assert stored.spec == FACTS
    assert stored.format == 3
    spec = parse(content(FACTS, "0.0.9"), small_run)
    assert (spec.version, spec.format, spec.facts) == ("0.0.9", 3, FACTS)


def test_every_changed_bit_is_told(small_run):
    path = small_run / "spec.json"
    for at in range(path.stat().st_size):
        flip(path, at, at % 8)
        with pytest.raises(StoreError, match=r"spec\.json"):
            open_store(small_run)
        flip(path, at, at % 8)
    open_store(small_run)


def test_a_changed_value_is_told_by_all_who_read_it(small_run):
    path = small_run / "spec.json"
    text = path.read_text()
    for other in ('sigma_y": 0.2', 'sigma_y": 0.10'):
        path.write_text(text.replace('sigma_y": 0.1', other))
        refused(small_run, "its checksum does not match")
        health = examine(small_run)
        assert "spec.json" in health.faults[0]
        assert health.root is None
    for cut in (text[:-1], text + "\n", text.replace('"checksum"', '"checksun"')):
        path.write_text(cut)
        refused(small_run, "its checksum does not match")


def test_a_specification_without_a_checksum_is_read_and_gets_one_when_the_run_goes_on(small_run):
    path = small_run / "spec.json"
    whole = path.read_bytes()
    unsealed(small_run)
    assert open_store(small_run).spec == FACTS
    assert not examine(small_run).faults
    assert path.read_bytes() != whole
    with RunStore.create_or_resume(small_run, FACTS, Layout(1, 2, (2,), (3,))):
        assert path.read_bytes() == whole


def test_the_checksum_is_that_of_all_bytes_before_it():
    assert sealed(b"{}") == sealed(b"{\n}\n")
    raw = content(FACTS, "0.0.9")
    assert sealed(raw).count(b"checksum") == 2
    body, _, tail = raw.rpartition(b',\n  "checksum": "crc32c:')
    assert int(tail[:8], 16) == crc32c([body])


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
