"""What a hand may do to the files of a run, and what must come of it."""

import json

import pytest

from noisewalk.errors import StoreError
from noisewalk.storage.store import Layout, RunStore, open_store

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


def flip(path, at, bit=0):
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def unsealed(folder):
    """The values of spec.json, which is left as it was before specifications had checksums."""
    path = folder / "spec.json"
    document = json.loads(path.read_text())
    del document["checksum"]
    path.write_text(json.dumps(document, indent=2) + "\n")
    return document


def as_format(folder, number):
    """Make a run what noisewalk wrote in format 1 or 2: without checksums."""
    for sums in (folder / "run.zarr").glob("*/crc32c"):
        sums.unlink()
    path = folder / "run.zarr" / "zarr.json"
    root = json.loads(path.read_text())
    del root["attributes"]["crc32c"], root["attributes"]["behind"]
    root["attributes"]["format"] = number
    path.write_text(json.dumps(root))
    unsealed(folder)
    spec = folder / "spec.json"
    spec.write_text(spec.read_text().replace('"format": 3', f'"format": {number}'))


def deep(levels):
    return "[" * levels + "]" * levels
