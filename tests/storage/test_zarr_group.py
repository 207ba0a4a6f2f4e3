"""The root of the arrays: whatever a hand left there ends in one line."""

import json

from run_edits import deep, edited, refused

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
    *(("attributes.format", v) for v in (0, 2, 4, True, "2", None, ...)),
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


def test_every_strange_root_of_the_arrays_is_one_line(small_run):
    path = small_run / "run.zarr" / "zarr.json"
    whole = json.loads(path.read_text())
    for raw in ROOT_CONTENTS:
        path.write_bytes(raw)
        refused(small_run, "zarr.json")
    for key, value in ROOT_EDITS:
        path.write_text(json.dumps(edited(whole, key, value)))
        refused(small_run, "run.zarr" if key != "attributes.serial" else "")
    docs = whole["consolidated_metadata"]["metadata"]
    for name in ("../../etc", "/etc/passwd", "", ".", "a b", "x/y", "\ud800"):
        for of in ("x", "y"):
            docs[name] = docs[of]
            path.write_text(json.dumps(whole))
            refused(small_run, "zarr.json")
            del docs[name]
